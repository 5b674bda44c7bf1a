# What domain 0 can do with the interface of a Linux that knows it well, whose init is network-guest.sh; $port of the host leads to it.
wait_for_line "ready" 60
wait_vif_connected
say "queues $(xs_read device/vif/0/multi-queue-num-queues) offered $(xs_read "$(vif_back_end)/multi-queue-max-queues")"
wait_for_ping
say "small $(ping_guest)"
say "large $(ping_guest 8000 2)"
tcp_echo 7 300000
tcp_send 9 /domu/library.sh
type_line "sha256sum /tmp/received"
wait_for_line "  /tmp/received"
[ "${line%% *}" = "$(sha256 /domu/library.sh)" ] || fail "it received something else"
tcp_receive 19 /tmp/sent
say "received $(cat /tmp/sent)"

# A gateway, a name server and an address from QEMU.
type_line "ping -q -c 1 -W 2 10.0.0.2"
wait_for_line "1 packets received"
type_line "udhcpc -f -n -q -s /bin/true"
wait_for_line "lease of"
say "dhcp $line"

# Whoever asks the host's port has an answer of the guest's.
wait_until 60 grep -q response:200 "$log"

# That port is as open to the guest as any of the host's: not at all.
type_line "nc 10.0.0.2 $port </dev/null"
wait_for_line "refused"

# Netback goes deaf and hears again.
vif_down
if ping_guest 56 1 2>/dev/null; then fail "a link that is down carries packets"; fi
vif_up
wait_for_ping
carrier 0 0
say "carrier $(xs_read "$(vif_back_end)/carrier")"

# Large packets need both ends, and go in one piece then.
vif_mtu 0 9000
type_line "ip link set eth0 mtu 9000"
wait_for_line "done"
before=$(vif_counter 0 rx_packets)
say "jumbo $(ping_guest 8900 5)"
say "packets $(($(vif_counter 0 rx_packets) - before))"
say "counters $(vif_counters)"
flood 0 1000 60
# The datagrams that had no port to go to.
type_line "awk '/^Udp: [0-9]/{print\"unwanted\",\$3}' /proc/net/snmp"
wait_for_line "unwanted"
say "$line"
say "rings $(vif_rings | grep -c nr_ents)"

# A second one comes and goes, twice: in good order, and by force. Its back-end seems to take no large packets.
attach_vif_with feature-sg=0 feature-gso-tcpv4=0 -- mac=00:16:3e:00:00:10
wait_vif_connected 1
type_line "cat /sys/class/net/eth1/address"
wait_for_line "00:16:3e"
say "second $line of $(vifs)"
type_line "ip link set eth1 mtu 9000"
wait_for_line "Invalid argument"
detach_vif 1
if xs_exists device/vif/1; then fail "the interface is still there"; fi
attach_vif
wait_vif_connected 1
take_away_vif 1
say "left $(vifs)"
wait_for_ping
xl destroy "$name"
