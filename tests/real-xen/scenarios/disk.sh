# Attaches a disk to a guest that knows nothing of it, and takes it away.
wait_for_line "type a line"
if xl block-attach "$name" phy:/dev/none,xvdb,w; then fail "there is no such device"; fi
xl block-attach "$name" phy:/dev/ram1,xvda,w
backend=$(xs_read device/vbd/51712/backend)
xs_wait "$backend/hotplug-status" connected
say "device $(xs_read "$backend/physical-device")"
say "waiting $(xs_read "$backend/state")"
xl block-detach --force "$name" xvda
if xs_exists device/vbd/51712; then fail "the front-end's folder is still there"; fi
if xs_exists "$backend"; then fail "the back-end's folder is still there"; fi
type_line end
