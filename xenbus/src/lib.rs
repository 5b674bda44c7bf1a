//! Xenstore and xenbus, for kernels that run as guests of Xen.

#![no_std]
#![forbid(unsafe_code)]

extern crate alloc;

pub mod bus;
pub mod connection;
pub mod control;
pub mod store;
mod sync;
pub mod wire;

pub use store::Store;
