//! What becomes of a disk's data when everything around it fails.
//!
//! The program `block-storm` runs lives of disks, each from a seed: random load on a [`Blkfront`](xen_blkfront::Blkfront) whose
//! simulated backend restarts, dies, hangs, fails and is replaced, in a domain that is suspended, with a store that is slow or
//! silent. Each request is followed to its one end, and the [`BlockOracle`](xen_sim::blkback::BlockOracle) knows what the disk may
//! hold:
//!
//! * D1: what a flush made durable is never lost.
//! * D2: an acknowledged write that is lost is told of by the next flush, and by each that was waiting then.
//! * D3: each request has one end; one whose backend died was sent again, or has an unknown outcome.
//! * D4: nothing succeeds that the backend did not do.
//!
//! [`Breakage`] breaks one of these on purpose, to show that it is found.
//!
//! The program `block-many` has one disk do very many requests, over the ends of the ring's indices.

#![expect(clippy::cast_possible_truncation, reason = "random numbers are cut to size; counts are small")]

pub mod life;
pub mod load;
pub mod perils;
pub mod rig;
pub mod tally;

pub use life::{Finding, live};
pub use load::Breakage;
pub use tally::Tally;
