# Flows of ICMP and of TCP, which nobody answers; each has another port.
wait_for_line "Steering(" 60
say "offered $(xs_read "$(vif_back_end)/feature-ctrl-ring")"
ping -c 2 -W 1 $guest_address >/dev/null || true
wait_for_line "(IPV4) "
connection=0
while [ $connection -lt 16 ]; do
	connection=$((connection + 1))
	timeout 1 nc $guest_address 7 </dev/null || true
done
wait_for_line "(IPV4_TCP) "
xl shutdown "$name"
wait_for_end 60
