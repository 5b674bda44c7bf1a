//! The same operations on our rings and on Xen's own macros, compared and counted.
