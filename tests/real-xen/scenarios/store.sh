# What domain 0 can do to the guest's part of xenstore.
wait_for_line "type a line"
xs_write data/one "a value"
say "read $(xs_read data/one)"
xs_exists data/one
if xs_exists data/two; then fail "a node that nobody wrote is there"; fi

# More than an answer of xenstored's can hold.
xs_fill data/many 200 child-with-a-long-name-
say "children $(xs_list data/many | wc -l)"
say "bytes $(xs_list data/many | wc -c)"

# Its owner is the guest; a domain that does not exist is refused.
me=$(domid)
xs_chmod data/one "n$me" r0
say "permissions $(xenstore-ls -p "$(at data)" | sed -n "s/^one.*(n$me,/(n,/p")"
if xs_chmod data/one n999; then fail "a node belongs to no domain"; fi
xs_rm data/one
if xs_exists data/one; then fail "a node that was removed is there"; fi

# A watch is told of a write.
xenstore-watch -n 2 "$(at data/many)" >/tmp/watched &
wait_until 5 test -s /tmp/watched
xs_write data/many/one-more x
wait_until 5 grep -q one-more /tmp/watched
type_line end
