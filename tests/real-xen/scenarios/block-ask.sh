# For scenarios that put this before their own text: the guest `blocks` is asked, and its answer is said.

# ask LINE: types a line and waits for what the guest answers, which is then in $answer.
ask() {
	printf '%s\n' "$*" >"$tty"
	wait_for_line "$*: " 40
	answer=${line#"$*: "}
	say "$line"
}

# open_disk DEVICE [MODE]: attaches xvda and has the guest open it.
open_disk() {
	attach "$1" xvda "${2:-w}"
	ask open xvda
	wait_connected xvda
}

# close_disk: takes it away again, in good order.
close_disk() {
	detach xvda
	wait_for_line "event: Ended" 30
	say "$line"
	ask close
}

wait_for_line ready
wait_until 10 xs_exists console/tty
# Kept, as it takes many processes to find out, and no guest here is restored.
tty=$(xs_read console/tty)
