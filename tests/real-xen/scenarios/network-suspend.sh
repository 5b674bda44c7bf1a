# The guest is saved and restored while it sends, and what it sends arrives.
cycle() {
	tcp_receive 19 /tmp/came &
	wait_until 30 test -s /tmp/came
	save_and_restore
	wait_for_line "resumed" 60
	wait_for_line "sent " 120
	sum=${line##* }
	wait $!
	[ "$sum" = "$(sha256 /tmp/came)" ] || fail "something else arrived"
	rm /tmp/came
}
