# Pings the guest, and asks it to end: cargo xtask run first-steps --network --config 'disk=["phy:/dev/ram1,xvda,w"]' --scenario examples/src/bin/first-steps.sh
wait_for_line "answers pings"
# The first may be lost: who has the address was somebody else a moment ago, maybe.
wait_for_ping
# Not within what is said: the scenario would not notice that nobody answers.
answers=$(ping -c 3 -W 10 10.0.0.15)
say "$answers"
xl shutdown "$name"
