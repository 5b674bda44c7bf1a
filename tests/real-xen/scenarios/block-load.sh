# One load, with what the lines before this text ask of the backend: $parameters for blkback, if any.
wait_for_line ready
blkback ${parameters:-}
truncate -s 24M /tmp/load
loop /dev/loop0 /tmp/load
attach /dev/loop0 xvda
wait_for_line "connected: " 40
say "$line"
wait_for_line "under load" 60
wait_for_end 120
unloop /dev/loop0
rm /tmp/load
