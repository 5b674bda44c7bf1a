# Disks of all kinds, one after the other.

# One that cannot be written to: nothing reaches the backend.
truncate -s 4M /tmp/kind
loop /dev/loop0 /tmp/kind -r
open_disk /dev/loop0 r
ask write 0 8 1
ask discard 0 8
ask read 0 8
say "read-only $(counters xvda)"
close_disk
unloop /dev/loop0
rm /tmp/kind

# A large one, of which only both ends are written. Then it grows.
truncate -s 3072G /tmp/kind
loop /dev/loop0 /tmp/kind
open_disk /dev/loop0
ask write 0 8 5
ask write 6442450936 8 6
ask check 0 8 5
ask check 6442450936 8 6
ask write 6442450936 16 7
say "huge-uses $(kib_used /tmp/kind)"
grow /dev/loop0 /tmp/kind 3073G
wait_for_line "event: Resized"
ask write 6442450936 16 7
ask check 6442450936 16 7
ask disk
close_disk
unloop /dev/loop0
rm /tmp/kind

# One with large sectors.
truncate -s 4M /tmp/kind
loop /dev/loop0 /tmp/kind -b 4096
open_disk /dev/loop0
ask disk
ask write 8 8 8
ask check 8 8 8
ask write 1 8 9
ask write 0 1 9
ask read 0 1
ask check 8 8 8
say "large-sectors $(counters xvda)"
close_disk
unloop /dev/loop0
rm /tmp/kind
printf '%s\n' end >"$tty"
wait_for_end
