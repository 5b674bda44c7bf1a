# Attaches a disk to a guest that takes it, and says what the guest asked of xenstored until it was connected: from xenstored's
# own trace, whose lines are `IN CONNECTION DATE TIME REQUEST (WORDS)`.
wait_for_line "ready" 60
xenstore-control logfile /tmp/trace-$name >&2
xenstore-control log on >&2
xl block-attach "$name" phy:/dev/ram1,xvda,w
xs_wait device/vbd/51712/state 4 60
xs_wait "$(xs_read device/vbd/51712/backend)/state" 4
sleep 1
xenstore-control log off >&2
# The guest's connection is the one that wrote the ring's reference.
connection=$(awk '$1 == "IN" && $5 == "WRITE" && /ring-ref/ { print $2; exit }' /tmp/trace-$name)
# Up to the end of the transaction that wrote our state 4, or to that write where there is none.
awk -v c="$connection" '
	$2 != c || $1 != "IN" { next }
	{ $1 = $2 = $3 = $4 = ""; line[++n] = $0 }
	/vbd\/51712\/state 4/ { last = n }
	last == n - 1 && / TRANSACTION_END/ { last = n }
	END { for (i = 1; i <= last; i++) print "request" line[i]; print "requests", last }' "/tmp/trace-$name" | tr -d '\000'
xl block-detach --force "$name" xvda
xl destroy "$name"
