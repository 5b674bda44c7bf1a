# Packets of all sizes, and bytes over TCP, both ways. Before this stand: $sizes, more sizes of ping, and $bytes.
wait_for_line "ready" 60
wait_vif_connected
wait_for_ping
for size in 0 1 18 56 500 1472 $sizes; do
	ping_guest "$size" 2 >/dev/null || fail "a ping with $size bytes"
done
tcp_echo 7 100000
head -c "$bytes" /dev/urandom >/tmp/load
tcp_send 9 /tmp/load
wait_for_line "received $bytes bytes" 60
[ "${line##* }" = "$(sha256 /tmp/load)" ] || fail "the guest has received something else"
tcp_receive 19 /tmp/load
wait_for_line "sent $bytes bytes" 60
[ "${line##* }" = "$(sha256 /tmp/load)" ] || fail "the guest has sent something else"
say "transferred $(wc -c </tmp/load)"
rm /tmp/load
say "counters $(vif_counters)"
xl shutdown "$name"
wait_for_end 60
