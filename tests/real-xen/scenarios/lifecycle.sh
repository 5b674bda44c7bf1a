# Does to the guest `lifecycle` what a toolstack does, and tells what came of it.
wait_for_line "ready"
xl mem-set "$name" 12
wait_for_line "memory: 12288 KiB of 16384 KiB, Reached" 60
say "listed $(xl list "$name" | awk 'NR == 2 { print $3 }')"
xl mem-set "$name" 16
wait_for_line "memory: 16384 KiB of 16384 KiB, Reached" 60
say "again $(xl list "$name" | awk 'NR == 2 { print $3 }')"
xl block-attach "$name" phy:/dev/ram1,xvda,w
wait_for_line "device device/vbd/51712 came" 30
xl block-detach --force "$name" xvda
wait_for_line "device device/vbd/51712 went" 30
xl sysrq "$name" h
wait_for_line "asked: SysRq(104)"
xs_write control/shutdown nonsense
wait_for_line "asked: Unknown"
xs_wait control/shutdown ""
xl shutdown "$name"
wait_for_line "going down"
wait_for_end
