# Types at the shell for xenstore.
wait_for_line "xenstore:"
type_line "write data/x some words"
type_line "read data/x"
wait_for_line "some words"
say "written $(xs_read data/x)"
type_line "ls data"
wait_for_line x
type_line "read data/none"
wait_for_line "it does not exist (ENOENT)"
type_line "watch data/x"
wait_for_line "data/x is some words"
xs_write data/x news
wait_for_line "data/x is news"
type_line exit
wait_for_end
