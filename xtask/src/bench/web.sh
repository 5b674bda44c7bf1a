# Says how long a guest took from its start to its first page.
/domu/bench/linux-bench page /tmp/starting /tmp/answered "$(wait_until 60 xs_exists console/tty && xs_read console/tty)"
# Linux has been told by now.
[ "$name" != ours ] || xl shutdown "$name"
