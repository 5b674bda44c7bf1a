//! Rings in memory that another domain can write, for kernels that run as guests of Xen.
//!
//! * [`SharedBytes`] and [`SharedWord`]: memory of which the peer may change any bit at any instant. There is
//!   no reference to it; what is read is a copy.
//! * [`Producer`] and [`Consumer`]: the two ends of one direction of a byte ring, as Xen's console and
//!   xenstore use them. What a hostile peer can do to them is listed in [`byte_ring`].
//!
//! Every fence and every ordering stronger than relaxed is in one private module, `order`, where each names
//! its pair.

#![no_std]

pub mod byte_ring;
mod error;
mod memory;
mod order;

pub use byte_ring::{ByteRing, Consumer, Producer, RingSize};
pub use error::PeerError;
pub use memory::{SharedBytes, SharedWord};
