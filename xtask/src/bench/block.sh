# Has a guest read its disk as the plan says, and says what each reading took.

# Whoever looks at the guest's console meanwhile is measured as well.
echo "$pause" >/tmp/pause
[ -e /tmp/filled ] || /domu/bench/linux-bench fill "$device"
: >/tmp/filled
wait_until 60 xs_exists console/tty
/domu/bench/linux-bench meter "$(xs_read console/tty)" /domu/bench/plan
echo 50000 >/tmp/pause
