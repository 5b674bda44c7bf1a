# Pings of several sizes, the link down and up, a save and a restore, the disk taken away and given back: all that while tasks write to
# the disk. $rounds is how often.
wait_for_line "for a disk"
truncate -s 8M /tmp/tasks
loop /dev/loop0 /tmp/tasks
attach /dev/loop0 xvda
wait_for_line "ready" 60
wait_vif_connected
wait_for_ping
# Of this connection of the disk's.
has_more() { [ "$(counter xvda wr_req 2>/dev/null || echo 0)" -gt 50 ]; }
all_goes_on() {
	wait_until 60 has_more
	before=$(counter xvda wr_req)
	for size in 0 56 500 1472; do
		ping_guest $size 3 >/dev/null || fail "a ping with $size bytes"
	done
	[ "$(counter xvda wr_req)" -gt "$before" ] || fail "nothing was written meanwhile"
}
all_goes_on
carrier 0 0
wait_for_line "interface: the link is down"
carrier 0 1
wait_for_line "interface: the link is up"
all_goes_on
round=0
while [ $round -lt $rounds ]; do
	round=$((round + 1))
	skip_lines
	save_and_restore
	wait_for_line "resumed" 60
	wait_for_line "the link is up" 60
	wait_for_ping
	all_goes_on
done
say "suspends $round"
take_away xvda
attach /dev/loop0 xvda
all_goes_on
say "counters $(counters xvda)"
xl shutdown "$name"
wait_for_end 60
unloop /dev/loop0
rm /tmp/tasks
