# Attaches a disk to the guest `devices` and takes it away again, ten times; then once more, by force.
wait_for_line "ready"
attach() {
	xl block-attach "$name" phy:/dev/ram1,xvda,w
	wait_for_line "connected after" 30
	say "$line"
	xs_wait device/vbd/51712/state 4
	xs_wait "$(xs_read device/vbd/51712/backend)/state" 4
}
gone() {
	if xs_exists device/vbd/51712; then fail "the front-end's folder is still there"; fi
}
round=0
while [ $round -lt 10 ]; do
	round=$((round + 1))
	attach
	begun=$(uptime_seconds)
	xl block-detach "$name" xvda
	say "seconds to detach $(($(uptime_seconds) - begun))"
	wait_for_line "has its page back"
	wait_for_line "ended"
	gone
done
say "rounds $round"
attach
xl block-detach --force "$name" xvda
wait_for_line "ended: Vanished"
gone
say "forced $line"
xl shutdown "$name"
wait_for_end
