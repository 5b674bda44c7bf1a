#!/bin/sh
# Domain 0's init: starts the toolstack, then each guest in turn, and tells everything on a virtio port.
#
# The port carries the console bytes of the guest that runs, in order with events. An event is one line:
# byte 1e, the token of this boot, a space, a word, and what belongs to the word. Another port carries orders to here.

export PATH=/bin
# Where libxl looks otherwise depends on Xen's version.
export LIBXL_SAVE_HELPER=/bin/libxl-save-helper
port=/dev/vport0p1
orders=/dev/vport0p2
consoles=/var/log/xen/console
. /domu/events.sh
. /domu/modules.sh

start_system() {
	mount -t proc proc /proc
	mount -t sysfs sysfs /sys
	mount -t devtmpfs devtmpfs /dev 2>/dev/null
	mkdir -p /dev/pts $consoles
	mount -t devpts devpts /dev/pts
	token=$(cat /domu/token)
	export token
	load_modules /domu/modules
	while [ ! -e $port ]; do usleep 10000; done
	exec 4<>$port
	event booted "$(uname -r)"
}

# The bridge that interfaces of guests go to; src/network.rs tells of the addresses.
#
# It is quiet: IPv6 and the bridge's look after multicast would send packets that nobody has asked for.
start_network() {
	for which in all default; do echo 1 >/proc/sys/net/ipv6/conf/$which/disable_ipv6; done
	ip link add br0 address 00:16:3e:00:00:01 type bridge
	echo 0 >/sys/class/net/br0/bridge/multicast_snooping
	ip addr add 10.0.0.1/24 dev br0
	ip link set br0 up
	[ ! -e /domu/uplink ] || start_uplink "$(cat /domu/uplink)"
}

# QEMU's network joins in, as eth0. Where it leads outside, domain 0 is the way there, as on a host.
start_uplink() {
	load_modules /domu/spare/virtio_net
	ip link set eth0 master br0 up || event failed "QEMU's network card did not come"
	# What is for a guest that is not there at the moment is not for QEMU, which would answer in its place, and end its connections.
	echo 0 >/sys/class/net/eth0/brport/unicast_flood
	[ "$1" = open ] || return
	echo 0 >/proc/sys/net/ipv4/conf/all/send_redirects
	echo 0 >/proc/sys/net/ipv4/conf/br0/send_redirects
	echo 1 >/proc/sys/net/ipv4/ip_forward
	ip route add default via 10.0.0.2
}

start_toolstack() {
	mount -t xenfs xenfs /proc/xen
	xenstored --internal-db || event failed "xenstored did not start"
	xen-init-dom0 >/tmp/init-dom0 2>&1 || event_lines failed </tmp/init-dom0
	xenconsoled --log=all --log-dir=$consoles || event failed "xenconsoled did not start"
	event toolstack
}

# Sends what the guest has written since the last call; descriptor 3 remembers the place.
pump() { cat <&3 >&4; }

# Waits until it is time to look again. A scenario that measures domain 0 writes a longer time.
pause() {
	read -r microseconds </tmp/pause
	usleep "$microseconds"
}

# Sends the rest: the domain has ended, but xenconsoled may still be reading its ring.
#
# A guest's last word ends the wait. Without one, the log must stand still for longer than the pause (200 ms) that
# xenconsoled makes with a guest that sends many events.
drain() {
	still=0
	size=-1
	while [ $still -lt 10 ]; do
		case $(tail -n 1 "$log") in "domu: exit status "*) break ;; esac
		now=$(wc -c <"$log")
		[ "$now" = "$size" ] && still=$((still + 1)) || still=0
		size=$now
		pump
		usleep 50000
	done
	pump
}

# Types a file, or what comes from the port, at the guest's console, a pseudo-terminal of xenconsoled's.
connect_input() {
	while ! tty=$(xenstore-read "/local/domain/$1/console/tty" 2>/dev/null) || [ -z "$tty" ]; do
		usleep 20000
	done
	if [ -s "$2" ]; then
		cat "$2" >"$tty" &
	else
		cat <&4 >"$tty" &
	fi
	typist=$!
}

# The end of the guest as xl saw it, in the words of scenario.sh.
ending_from_xl() {
	sed -n 's/.*has shut down, reason code \([0-9]*\).*/ended \1/p' /tmp/xl | tail -n 1 >/tmp/ending
	[ -s /tmp/ending ] || echo destroyed >/tmp/ending
}

# Tells when the guest answers for the first time. Where nobody answers yet, ARP asks again soon and for long; who had the address
# before is forgotten. What a guest lost while it started is sent again after a second.
time_ping() {
	ip link set br0 arp off
	ip link set br0 arp on
	echo 10 >/proc/sys/net/ipv4/neigh/br0/retrans_time_ms
	echo 6000 >/proc/sys/net/ipv4/neigh/br0/mcast_solicit
	until ping -q -c 1 -W 1 10.0.0.15 >/dev/null 2>&1; do :; done
	: >/tmp/answered
	event answered
}

# Does what the runner wants while a guest runs: its user may press Ctrl-C.
take_orders() {
	while read -r order; do
		case $order in shutdown) xl shutdown "$1" >/dev/null 2>&1 ;; esac
	done <$orders
}

run_guest() {
	name=$(cat "$1/name")
	log=$consoles/guest-$name.log
	# A guest of the same name may have run before.
	rm -f /tmp/xl.done /tmp/ending /tmp/answered "$log"
	echo 50000 >/tmp/pause
	event starting "$name"
	: >/tmp/starting
	pinger=
	if [ -e /domu/ping ] && grep -q ^vif "$1/config"; then
		time_ping &
		pinger=$!
	fi
	{ xl create -F "$1/config" >/tmp/xl 2>&1; : >/tmp/xl.done; } &
	while [ ! -e "$log" ] && [ ! -e /tmp/xl.done ]; do usleep 20000; done
	if [ ! -e "$log" ]; then
		sed -i '/^Parsing config/d' /tmp/xl
		event_lines refused </tmp/xl
		event failed
		[ -n "$pinger" ] && kill "$pinger"
		return
	fi
	domain=
	while [ -z "$domain" ]; do domain=$(xenstore-list /local/domain | sort -n | tail -n 1); done
	event created "$domain"
	exec 3<"$log"
	take_orders "$name" &
	ear=$!
	[ -e "$1/input" ] && connect_input "$domain" "$1/input"
	if [ -e "$1/scenario" ]; then
		# The domain that xl created may be saved, and go on as another one: the scenario's end is what counts.
		sh /domu/scenario.sh "$1/scenario" "$name" "$log" &
		while [ ! -e /tmp/ending ]; do pump; pause; done
	else
		while [ ! -e /tmp/xl.done ]; do pump; usleep 50000; done
		ending_from_xl
	fi
	drain
	event "$(cat /tmp/ending)"
	[ -n "$typist" ] && kill "$typist"
	typist=
	[ -n "$pinger" ] && kill "$pinger"
	kill "$ear"
	xl destroy "$name" 2>/dev/null
}

start_system
start_network
start_toolstack
for guest in /domu/guests/*; do run_guest "$guest"; done
event done
# The runner ends the machine.
while :; do sleep 1000; done
