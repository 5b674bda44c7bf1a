# Plays domain 0 for the guest `xenbus`: does what it waits for, each time that it says "play".
wait_for_line "play conflict"
xs_write data/count 100
xs_write data/played conflict
wait_for_line "play watch"
xs_write data/watched/below news
xs_write data/played watch
wait_for_line "play directory"
xs_fill data/many 300 a-rather-long-name-
xs_write data/played directory
wait_for_end 120
