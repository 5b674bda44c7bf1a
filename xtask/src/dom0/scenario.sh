#!/bin/sh
# Runs a scenario beside its guest: scenario.sh SCRIPT NAME LOG.
#
# Events: `said` for each line that the script wrote, `traced` for each command and complaint, `scenario` with the
# status. Then waits for the guest's end and leaves it in /tmp/ending, as an event.

script=$1 name=$2 log=$3
export name log
. /domu/events.sh
. /domu/library.sh

# Runs the script in a session of its own, with nothing left of it afterwards; its output arrives before its status.
run_script() {
	rm -f /tmp/said /tmp/traced /tmp/begun
	mkfifo /tmp/said /tmp/traced
	event_lines said </tmp/said &
	said=$!
	event_lines traced </tmp/traced &
	traced=$!
	setsid sh -c '. /domu/library.sh; exec 5>&1 6<"$log"; set -eux; . "$0"' "$script" </dev/null >/tmp/said 2>/tmp/traced 4>&- &
	session=$!
	status=0
	wait $session || status=$?
	kill -KILL -$session 2>/dev/null
	# Should a daemon that it started hold on to its output.
	{ sleep 5 && kill $said $traced; } 2>/dev/null &
	wait $said $traced
	event scenario $status
}

run_script
# Nobody waits for a guest whose scenario failed; if it has ended, how is of interest.
[ $status -eq 0 ] || has_ended || xl destroy "$name" 2>/dev/null
while ending=$(guest_state) && [ "$ending" = running ]; do usleep 300000; done
case $ending in
gone) echo destroyed ;;
*) echo "$ending" ;;
esac >/tmp/ending.new
mv /tmp/ending.new /tmp/ending
