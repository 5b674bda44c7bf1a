# A disk comes, is used, and goes, ten times: nothing may be left of it.
round=0
while [ $round -lt 10 ]; do
	round=$((round + 1))
	printf '%s\n' "round $round" >"$tty"
	attach /dev/ram2 xvda
	wait_for_line "holds " 60
	[ $round -gt 1 ] || say "$line"
	detach xvda
	wait_for_line "round $round: " 30
	say "$line"
done
say "rounds $round"
printf '%s\n' end >"$tty"
wait_for_end
