//! Xen's guest ABI and typed hypercalls, for kernels that run as guests of Xen.
//!
//! * [`abi`]: every structure, constant and flag of Xen's public headers that an unprivileged guest uses.
//! * [`Hypercall`]: the only door to the hypervisor, with one small type per way to issue a call
//!   ([`issue`]). A simulator implements the same trait.
//! * One module for each of Xen's hypercalls, with a function for each of its operations.
//! * [`Pages`], [`Clock`] and [`Balloon`]: what a kernel supplies so that the crates above can share memory, wait, and give
//!   memory back.
//! * [`elf_note!`] and [`note`]: what a kernel tells the domain builder.
//! * [`pvclock`]: the time that Xen gives its guests.
//!
//! Every operation is a free function that takes the hypervisor first and answers with a `Result` whose error is an
//! [`Errno`]. It is `unsafe` where its effect could break Rust's rules: where memory is given away, mapped, or
//! entered. Nothing is remembered between calls, and nothing is allocated.
//!
//! ```
//! use xen_hypercall::{Errno, Hypercall, event_channel, abi::{DomId, Port}};
//!
//! /// Opens a channel to oneself, and signals it.
//! fn ring<H: Hypercall>(xen: &H) -> Result<Port, Errno> {
//!     let open = event_channel::alloc_unbound(xen, DomId::SELF, DomId::SELF)?;
//!     let ours = event_channel::bind_interdomain(xen, DomId::SELF, open)?;
//!     event_channel::send(xen, ours)?;
//!     Ok(open)
//! }
//! ```

#![no_std]

#[macro_use]
mod constants;

pub mod abi;
mod balloon;
mod call;
pub mod callback;
mod clock;
pub mod console_io;
pub mod event_channel;
pub mod grant_table;
pub mod hvm;
pub mod issue;
pub mod memory;
pub mod mmu;
pub mod multicall;
pub mod nmi;
pub mod note;
mod page;
pub mod physdev;
pub mod pv;
pub mod pvclock;
pub mod sched;
pub mod timer;
pub mod vcpu;
pub mod version;
pub mod vm_assist;

pub use abi::errno::Errno;
pub use balloon::Balloon;
pub use call::{Arg, Hypercall};
pub use clock::Clock;
pub use page::{Frame, Pages};
