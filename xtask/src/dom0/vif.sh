#!/bin/sh
# The hotplug script of network interfaces: vif-bridge online|offline, with the back-end's path in $XENBUS_PATH and Linux's name of
# the interface in $vif. It goes onto its bridge, and has its own MTU or the bridge's.

export PATH=/bin
[ "$1" = online ] || exit 0

refuse() {
	xenstore-write "$XENBUS_PATH/hotplug-error" "$1" "$XENBUS_PATH/hotplug-status" error
	exit 1
}

bridge=$(xenstore-read "$XENBUS_PATH/bridge")
[ -e "/sys/class/net/$bridge/bridge" ] || refuse "no bridge $bridge"
mtu=$(xenstore-read "$XENBUS_PATH/mtu" 2>/dev/null) || mtu=$(cat "/sys/class/net/$bridge/mtu")
ip link set "$vif" mtu "$mtu" master "$bridge" up || refuse "cannot put $vif on $bridge"
# What is not told is 1500 (public/io/netif.h, MTU).
[ "$mtu" = 1500 ] || xenstore-write "$(xenstore-read "$XENBUS_PATH/frontend")/mtu" "$mtu"
xenstore-write "$XENBUS_PATH/hotplug-status" connected
