//! Disks, for kernels that run as guests of Xen: the block front-end.
//!
//! * [`Blkfront`]: a disk, for its whole life. One core that never waits, and calls that do on top of it.
//! * [`Request`] and [`Completion`]: what is asked, and what came of it. Memory goes along as a [`Buffer`], and comes back.
//! * [`Flushed`]: whether what was written is durable. Never "yes" by assumption.
//! * [`Disks`]: all disks of the domain, as they come, go and come back.
//! * [`AsyncDisk`]: a disk for tasks. [`SharedDisk`]: a disk for a file system that waits.
//!
//! ```
//! use core::time::Duration;
//! use xen_blkfront::{Blkfront, Flushed, Options, Platform, Sector512, Which};
//! use xen_xenbus::Store;
//!
//! fn first_sector<P: Platform>(store: &Store<P>) -> Result<[u8; 512], Box<dyn core::error::Error>> {
//!     let mut disk = Blkfront::find(store, Which::First, Options::DEFAULT, Duration::from_secs(30))?;
//!     let mut sector = [0; 512];
//!     disk.read(Sector512(0), &mut sector)?;
//!     disk.write(Sector512(0), &sector)?;
//!     if disk.flush()? != Flushed::Durable {
//!         println!("nobody knows whether it would survive a power failure");
//!     }
//!     Ok(sector)
//! }
//! ```

//! # Features
//!
//! None is on by default. Each implements a trait of the crate of its name:
//!
//! | feature | trait | for | on |
//! |---|---|---|---|
//! | `block-device-driver` | `BlockDevice<512>`, `BlockDevice<4096>` | asynchronous users of blocks | [`AsyncDisk`] |
//! | `embedded-sdmmc` | `BlockDevice` | FAT16 and FAT32, to read and write | [`SharedDisk`] |
//! | `ext4-view` | `Ext4Read` | ext2, ext3 and ext4, to read | [`SharedDisk`] |
//!
//! `docs/blkfront.md` in the repository goes through a kernel's use of disks.

#![no_std]
#![forbid(unsafe_code)]

extern crate alloc;

mod adapters;
mod asynchronous;
mod blocking;
mod buffer;
mod cache;
mod connection;
mod device;
mod disk;
mod driver;
mod error;
mod event;
mod find;
mod jobs;
mod lending;
mod life;
mod options;
mod phase;
mod question;
mod queue;
mod reap;
mod replay;
mod request;
mod sector;
mod send;
mod share;
mod shared;
mod stall;
mod suspend;
mod wait;
mod wire;

use xen_grant_table::Memory;

pub use asynchronous::AsyncDisk;
pub use buffer::Buffer;
pub use device::Blkfront;
pub use disk::{DiscardLimits, Disk};
pub use driver::Disks;
pub use error::{FindError, IoError, Rejection};
pub use event::{Event, Statistics};
pub use find::{KIND, Which, number};
pub use options::{MOST_DEPTH, MOST_QUEUES, MOST_RING_ORDER, MOST_SEGMENTS, Options, Persistent, Trust, Vanishing};
pub use request::{Completion, Discard, Done, Flushed, NotDurable, Rejected, Request, RequestId, Unknown};
pub use sector::{SECTOR, Sector512};
pub use shared::SharedDisk;

/// What a kernel supplies for disks: what [xenstore](xen_xenbus::store::Platform) needs, and its memory.
pub trait Platform: xen_xenbus::store::Platform + Memory {}

impl<P: xen_xenbus::store::Platform + Memory> Platform for P {}

#[cfg(doctest)]
#[doc = include_str!("../../docs/blkfront.md")]
struct Guide;
