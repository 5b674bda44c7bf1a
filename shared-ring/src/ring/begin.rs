//! How an end begins.

use core::marker::PhantomData;

use super::{FrontRing, Ring};
use crate::memory::Region;
use crate::page::{RegionTooSmall, RingPage};
use crate::protocol::{Entries, Protocol};
use crate::role::Role;

impl<P: Protocol, M: Region, S: Entries<P>> FrontRing<P, M, S> {
    /// Makes a new ring in `region`, which no back uses yet. (`XEN_FRONT_RING_INIT`, public/io/ring.h)
    ///
    /// # Errors
    ///
    /// The region comes back when it is too small.
    pub fn init(region: M, size: S) -> Result<Self, (RegionTooSmall, M)> {
        Self::init_at(region, size, 0)
    }

    /// As [`init`](Self::init), with indices that begin at `start`. Only a back that attaches, and does not suppose that they begin
    /// at 0, gets along with that; it is of use to see what becomes of indices that wrap, which takes four thousand million messages
    /// otherwise. (`FRONT_RING_ATTACH`, public/io/ring.h)
    ///
    /// # Errors
    ///
    /// The region comes back when it is too small.
    pub fn init_at(region: M, size: S, start: u32) -> Result<Self, (RegionTooSmall, M)> {
        Self::over(region, size, |page| {
            page.clear(start);
            start
        })
    }
}

impl<R: Role, P: Protocol, M: Region, S: Entries<P>> Ring<R, P, M, S> {
    /// Takes over a ring that stands in `region`, with nothing outstanding, at our own producer index.
    ///
    /// That is what a back does with a front's new ring, and a front that reconnects to a back that answered all. A peer
    /// can have changed our index meanwhile, and only chooses where the count goes on by that. When the two indices
    /// cannot belong together, the end is broken from the start.
    /// (`BACK_RING_ATTACH`, `FRONT_RING_ATTACH`, public/io/ring.h)
    ///
    /// # Errors
    ///
    /// The region comes back when it is too small.
    pub fn attach(region: M, size: S) -> Result<Self, (RegionTooSmall, M)> {
        let mut ring = Self::over(region, size, |page| page.word(R::OUT_INDEX).load())?;
        let _kept = ring.known(ring.popped);
        Ok(ring)
    }

    /// An end with nothing outstanding, at the index that `start` answers with.
    fn over(region: M, size: S, start: impl FnOnce(&RingPage<P, S>) -> u32) -> Result<Self, (RegionTooSmall, M)> {
        let page = match RingPage::new(region.memory(), size) {
            Ok(page) => page,
            Err(error) => return Err((error, region)),
        };
        let start = start(&page);
        let push_limit = start.wrapping_add(R::push_ahead(page.entries()));
        let (pushed, published, popped, seen) = (start, start, start, start);
        Ok(Self { page, pushed, published, push_limit, popped, seen, health: Ok(()), region, role: PhantomData })
    }
}
