# Blkback lets go of the disk and takes it again, five times, under load all the while: the device stays, and its back-end begins
# anew.
wait_for_line ready
blkback feature_persistent=1 max_queues=2
truncate -s 8M /tmp/load
loop /dev/loop0 /tmp/load
attach /dev/loop0 xvda
wait_for_line "under load" 60
has_more() { [ "$(counter xvda wr_req 2>/dev/null || echo 0)" -gt 50 ]; }
device=vbd-$(domid)-51712
round=0
while [ $round -lt 5 ]; do
	round=$((round + 1))
	wait_until 60 has_more
	say "before $round: $(counters xvda)"
	echo $device >/sys/bus/xen-backend/drivers/vbd/unbind
	echo $device >/sys/bus/xen-backend/drivers/vbd/bind
	wait_for_line "disk: Connected" 40
done
wait_until 60 has_more
say "at the end: $(counters xvda)"
say "rounds $round"
xl shutdown "$name"
wait_for_end 60
unloop /dev/loop0
rm /tmp/load
