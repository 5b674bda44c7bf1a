# Interfaces of a guest that knows nothing of them, and what can be set of netback.
wait_for_line "type a line"
if xl network-attach "$name" bridge=none; then fail "there is no such bridge"; fi
take_away_vif 0
attach_vif mtu=9000
backend=$(vif_back_end)
say "waiting $(xs_read "$backend/state")"
say "mtu $(xs_read device/vif/0/mtu)"
say "queues $(xs_read "$backend/multi-queue-max-queues")"
unbind_vif
if [ -e "/sys/class/net/$(vif)" ]; then fail "netback still has it"; fi
bind_vif
[ -e "/sys/class/net/br0/brif/$(vif)" ]
take_away_vif
if xs_exists device/vif/0; then fail "the front-end's folder is still there"; fi
if xs_exists "$backend"; then fail "the back-end's folder is still there"; fi
netback max_queues=2
attach_vif
say "fewer $(xs_read "$(vif_back_end)/multi-queue-max-queues")"
# It cannot be set while netback is there.
if netback rx_stall_timeout_msecs=1000; then fail "netback was taken out while it has an interface"; fi
take_away_vif
netback rx_stall_timeout_msecs=1000 separate_tx_rx_irq=0
attach_vif
say "reloaded $(xs_read "$(vif_back_end)/multi-queue-max-queues") $(xs_read "$(vif_back_end)/feature-split-event-channels")"
take_away_vif
netback max_queues=4 separate_tx_rx_irq=1
type_line end
