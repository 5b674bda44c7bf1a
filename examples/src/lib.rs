//! What sample unikernels have in common.

#![no_std]

extern crate alloc;

mod network;
mod requests;

pub use network::{Network, Turn};
pub use requests::Requests;
