//! Network interfaces, for kernels that run as guests of Xen: the network front-end.
//!
//! * [`Netfront`]: an interface, for its whole life. It never waits, but where it says so.
//! * [`Interfaces`]: all interfaces of the domain, as they come, go and come back.
//! * [`SharedInterfaces`]: the same, for a loop and the tasks in it. [`AsyncInterface`]: one of them, for any number of tasks.
//! * [`TxToken`]: room for a packet. Its slots and its pages are set aside, so that sending cannot fail.
//! * [`RxToken`]: a packet that has come, whole and checked, in memory that nobody else can reach.
//! * [`Link`]: what was agreed upon: address, MTU, offloads, whether there is a link.
//!
//! ```
//! use core::time::Duration;
//! use xen_netfront::{FindError, Netfront, Options, Platform, Which};
//! use xen_xenbus::Store;
//!
//! /// Sends back every packet that comes, for a second.
//! fn echo<P: Platform>(store: &Store<P>) -> Result<(), FindError> {
//!     let mut interface = Netfront::find(store, Which::First, Options::DEFAULT, Duration::from_secs(30))?;
//!     let end = store.now() + Duration::from_secs(1);
//!     while store.now() < end {
//!         while let Some(event) = interface.poll(store.now()) {
//!             println!("{event:?}");
//!         }
//!         while let Some((packet, room)) = interface.receive_and_transmit() {
//!             packet.consume(|bytes| room.consume(bytes.len(), |into| into.copy_from_slice(bytes)));
//!         }
//!         // One signal for all of them.
//!         interface.flush_notifications();
//!         let _ = interface.wait(end);
//!     }
//!     Ok(())
//! }
//! ```
//!
//! # Features
//!
//! None is on by default. Each implements a trait of the crate of its name:
//!
//! | feature | trait | use |
//! |---|---|---|
//! | `smoltcp` | `phy::Device` for [`Netfront`] | TCP/IP, polled |
//! | `embassy-net-driver` | `Driver` for `EmbassyDriver` | TCP/IP for tasks |
//!
//! `docs/netfront.md` in the repository goes through a kernel's use of interfaces.
//!
//! # Cost
//!
//! The pages through which packets go are granted once for each connection. In a steady state a packet costs no allocation and no
//! hypercall: a burst is shown to the backend at once, with one signal, or none where it is at work already. A packet is written
//! straight into the page from which the backend takes it. One that comes, in one piece, is read in the page where the backend put
//! it, which is taken back before and granted anew after (two writes of an entry in the grant table); smaller ones, and those of
//! several pieces, are copied.
//!
//! # What a hostile backend can do
//!
//! It can keep packets, and send any that it likes. What it breaks of the protocol's rules ends the connection, which is made anew
//! after a pause that doubles; a packet that makes no sense is dropped and counted by its [reason](Dropped). It sees what it is sent,
//! and zeros. `docs/netfront.md` names the test of each of these.

#![no_std]
#![forbid(unsafe_code)]

extern crate alloc;

mod adapters;
mod announce;
mod asynchronous;
mod chain;
mod connection;
mod control;
mod device;
mod driver;
mod error;
mod event;
mod find;
mod headers;
mod life;
mod link;
mod multicast;
mod options;
mod packet;
mod queue;
mod receive;
mod rx_token;
mod sentry;
mod shared;
mod statistics;
mod steering;
mod suspend;
mod takes;
mod train;
mod transmit;
mod tx_token;
mod wait;
mod wire;

use xen_grant_table::Memory;

#[cfg(feature = "embassy-net-driver")]
pub use adapters::{Came, EmbassyDriver, Room};
pub use announce::{ANNOUNCEMENT, announcement};
pub use asynchronous::AsyncInterface;
pub use chain::Dropped;
pub use device::Netfront;
pub use driver::Interfaces;
pub use error::{Ended, FindError, SendError};
pub use event::Event;
pub use find::{KIND, Which};
pub use headers::Transport;
pub use link::{Carrier, Link};
pub use multicast::{GroupError, MOST_GROUPS, Multicast};
pub use options::{Channels, Checksums, MOST_QUEUES, Offer, Options, RING_SLOTS};
pub use packet::{Checksum, ETHERNET_HEADER, Gso, GsoKind, Hash, Made, Meta, Order};
pub use rx_token::RxToken;
pub use shared::SharedInterfaces;
pub use statistics::{Received, Sent, Statistics};
pub use steering::{InvalidSteering, MOST_KEY, MOST_MAPPING, Steering, Unsteered};
pub use tx_token::TxToken;
pub use xen_hypercall::abi::io::netif::{CtrlStatus, CtrlType, HashTypes};

/// What a kernel supplies for interfaces: what [xenstore](xen_xenbus::store::Platform) needs, and its memory.
pub trait Platform: xen_xenbus::store::Platform + Memory {}

impl<P: xen_xenbus::store::Platform + Memory> Platform for P {}

#[cfg(doctest)]
#[doc = include_str!("../../docs/netfront.md")]
struct Guide;
