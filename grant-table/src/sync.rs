//! The atomics of this crate: the processor's, or those of a loom model.

#[cfg(not(loom))]
pub(crate) use core::sync::atomic::{AtomicBool, AtomicPtr, AtomicU16, AtomicU32, AtomicU64, Ordering, fence};

#[cfg(loom)]
pub(crate) use loom::sync::atomic::{AtomicBool, AtomicPtr, AtomicU16, AtomicU32, AtomicU64, Ordering, fence};

/// A constructor that is `const`, so that a kernel's table can be a static. Loom's atomics cannot be made in one.
#[cfg(not(loom))]
macro_rules! constructor {
    ($(#[$meta:meta])* $visibility:vis fn $name:ident() -> $type:ty $body:block) => {
        $(#[$meta])*
        $visibility const fn $name() -> $type $body
    };
}

#[cfg(loom)]
macro_rules! constructor {
    ($(#[$meta:meta])* $visibility:vis fn $name:ident() -> $type:ty $body:block) => {
        $(#[$meta])*
        #[allow(clippy::missing_const_for_fn, reason = "it is one, without loom")]
        $visibility fn $name() -> $type $body
    };
}

/// An array of which each element is made anew.
#[cfg(not(loom))]
macro_rules! each {
    ($element:expr) => {
        [const { $element }; _]
    };
}

#[cfg(loom)]
macro_rules! each {
    ($element:expr) => {
        core::array::from_fn(|_| $element)
    };
}

pub(crate) use {constructor, each};
