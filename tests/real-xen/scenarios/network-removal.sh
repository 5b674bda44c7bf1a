# The interface is taken away by force while the guest sends, and given back; what it sends arrives.
cycle() {
	tcp_receive 19 /tmp/came &
	wait_until 30 test -s /tmp/came
	take_away_vif
	wait_for_line "interface: detached" 30
	attach_vif mac=00:16:3e:00:00:0f
	wait_for_line "interface: connected" 60
	wait_for_line "sent " 120
	sum=${line##* }
	wait $!
	[ "$sum" = "$(sha256 /tmp/came)" ] || fail "something else arrived"
	rm /tmp/came
}
