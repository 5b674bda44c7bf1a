//! The same operations on our rings and on Xen's own macros, compared and counted.
//!
//! * [`c`] compiles `c/end.c`, a process that is one end of a ring made of the macros of `xen/io/ring.h`; [`ours`] is an end of
//!   `xen-shared-ring` behind the same trait, [`End`].
//! * [`script`] makes random sequences of calls; [`pair`] runs one sequence on every combination of a front and a back end (ours
//!   and C's), and demands after each call that all combinations answered the same and left the same bytes in the whole shared
//!   memory.
//! * [`planted`] is the negative control: an end with one small fault, which must be found.
//! * [`cost`] counts instructions of our frontends and of C's in the same scenarios, by valgrind's callgrind.

pub mod c;
pub mod cost;
pub mod end;
pub mod ours;
pub mod pair;
pub mod planted;
pub mod protocol;
pub mod script;

pub use end::{Answer, Call, End, Start};
pub use pair::{Difference, compare};
pub use protocol::Protocol;
