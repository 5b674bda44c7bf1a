# Many bytes over TCP to and from the guest `tcp`, by a program that takes seconds where busybox takes minutes; both ends must have
# seen the same ones.

# bulk_send PORT BYTES, bulk_receive PORT BYTES.
bulk_send() {
	sum=$(/domu/tests/bulk send "$guest_address:$1" "$2")
	wait_for_line "received $2 bytes" 60
	[ "$line" = "received $sum" ] || fail "the guest has received something else than $sum"
}
bulk_receive() {
	sum=$(/domu/tests/bulk receive "$guest_address:$1")
	wait_for_line "sent $2 bytes" 60
	[ "$line" = "sent $sum" ] || fail "$sum have come from the guest"
}

