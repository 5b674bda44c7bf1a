# Packets of all sizes, and bytes over TCP, both ways. Before this stand: $sizes, more sizes of ping, and $bytes.
wait_for_line "ready" 60
wait_vif_connected
wait_for_ping
for size in 0 1 18 56 500 1472 $sizes; do
	ping_guest "$size" 2 >/dev/null || fail "a ping with $size bytes"
done
tcp_echo 7 100000
bulk_send 9 "$bytes"
bulk_receive 19 "$bytes"
say "transferred $bytes"
say "counters $(vif_counters)"
xl shutdown "$name"
wait_for_end 60
