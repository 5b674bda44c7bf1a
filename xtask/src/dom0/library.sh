# What scenarios can use. A scenario is a shell script that runs in domain 0 while its guest runs; it ends at the first
# command that fails. Its standard output is what it says to the runner.
#
# $name is the guest's name for xl, $log the file that its console is written to, over saves and restores as well.
#
# A function with its body in ( ) is a process of its own, which keeps its loops out of the trace. A function that waits
# has a limit in seconds; when it is over, it tells so and fails.

# What scenarios can do with disks and networks is in files of their own.
. /domu/modules.sh
. /domu/disks.sh
. /domu/networks.sh

# say TEXT...: says a line, even where standard output is taken, as inside $(...).
say() { printf '%s\n' "$*" >&5; }

# fail TEXT...: ends the scenario as failed.
fail() {
	echo "failed: $*" >&2
	exit 1
}

# wait_until SECONDS COMMAND...: repeats a command until it succeeds.
wait_until() (
	set +x
	seconds=$1 end=$(($(uptime_seconds) + $1))
	shift
	until "$@"; do
		[ "$(uptime_seconds)" -lt $end ] || { echo "not within $seconds s: $*" >&2; return 1; }
		usleep 100000
	done
)

uptime_seconds() (
	set +x
	read -r uptime _ </proc/uptime
	echo "${uptime%.*}"
)

# wait_for_line TEXT [SECONDS]: waits until the guest's console has a complete line with this text, after the line that
# the last call found (`grep -q TEXT "$log"` looks at all lines). It is then in $line.
wait_for_line() {
	look_for_line "$@" || return
	line=$(cat /tmp/line)
}

# Descriptor 6 remembers the place in the log, /tmp/begun the beginning of a line whose end had not come.
look_for_line() (
	set +x
	text=$1 seconds=${2:-20} begun=$(cat /tmp/begun 2>/dev/null) return=$(printf '\r') idle=0
	end=$(($(uptime_seconds) + seconds))
	while :; do
		if IFS= read -r rest <&6; then
			line=$begun$rest begun='' idle=0
			case $line in *"$text"*)
				: >/tmp/begun
				echo "${line%"$return"}" >/tmp/line
				return
				;;
			esac
		else
			begun=$begun$rest idle=$((idle + 1))
			usleep 100000
		fi
		read -r now _ </proc/uptime
		[ "${now%.*}" -lt $end ] || break
		# Asking xl each time would slow the guest down; xenconsoled may still have something to read.
		[ $((idle % 20)) -ne 19 ] || ! has_ended || end=$((${now%.*} + 1))
	done
	printf %s "$begun" >/tmp/begun
	echo "no line \"$text\" within $seconds s; the guest: $(guest_state)" >&2
	return 1
)

# skip_lines: makes the next wait_for_line look only at what comes from now on.
skip_lines() (
	set +x
	while IFS= read -r rest <&6; do :; done
	# The rest of a line that has begun is not from now on either, but nobody can tell where it will end.
	: >/tmp/begun
)

# type_line TEXT: types a line at the guest's console.
type_line() (
	set +x
	wait_until 10 xs_exists console/tty
	printf '%s\n' "$*" >"$(xs_read console/tty)"
)

# domid: prints the number of the guest's domain, another one after each restore.
domid() (
	set +x
	id=$(cat /tmp/domid 2>/dev/null)
	# xl is slow.
	if [ "$(xenstore-read "/local/domain/$id/name" 2>/dev/null)" != "$name" ]; then
		id=$(xl domid "$name") || return
		echo "$id" >/tmp/domid
	fi
	echo "$id"
)

# guest_state: prints `running`, `gone`, or `ended REASON` for a domain that has shut down (SHUTDOWN_* of sched.h).
guest_state() (
	set +x
	xl list -v "$name" 2>/dev/null | awk '
		NR == 2 { state = $5 ~ /s/ ? "ended " $8 : "running" }
		END { print state ? state : "gone" }'
)

# has_ended: whether the domain has shut down or is gone.
has_ended() (
	set +x
	[ "$(guest_state)" != running ]
)

# wait_for_end [SECONDS]: waits until the domain has shut down or is gone.
wait_for_end() { wait_until "${1:-20}" has_ended; }

# save FILE [SECONDS]: saves the guest to a file; its domain is gone afterwards.
save() ( xl_within "${2:-90}" save "$name" "$1" )

# restore FILE [SECONDS]: starts a domain from a file.
restore() ( xl_within "${2:-60}" restore -e "$1" )

# save_and_restore [SECONDS]: one round of both, each within the limit.
save_and_restore() (
	set +x
	before=$(domid) || return
	save /tmp/saved "${1:-90}" && restore /tmp/saved "${1:-90}" || return
	rm /tmp/saved
	after=$(domid) || return
	echo "domain $before was saved and restored as domain $after" >&2
)

# Runs xl with a limit, and tells all that is known when it fails.
xl_within() (
	set +x
	seconds=$1
	shift
	timeout "$seconds" xl "$@" >/tmp/xl.out 2>&1 && return
	status=$?
	# 143 is SIGTERM, which `timeout` sends.
	[ $status -eq 143 ] && why="not within $seconds s" || why="status $status"
	echo "xl $* failed ($why):"
	cat /tmp/xl.out
	echo "the domain is now: $(guest_state); control/shutdown: \"$(xs_read control/shutdown 2>/dev/null)\""
	return 1
) >&2

# Xenstore. A path without a leading / is one of the guest's own, as the guest would name it; `.` is all that it has.
#
# xs_read PATH, xs_write PATH VALUE..., xs_list PATH, xs_ls PATH, xs_rm PATH..., xs_exists PATH, xs_chmod PATH MODE...
xs_read() ( set +x; xenstore-read "$(at "$1")" )
xs_write() ( set +x; xenstore-write "$(at "$1")" "$2" )
xs_list() ( set +x; xenstore-list "$(at "$1")" )
xs_ls() ( set +x; xenstore-ls "$(at "$1")" )
xs_rm() ( set +x; xenstore-rm "$(at "$1")" )
xs_exists() ( set +x; xenstore-exists "$(at "$1")" )
xs_chmod() ( set +x; path=$(at "$1"); shift; xenstore-chmod "$path" "$@" )

# xs_fill PATH COUNT NAME: makes as many children, whose names are NAME with a number.
xs_fill() (
	set +x
	path=$(at "$1")
	seq "$2" | sed "s|.*|$path/$3& |; s|\$|x|" | xargs xenstore-write
)

# xs_wait PATH VALUE [SECONDS]: waits until a node has this value.
xs_wait() (
	set +x
	path=$(at "$1")
	wait_until "${3:-20}" has_value "$path" "$2" && return
	echo "$path is \"$(xenstore-read "$path" 2>&1)\"" >&2
	return 1
)

has_value() { [ "$(xenstore-read "$1" 2>/dev/null)" = "$2" ]; }

at() {
	case $1 in
	/*) printf %s "$1" ;;
	.) printf /local/domain/%s "$(domid)" ;;
	*) printf /local/domain/%s/%s "$(domid)" "$1" ;;
	esac
}
