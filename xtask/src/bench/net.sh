# Has a guest use its network interface as the plan says, with domain 0 at the other end, and says what each work took.

# Whoever looks at the guest's console meanwhile is measured as well.
echo "$pause" >/tmp/pause
wait_until 120 test -e /tmp/answered
/domu/bench/linux-bench boot /tmp/starting /tmp/answered
[ -e /proc/net/pktgen ] || load_modules /domu/spare/pktgen
wait_until 60 xs_exists console/tty
/domu/bench/linux-bench traffic "$(xs_read console/tty)" /domu/bench/plan "$(vif)"
echo 50000 >/tmp/pause
