# The backend's driver lets go of the interface while the guest sends, and takes it again; what it sends arrives.
cycle() {
	tcp_receive 19 /tmp/came &
	wait_until 30 test -s /tmp/came
	# Linux's netback goes without a word; the guest hears of it from the next one.
	unbind_vif
	bind_vif
	wait_for_line "interface: disconnected" 60
	wait_for_line "interface: connected" 60
	wait_for_line "sent " 120
	sum=${line##* }
	wait $!
	[ "$sum" = "$(sha256 /tmp/came)" ] || fail "something else arrived"
	rm /tmp/came
}
