# Asks a guest that knows nothing of it for memory.
wait_for_line "type a line"
xl mem-set "$name" 12
say "target $(xs_read memory/target)"
say "listed $(xl list "$name" | awk 'NR == 2 { print $3 }')"
type_line end
