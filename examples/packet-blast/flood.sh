# Sends the guest as many packets as it waits for, by default: `cargo xtask run packet-blast --scenario ... -- receive`.

wait_for_line 'ready:'
flood 0 100000 60
