# Pings the kernel: cargo xtask run bring-your-own-kernel --network --scenario examples/bring-your-own-kernel/own.sh
wait_for_line "network: waiting" 60
ping -c 1 -W 10 10.0.0.15
