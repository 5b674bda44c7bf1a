# Types at the console of `echo` and waits for what it answers.
wait_for_line "type a line"
type_line "one line"
wait_for_line "you typed"
wait_for_line "one line"
say "answer $line"
type_line end
wait_for_end
