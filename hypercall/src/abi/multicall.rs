//! Several hypercalls in one.

use crate::Arg;
use static_assertions::const_assert_eq;

/// One call of a batch.
///
/// `struct multicall_entry`, public/xen.h
#[derive(Clone, Copy, Debug)]
#[repr(C)]
pub struct Entry {
    /// The number of the hypercall, see [`Number`](super::Number).
    pub op: u64,
    /// Xen's answer, as the hypercall itself would give it: negative numbers are `-errno`.
    pub result: u64,
    /// The call's arguments.
    pub args: [Arg; 6],
}

const_assert_eq!(size_of::<Entry>(), 64);
