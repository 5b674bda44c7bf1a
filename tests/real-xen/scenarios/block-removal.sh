# The disk is taken away without a word and given back.
cycle() {
	take_away xvda
	if xs_exists "device/vbd/$(vbd xvda)"; then fail "it is still there"; fi
	attach /dev/loop0 xvda
	wait_connected xvda 40
}
