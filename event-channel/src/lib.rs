//! Event channels as counters: ports, dispatch, waiting.

#![no_std]

mod platform;
mod table;

pub use platform::Events;
pub use table::EventChannels;
