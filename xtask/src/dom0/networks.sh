# What scenarios can do with the guest's network interfaces: give them and take them away, play with the link, with what netback
# offers and with its driver, send packets and bytes both ways, and see what netback counted.
#
# N is the interface's number, 0 if it is left out. The guest is at 10.0.0.15, domain 0 at 10.0.0.1 on its bridge, br0.

guest_address=10.0.0.15

# vif [N]: prints Linux's name of the interface in domain 0: vif3.0.
vif() ( set +x; echo "vif$(domid).${1:-0}" )

# vif_back_end [N]: prints the directory of the interface's back-end.
vif_back_end() ( set +x; xs_read "device/vif/${1:-0}/backend" )

# attach_vif [OPTION...]: gives the guest an interface, with xl's options: mac=00:16:3e:00:00:0f, mtu=9000.
attach_vif() ( set +x; xl_within 60 network-attach "$name" bridge=br0 "$@" )

# attach_vif_with NODE=VALUE... [-- OPTION...]: the same, and what the back-end offers is changed before the guest sees it, as
# feature-sg=0. It is still the same back-end: it can do all that it no longer offers.
attach_vif_with() (
	set +x
	nodes=
	while [ $# -gt 0 ] && [ "$1" != -- ]; do nodes="$nodes $1" && shift; done
	[ $# -eq 0 ] || shift
	before=" $(vifs) "
	xl_within 10 pause "$name" && attach_vif "$@" || return
	for number in $(vifs); do
		case $before in *" $number "*) continue ;; esac
		for node in $nodes; do xs_write "$(vif_back_end "$number")/${node%%=*}" "${node#*=}" || return; done
	done
	xl_within 10 unpause "$name"
)

# vifs: prints the numbers of the guest's interfaces.
vifs() ( set +x; ! xs_exists device/vif || echo $(xs_list device/vif) )

# detach_vif [N]: takes an interface away in good order. xl uses force after ten seconds.
detach_vif() ( set +x; xl_within 60 network-detach "$name" "${1:-0}" )

# take_away_vif [N]: takes an interface away without asking the guest: xl has no word for it, so that this removes what xl would.
take_away_vif() (
	set +x
	interface=/sys/class/net/$(vif "${1:-0}")
	xenstore-rm "/libxl/$(domid)/device/vif/${1:-0}" "$(vif_back_end "${1:-0}")" "$(at "device/vif/${1:-0}")" || return
	wait_until 20 test ! -e "$interface"
)

# wait_vif_connected [N] [SECONDS]: waits until both halves are connected.
wait_vif_connected() (
	set +x
	xs_wait "device/vif/${1:-0}/state" 4 "${2:-30}" && xs_wait "$(vif_back_end "${1:-0}")/state" 4
)

# carrier N 0|1: tells the guest that the link is down or up. Linux's netback never does.
carrier() ( set +x; xs_write "$(vif_back_end "${1:-0}")/carrier" "$2" )

# vif_down [N], vif_up [N]: makes netback deaf, and hear again. The guest is not told.
vif_down() ( set +x; ip link set "$(vif "${1:-0}")" down )
vif_up() ( set +x; ip link set "$(vif "${1:-0}")" up )

# vif_mtu N MTU: sets the MTU of the interface and of the bridge, and tells the guest, which looks when it connects.
vif_mtu() (
	set +x
	ip link set "$(vif "${1:-0}")" mtu "$2" && ip link set br0 mtu "$2" && xs_write "device/vif/$1/mtu" "$2"
)

# netback NAME=VALUE...: sets parameters of netback for the interfaces that are attached from now on: max_queues=1,
# separate_tx_rx_irq=0. Some can be set only while it has no interface, and then the others have their defaults again.
netback() { set_parameters xen-netback "$@"; }

# unbind_vif [N]: netback lets go of the interface, which stays in xenstore.
unbind_vif() ( set +x; echo "vif-$(domid)-${1:-0}" >/sys/bus/xen-backend/drivers/vif/unbind )

# bind_vif [N]: netback takes it again, and it goes onto the bridge.
bind_vif() (
	set +x
	echo "vif-$(domid)-${1:-0}" >/sys/bus/xen-backend/drivers/vif/bind || return
	XENBUS_PATH=$(vif_back_end "${1:-0}") vif=$(vif "${1:-0}") /etc/xen/scripts/vif-bridge online
)

# vif_counter N NAME: prints what netback has counted, seen from domain 0: rx_packets is what the guest has sent. Also tx_packets,
# rx_bytes, tx_bytes, rx_dropped, tx_dropped, rx_errors, tx_errors.
vif_counter() ( set +x; cat "/sys/class/net/$(vif "${1:-0}")/statistics/$2" )

# vif_counters [N]: prints all of them in a line.
vif_counters() (
	set +x
	cd "/sys/class/net/$(vif "${1:-0}")/statistics" || return
	for counter in rx_packets rx_bytes rx_errors rx_dropped tx_packets tx_bytes tx_errors tx_dropped; do
		printf '%s=%s ' $counter "$(cat $counter)"
	done
	echo
)

# vif_rings [N]: prints what netback says of the rings of each queue.
vif_rings() (
	set +x
	[ -e /sys/kernel/debug/xen-netback ] || mount -t debugfs debugfs /sys/kernel/debug
	cat "/sys/kernel/debug/xen-netback/$(vif "${1:-0}")"/io_ring_q*
)

# ping_guest [SIZE] [COUNT]: sends COUNT packets with SIZE bytes of data, each when the one before was answered; all must be.
# Prints how long the round trips took.
ping_guest() (
	set +x
	size=${1:-56} count=${2:-3}
	# The last one has two seconds.
	ping -A -q -c "$count" -s "$size" -W 2 $guest_address >/tmp/ping 2>&1
	grep -q "^$count packets transmitted, $count packets received" /tmp/ping && tail -n 1 /tmp/ping && return
	cat /tmp/ping >&2
	return 1
)

# wait_for_ping [SECONDS]: waits until the guest answers.
wait_for_ping() ( set +x; wait_until "${1:-30}" ping -q -c 1 -W 1 $guest_address >/dev/null )

# tcp_send PORT FILE: sends a file to a port of the guest's. tcp_receive PORT FILE: takes what the guest sends there.
tcp_send() ( set +x; timeout 120 nc $guest_address "$1" <"$2" >/dev/null )
tcp_receive() ( set +x; timeout 120 nc $guest_address "$1" </dev/null >"$2" )

# tcp_echo PORT BYTES: sends random bytes to a port of the guest's, which must send the same ones back.
tcp_echo() (
	set +x
	head -c "$2" /dev/urandom >/tmp/tcp.sent
	timeout 120 nc $guest_address "$1" </tmp/tcp.sent >/tmp/tcp.back
	[ "$(sha256 /tmp/tcp.sent)" = "$(sha256 /tmp/tcp.back)" ] && rm /tmp/tcp.sent /tmp/tcp.back && return
	echo "of $2 bytes sent, $(wc -c </tmp/tcp.back) came back, $(cmp /tmp/tcp.sent /tmp/tcp.back 2>&1)" >&2
	return 1
)

# wire ADDRESS/LENGTH: a wire into the bridge, whose other end, wire0, has this address: what is sent there comes as from another host.
# `ip link del wire0` takes it away: the bridge has the smallest MTU of all that end in it.
wire() {
	[ -e /sys/module/veth ] || load_modules /domu/spare/veth
	# Busybox leaves the name of the other end to Linux.
	ip link add wire0 type veth
	ip link set veth0 master br0
	ip link set veth0 up
	ip link set wire0 up
	ip addr add "$1" dev wire0
}

# sha256 FILE: prints its SHA-256.
sha256() ( set +x; sha256sum "$1" | cut -d ' ' -f 1 )

# flood N PACKETS BYTES: sends so many UDP packets (to port 9) of that size, with their Ethernet headers, as fast as the guest
# takes them. Prints what the packet generator of Linux says of it.
flood() (
	set +x
	[ -e /proc/net/pktgen ] || load_modules /domu/spare/pktgen
	cd /proc/net/pktgen
	interface=$(vif "${1:-0}")
	echo rem_device_all >kpktgend_0
	echo "add_device $interface" >kpktgend_0
	for setting in "count $2" "pkt_size $3" "delay 0" "dst $guest_address" "dst_mac $(xs_read "device/vif/$1/mac")" \
		"src_min 10.0.0.1" "src_max 10.0.0.1"; do
		echo "$setting" >"$interface"
	done
	# Returns when all is sent.
	echo start >pgctrl
	sed -n '/^Result: OK/,$p' "$interface" | tr '\n' ' '
	echo
	grep -q '^Result: OK' "$interface"
)
