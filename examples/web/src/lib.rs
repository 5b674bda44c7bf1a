//! The example `web`, less the guest around it: an HTTP server for a kernel that has one thread and no executor.
//!
//! * [`Stack`]: what drives smoltcp on any [network device](smoltcp::phy::Device), with an address of its own or by DHCP.
//! * [`Web`]: the server, on the sockets of a stack. [`Web::poll`] does what there is to do and never waits; time is an argument.
//! * [`Files`]: what is served besides the figures: [`Ext4Files`] of a disk, [`MemoryFiles`] of the program itself.
//! * [`Figures`]: what the kernel tells of itself, for `/status`, `/status.json` and `/metrics`.
//!
//! A client can send at most [`MOST_HEAD`] bytes for a request, has a time limit for everything that it does, and loses its
//! connection to others who wait where it does nothing.
//!
//! ```
//! use core::time::Duration;
//! use smoltcp::phy::{Loopback, Medium};
//! use xen_web_example::{Address, MemoryFiles, Options, Snapshot, Stack, Web};
//!
//! let files = MemoryFiles::new(&[("/index.html", b"<!DOCTYPE html><title>Hello</title>")]);
//! let mut net = Loopback::new(Medium::Ethernet);
//! let mut stack = Stack::new(&mut net, [2, 0, 0, 0, 0, 1], Address::Dhcp, 1);
//! let mut web = Web::new(&mut stack.sockets, files, |_: &Loopback| Snapshot::default(), Options::DEFAULT);
//!
//! let now = Duration::from_secs(1);
//! stack.receive(&mut net, now);
//! stack.take_lease();
//! web.poll(&mut stack.sockets, &net, now);
//! stack.transmit(&mut net, now);
//! // The kernel sleeps until then, or until the network device has an event.
//! let until = stack.next_deadline(now).into_iter().fold(web.next_deadline(now), Duration::min);
//! assert!(until <= now + Duration::from_secs(1));
//! ```

#![no_std]
#![forbid(unsafe_code)]

extern crate alloc;

mod address;
mod answer;
mod connection;
mod date;
mod ext4;
mod figures;
mod files;
mod head;
mod history;
mod kinds;
mod metrics;
mod page;
mod path;
mod request;
mod site;
mod stack;
mod status;
mod web;

pub use address::{Address, AddressError};
pub use ext4::Ext4Files;
pub use figures::{Figures, Level, Snapshot, Traffic};
pub use files::{File, Files, MemoryFile, MemoryFiles, OpenError, ReadError};
pub use request::MOST_HEAD;
pub use site::Counts;
pub use stack::{Lease, Stack};
pub use web::{Options, Web};
