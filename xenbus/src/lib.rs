//! Xenstore and xenbus, for kernels that run as guests of Xen.
//!
//! * [`Store`]: the domain's connection to xenstore. Reads, writes, transactions, watches; each blocks, is awaited, or is looked
//!   at, from the same core. See [`store`].
//! * [`bus`]: devices. Enumeration, hot plug, the states of both halves, negotiation.
//! * [`control`]: what the tools ask of the domain itself. Shutdown, suspend, balloon, vCPUs.
//! * [`connection`] and [`wire`]: the protocol alone, without a heap and without waiting.
//!
//! What a kernel supplies is [`store::Platform`]: event channels and a clock. Then:
//!
//! ```
//! use xen_event_channel::{Channel, Events};
//! use xen_hypercall::Clock;
//! use xen_hypercall::abi::Port;
//! use xen_shared_ring::SharedMem;
//! use xen_xenbus::Store;
//! use xen_xenbus::store::Platform;
//!
//! /// The page and the port are those of the start info in PV, of `HVM_PARAM_STORE_PFN` and `HVM_PARAM_STORE_EVTCHN` elsewhere.
//! fn name<P: Platform>(kernel: &P, page: SharedMem, port: Port) -> Result<String, Box<dyn core::error::Error>> {
//!     let store = Store::attach(page, Channel::adopt(kernel, port)?, kernel.clone())?;
//!     Ok(store.read_text("name").wait()?)
//! }
//! # let machine = xen_sim::Machine::new(1);
//! # let guest = machine.domain();
//! # machine.xenstore().introduce(&guest);
//! # let (page, port) = guest.store().unwrap();
//! # assert!(!name(&guest, page, port).unwrap().is_empty());
//! ```
//!
//! `docs/xenbus.md` in the repository goes through a kernel's use of it from boot to suspend.
//!
//! # Promises
//!
//! The daemon and the backends can say anything, or nothing. Every wait ends at its deadline, every retry has a bound, every queue a
//! cap; what comes is checked, and what is wrong with it is a typed error that names the node and what stood there. No code here is
//! unsafe. (Tests `hc_100` to `hc_111`, `hc_126`, `hc_128` to `hc_150`, `hc_156` to `hc_160`, and those named `fault_`.)

#![no_std]
#![forbid(unsafe_code)]
#![cfg_attr(loom, allow(clippy::missing_const_for_fn, reason = "loom's parts are not made at compile time"))]

extern crate alloc;

pub mod bus;
pub mod connection;
pub mod control;
pub mod store;
mod sync;
pub mod wire;

pub use store::Store;

#[cfg(doctest)]
#[doc = include_str!("../../docs/xenbus.md")]
struct Guide;
