# The link goes down and up, as the guest is told.
cycle() {
	carrier 0 0
	wait_for_line "interface: the link is down"
	carrier 0 1
	wait_for_line "interface: the link is up"
	wait_for_ping
}
