//! What a client that does something wrong is answered, and that others do not suffer.

mod support;
