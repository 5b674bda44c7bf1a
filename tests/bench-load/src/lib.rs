//! What the guests of `cargo xtask bench` are told to do, and what they answer: the same for ours and for Linux.
//!
//! A guest says [`READY`], then carries out each line that is typed at its console, a [`Work`] or a [`Traffic`], and answers with
//! [`Figures`], or with [`FAILED`] and a reason. Where the other side has to do something, the guest says [`LISTENING`] before,
//! and goes on until it is told to [`STOP`]. [`END`] ends it. Each line of a guest's begins with [`MARK`], so that a console
//! that also has other things on it can be read.

#![no_std]
#![forbid(unsafe_code)]

mod places;
mod traffic;
mod words;

pub use places::{Places, STAMPED, stamp};
pub use traffic::{DISCARD, HTTP, NOBODY, NOBODYS_MAC, SOURCE, Traffic, What};
pub use words::{Figures, Malformed, Order, Work};

/// The first word of each line of a guest's.
pub const MARK: &str = "bench";
/// What a guest says when its device is there.
pub const READY: &str = "ready";
/// What a guest says, with a reason, when it cannot go on.
pub const FAILED: &str = "failed";
/// What a guest says when it is up to the other side.
pub const LISTENING: &str = "listening";
/// The line that ends a work in which the guest listens.
pub const STOP: &str = "stop";
/// The line that ends a guest.
pub const END: &str = "end";
