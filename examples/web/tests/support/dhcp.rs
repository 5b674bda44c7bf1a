//! Who gives addresses to machines that ask.
