# What changes a disk, and what orders that: the backend must count exactly what was asked for.
truncate -s 16M /tmp/orders
loop /dev/loop0 /tmp/orders
open_disk /dev/loop0
say "counted-at-first $(counters xvda)"
ask write 0 64 1
ask write 64 64 2
ask barrier 128 64 3
say "counted-after-writes $(counters xvda)"
ask flush
ask flush
say "counted-after-flushes $(counters xvda)"
ask check 0 64 1
ask check 64 64 2
ask check 128 64 3
# The control of all checks.
ask check 128 64 4
say "used $(kib_used /tmp/orders)"
ask discard 0 128
say "counted-after-discard $(counters xvda)"
say "left $(kib_used /tmp/orders)"
ask read 0 128
ask check 128 64 3
close_disk
unloop /dev/loop0
rm /tmp/orders
printf '%s\n' end >"$tty"
wait_for_end
