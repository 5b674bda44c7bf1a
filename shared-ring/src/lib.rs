//! Rings in memory that another domain can write, for kernels that run as guests of Xen.
//!
//! * [`SharedMem`]: memory of which the peer may change any bit at any instant. There is
//!   no reference to it; what is read is a copy. A [`Region`] owns such memory.
//! * [`FrontRing`] and [`BackRing`]: the two ends of a ring of requests and responses, as block, network and most other
//!   split drivers use it; [`InFlight`]: the requests that wait for their response. What a hostile peer can do to them is
//!   listed in [`ring`] and [`in_flight`].
//! * [`Producer`] and [`Consumer`]: the two ends of one direction of a byte ring, as Xen's console and
//!   xenstore use them. What a hostile peer can do to them is listed in [`byte_ring`].
//!
//! Every fence and every ordering stronger than relaxed is in one private module, `order`, where each names
//! its pair. The rule by which an index of the peer is accepted is in another one, `law`, for all rings.

#![no_std]

pub mod byte_ring;
#[cfg(not(loom))]
mod bytes;
#[cfg(loom)]
mod bytes_loom;
mod drain;
mod error;
pub mod in_flight;
mod law;
mod memory;
mod order;
mod page;
mod protocol;
pub mod ring;
mod role;
mod sync;
mod untrusted;

pub use byte_ring::{ByteRing, Consumer, Producer};
pub use drain::Drain;
pub use error::{Full, PeerError};
pub use in_flight::InFlight;
pub use law::Notify;
pub use memory::{Region, SharedMem, SharedWord};
pub use page::RegionTooSmall;
pub use protocol::{Entries, OnePage, Prefix, Protocol, Slot, Slots};
pub use ring::{BackRing, FrontRing, Ring};
pub use role::{Back, Front, Role};
pub use untrusted::Untrusted;
