# How domain 0 tells the runner something: see init.sh. Descriptor 4 is the port.

# An event is one write, so that console bytes of another process do not come in between: the shell writes 1024 bytes at once.
event() { printf '\036%s %.900s\n' "$token" "$*" >&4; }

# Sends each line of the input as an event of its own.
event_lines() {
	while IFS= read -r line || [ -n "$line" ]; do event "$1" "$line"; done
}
