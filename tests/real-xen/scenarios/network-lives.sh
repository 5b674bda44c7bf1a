# What an interface lives through. Before this stand $cycle, what happens each time, and $rounds.
wait_for_line "ready" 60
wait_vif_connected
wait_for_ping
holdings() { tcp_receive 11 /tmp/holdings && cat /tmp/holdings; }
round=0
while [ $round -lt $rounds ]; do
	round=$((round + 1))
	cycle
	# What is grown by the first one stays.
	[ $round -gt 1 ] || say "at first $(holdings)"
done
wait_for_ping
say "at last $(holdings)"
say "rounds $round"
xl shutdown "$name"
wait_for_end 60
