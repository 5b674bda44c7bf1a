//! The atomics that this crate's memory is made of.
//!
//! Under `cfg(loom)` they are loom's, which a model checker follows. Those have no constant constructor and another size, so
//! that tables are smaller there, and the memory that is shared with Xen must be made by the model (see `model`).

#[cfg(not(loom))]
pub(crate) use core::sync::atomic::{AtomicPtr, AtomicU8, AtomicU32, AtomicU64};

#[cfg(loom)]
pub(crate) use loom::sync::atomic::{AtomicPtr, AtomicU8, AtomicU32, AtomicU64};

/// Statistics: no order rests on them, so that a model has nothing to follow.
pub(crate) use core::sync::atomic::AtomicU32 as Tally;
pub(crate) use core::sync::atomic::Ordering::Relaxed;

/// An array of new atomics, or of what is made of them.
macro_rules! array {
    ($new:expr) => {{
        #[cfg(not(loom))]
        let array = [const { $new }; _];
        #[cfg(loom)]
        let array = core::array::from_fn(|_| $new);
        array
    }};
}

/// A constructor that is constant, except under loom.
macro_rules! constructor {
    ($(#[$meta:meta])* $visibility:vis fn new() -> Self $body:block) => {
        $(#[$meta])*
        #[cfg(not(loom))]
        #[must_use]
        $visibility const fn new() -> Self $body

        $(#[$meta])*
        #[cfg(loom)]
        #[must_use]
        $visibility fn new() -> Self $body
    };
}

pub(crate) use {array, constructor};
