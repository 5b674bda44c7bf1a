# Blkback lets go of the disk and takes it again: the device stays, and its back-end begins anew.
cycle() {
	device=vbd-$(domid)-$(vbd xvda)
	echo "$device" >/sys/bus/xen-backend/drivers/vbd/unbind
	echo "$device" >/sys/bus/xen-backend/drivers/vbd/bind
	wait_for_line "disk: Connected" 40
}
