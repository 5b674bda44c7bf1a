# Pings to two groups come over a wire into the bridge, as from another host, that to 239.1.1.1 last.
wire 10.9.0.1/24
ip route add 224.0.0.0/4 dev wire0
wait_for_line "ready"
wait_for_ping
for group in 239.1.1.2 239.1.1.1; do ping -c 2 -W 1 -I wire0 $group >/dev/null || true; done
wait_for_line "239.1.1.1"
ip link del wire0
xl shutdown "$name"
wait_for_end 60
