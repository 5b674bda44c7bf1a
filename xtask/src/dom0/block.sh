#!/bin/sh
# The hotplug script of block devices: block add|remove, with the back-end's path in $XENBUS_PATH.

export PATH=/bin
[ "$1" = add ] || exit 0
device=$(xenstore-read "$XENBUS_PATH/params")
number=$(stat -L -c '%t:%T' "$device") || {
	xenstore-write "$XENBUS_PATH/hotplug-error" "no device $device" "$XENBUS_PATH/hotplug-status" error
	exit 1
}
xenstore-write "$XENBUS_PATH/physical-device" "$number" "$XENBUS_PATH/physical-device-path" "$device" \
	"$XENBUS_PATH/hotplug-status" connected
