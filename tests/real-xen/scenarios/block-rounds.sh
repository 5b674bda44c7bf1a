# A disk comes, is used, and goes, ten times: nothing may be left of it.
ask have
round=0
while [ $round -lt 10 ]; do
	round=$((round + 1))
	open_disk /dev/ram2
	ask write $round 120 $round
	ask check $round 120 $round
	# What an open disk uses, so that what is counted shows to be counted.
	[ $round -gt 1 ] || { type_line have; wait_for_line "instead of"; say "while-open $line"; }
	close_disk
	ask have
done
say "rounds $round"
type_line end
wait_for_end
