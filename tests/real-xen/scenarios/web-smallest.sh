# The example `web` again, with the same files, and as little memory as xl gives a guest of its size.
make_ext4 /tmp/smallest.ext4 8M /tmp/site
loop /dev/loop1 /tmp/smallest.ext4 -r
attach /dev/loop1 xvda r
wait_for_line "files are served" 60
wait_for_ping
for round in 1 2 3 4 5 6 7 8 9 10; do
	wget -q -O /tmp/style.css http://10.0.0.15/style.css
	cmp /tmp/style.css /tmp/site/style.css
	wget -q -O - http://10.0.0.15/status | grep -q "of 4.0 MiB"
done
say "rounds $round"
xl shutdown "$name"
wait_for_end 60
