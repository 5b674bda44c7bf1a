//! Time of a vCPU.

use static_assertions::const_assert_eq;
use zerocopy::{FromBytes, Immutable, IntoBytes, KnownLayout};

/// What a vCPU needs to turn its time stamp counter into system time.
///
/// Xen updates it at any moment. A copy is good when `version` was even and the same before and after.
/// System time in nanoseconds is
/// `system_time + (((tsc - tsc_timestamp) << tsc_shift) * tsc_to_system_mul) >> 32`.
///
/// `struct vcpu_time_info`, public/xen.h
#[derive(Clone, Copy, Debug, Default, FromBytes, IntoBytes, Immutable, KnownLayout)]
#[repr(C)]
pub struct VcpuTimeInfo {
    /// Counts updates; odd while one is going on.
    pub version: u32,
    /// Unused.
    ///
    /// C: `pad0`
    pub _pad0: u32,
    /// The counter at the last update, in ticks.
    pub tsc_timestamp: u64,
    /// System time at the last update, in nanoseconds since boot.
    pub system_time: u64,
    /// Nanoseconds per (shifted) tick, as a fixed-point number with 32 fractional bits.
    pub tsc_to_system_mul: u32,
    /// Bits to shift the ticks left, right where negative.
    pub tsc_shift: i8,
    /// Properties of the clock, see [`PvclockFlags`].
    pub flags: u8,
    /// Unused.
    ///
    /// C: `pad1`
    pub _pad1: [u8; 2],
}

flags! {
    /// Properties of a vCPU's clock.
    ///
    /// `XEN_PVCLOCK_*`, public/xen.h
    pub struct PvclockFlags: u8 {
        /// The counters of all vCPUs agree: time never goes back between them.
        ///
        /// `XEN_PVCLOCK_TSC_STABLE_BIT`, public/xen.h
        TSC_STABLE_BIT = 1 << 0;
        /// The guest was stopped, for example by a debugger.
        ///
        /// `XEN_PVCLOCK_GUEST_STOPPED`, public/xen.h
        GUEST_STOPPED = 1 << 1;
    }
}

const_assert_eq!(size_of::<VcpuTimeInfo>(), 32);
