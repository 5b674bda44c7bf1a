# A disk under load all the while, to which `cycle` happens $rounds times: both stand before this.
wait_for_line ready
blkback feature_persistent=1 max_queues=2
truncate -s 8M /tmp/load
loop /dev/loop0 /tmp/load
attach /dev/loop0 xvda
wait_for_line "under load" 60
has_more() { [ "$(counter xvda wr_req 2>/dev/null || echo 0)" -gt 50 ]; }
round=0
while [ $round -lt $rounds ]; do
	round=$((round + 1))
	wait_until 60 has_more
	say "before $round: $(counters xvda)"
	cycle
done
wait_until 60 has_more
say "at the end: $(counters xvda)"
say "rounds $round"
xl shutdown "$name"
wait_for_end 60
unloop /dev/loop0
rm /tmp/load
