# Saves and restores the guest `rounds` twenty times. After each round its clock, its watches, its console and its timer must
# work, and its count must go on.
wait_for_line ready
round=0
while [ $round -lt 20 ]; do
	round=$((round + 1))
	before=$(xs_read data/count)
	save_and_restore
	wait_for_line "resumed $round epoch $round" 30
	xs_wait_more() { [ "$(xs_read data/count 2>/dev/null || echo 0)" -gt "$before" ]; }
	wait_until 30 xs_wait_more
	xs_write data/poke $round
	wait_for_line "poked $round" 30
done
say "rounds $round"
xl shutdown "$name"
wait_for_end
