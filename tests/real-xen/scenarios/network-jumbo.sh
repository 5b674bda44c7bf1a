# An interface for packets that are longer than a page; then `network-load`.
wait_for_line "waiting up to" 60
attach_vif mac=00:16:3e:00:00:0f mtu=9000
ip link set "$(vif)" mtu 9000
ip link set br0 mtu 9000
