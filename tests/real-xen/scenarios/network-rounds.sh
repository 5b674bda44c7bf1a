# Another interface comes and goes, in good order.
cycle() {
	attach_vif mac=00:16:3e:00:00:10
	wait_vif_connected 1
	detach_vif 1
	if xs_exists device/vif/1; then fail "the interface is still there"; fi
}
