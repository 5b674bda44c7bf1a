//! What sample unikernels have in common.

#![no_std]

extern crate alloc;

mod network;
mod options;
mod requests;

pub use network::{Network, Turn};
pub use options::interface_options;
pub use requests::Requests;
