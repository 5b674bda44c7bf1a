# Domain 0 changes a byte of one block behind the back of a guest that only reads: the guest must find out which.
wait_for_line ready
truncate -s 1M /tmp/load
loop /dev/loop0 /tmp/load
attach /dev/loop0 xvda
wait_for_line "under load" 60
sleep 1
say "before $(grep -c mismatch "$log" || true)"
printf x | dd of=/tmp/load bs=1 seek=$((5 * 4096 + 1000)) conv=notrunc 2>/dev/null
sleep 1
xl shutdown "$name"
wait_for_end 60
unloop /dev/loop0
rm /tmp/load
