//! Xen's guest ABI and typed hypercalls, for kernels that run as guests of Xen.
//!
//! * [`abi`]: every structure, constant and flag of Xen's public headers that an unprivileged guest uses.
//! * [`Hypercall`]: the only door to the hypervisor, with one small type per way to issue a call
//!   ([`issue`]). A simulator implements the same trait.

#![no_std]

#[macro_use]
mod constants;

pub mod abi;
mod call;
pub mod issue;

pub use abi::errno::Errno;
pub use call::{Arg, Hypercall};
