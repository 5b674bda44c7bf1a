//! The two consoles that Xen gives a guest.
//!
//! * [`Console`]: the PV console, a page shared with the console daemon. It is split into an [`Output`] and an
//!   [`Input`], which can be owned by different parts of a kernel.
//! * [`EmergencyConsole`]: Xen's own console, one hypercall per write. It works before anything else does and
//!   when nothing else does any more.
//!
//! Both are [`core::fmt::Write`]. [`CrLf`] ends lines for a terminal in raw mode, [`LogBudget`] bounds the log
//! lines that a peer can cause. With the feature `embedded-io` the PV console has that crate's traits, with
//! the feature `log` there is a `Logger`.
//!
//! # Promises
//!
//! The console daemon can lose, invent and withhold bytes. It cannot hold up a writer or a reader for longer
//! than its [`Patience`], grow memory, or make any call panic. Lost output is counted, and marked in the output
//! itself. (Tests `hc_151` to `hc_155` and `fault_20`.)
//!
//! # Example
//!
//! A kernel takes the page's address and the event channel from its start info and sends an event to notify;
//! here both ends are in one program.
//!
//! ```
//! # use std::ptr::NonNull;
//! use core::fmt::Write;
//! use xen_console::Console;
//! use xen_shared_ring::SharedMem;
//!
//! # #[repr(align(4096))] struct Page([u8; 4096]);
//! # let page = NonNull::from(Box::leak(Box::new(Page([0; 4096])))).cast();
//! let notify = || { /* EVTCHNOP_send on the console's port */ };
//! // SAFETY: the page stays mapped and is reached through the console only.
//! let page = unsafe { SharedMem::new(page, 4096) };
//! let mut console = Console::attach(page, notify).expect("a whole page, aligned");
//!
//! writeln!(console.output, "booting").unwrap(); // never fails
//! assert_eq!(console.output.unread(), Ok(8));
//!
//! // Nobody reads: what does not fit is dropped after a bounded wait, and counted.
//! console.output.write_or_drop(&[b'.'; 3000]);
//! assert_eq!(console.output.dropped(), 3000 - (2048 - 8));
//! ```

#![no_std]
#![forbid(unsafe_code)]

mod budget;
mod crlf;
#[cfg(feature = "embedded-io")]
mod embedded;
mod emergency;
mod input;
#[cfg(feature = "log")]
mod logger;
mod output;
mod page;
mod wait;

pub use budget::{LogBudget, Permit};
pub use crlf::CrLf;
pub use emergency::EmergencyConsole;
pub use input::{Drained, Input};
#[cfg(feature = "log")]
pub use logger::Logger;
pub use output::Output;
pub use page::Console;
pub use wait::{ConsoleError, Notify, Patience};
