//! Bringing up vCPUs, their timers and their run-state.

use super::Gfn;
use super::time::VcpuTimeInfo;
use static_assertions::const_assert_eq;
use zerocopy::{FromBytes, Immutable, IntoBytes, KnownLayout};

constants! {
    /// What `vcpu_op` does to a vCPU.
    ///
    /// `VCPUOP_*`, public/vcpu.h
    pub struct Command: u32 {
        /// Sets the first state of a vCPU: a PV guest's or an HVM guest's context of the architecture.
        ///
        /// `VCPUOP_initialise`, public/vcpu.h
        INITIALISE = 0;
        /// Lets an initialised vCPU run. No argument.
        ///
        /// `VCPUOP_up`, public/vcpu.h
        UP = 1;
        /// Stops a vCPU, at once only where it is the caller. No argument.
        ///
        /// `VCPUOP_down`, public/vcpu.h
        DOWN = 2;
        /// Returns 1 where the vCPU is up. No argument.
        ///
        /// `VCPUOP_is_up`, public/vcpu.h
        IS_UP = 3;
        /// Returns how a vCPU has spent its time, see [`RunstateInfo`].
        ///
        /// `VCPUOP_get_runstate_info`, public/vcpu.h
        GET_RUNSTATE_INFO = 4;
        /// Lets Xen keep that up to date in memory, see [`RegisterRunstateMemoryArea`].
        ///
        /// `VCPUOP_register_runstate_memory_area`, public/vcpu.h
        REGISTER_RUNSTATE_MEMORY_AREA = 5;
        /// Sets the periodic timer, see [`SetPeriodicTimer`].
        ///
        /// `VCPUOP_set_periodic_timer`, public/vcpu.h
        SET_PERIODIC_TIMER = 6;
        /// Stops the periodic timer. No argument.
        ///
        /// `VCPUOP_stop_periodic_timer`, public/vcpu.h
        STOP_PERIODIC_TIMER = 7;
        /// Sets the single-shot timer, see [`SetSingleshotTimer`].
        ///
        /// `VCPUOP_set_singleshot_timer`, public/vcpu.h
        SET_SINGLESHOT_TIMER = 8;
        /// Stops the single-shot timer. No argument.
        ///
        /// `VCPUOP_stop_singleshot_timer`, public/vcpu.h
        STOP_SINGLESHOT_TIMER = 9;
        /// Moves the vCPU's info out of the shared info page, see [`RegisterVcpuInfo`]. Once per vCPU.
        ///
        /// `VCPUOP_register_vcpu_info`, public/vcpu.h
        REGISTER_VCPU_INFO = 10;
        /// Sends a non-maskable interrupt. No argument.
        ///
        /// `VCPUOP_send_nmi`, public/vcpu.h
        SEND_NMI = 11;
        /// Returns the ids of the processor that a vCPU is pinned to, see [`GetPhysid`].
        ///
        /// `VCPUOP_get_physid`, public/vcpu.h
        GET_PHYSID = 12;
        /// Lets Xen keep a second copy of the vCPU's time, see [`RegisterTimeMemoryArea`].
        ///
        /// `VCPUOP_register_vcpu_time_memory_area`, public/vcpu.h
        REGISTER_VCPU_TIME_MEMORY_AREA = 13;
        /// As [`REGISTER_RUNSTATE_MEMORY_AREA`](Self::REGISTER_RUNSTATE_MEMORY_AREA), with a guest physical address
        /// in place of the pointer; all ones takes it back.
        ///
        /// `VCPUOP_register_runstate_phys_area`, public/vcpu.h (from Xen 4.18)
        REGISTER_RUNSTATE_PHYS_AREA = 14;
        /// As [`REGISTER_VCPU_TIME_MEMORY_AREA`](Self::REGISTER_VCPU_TIME_MEMORY_AREA), with a guest physical address
        /// in place of the pointer; all ones takes it back.
        ///
        /// `VCPUOP_register_vcpu_time_phys_area`, public/vcpu.h (from Xen 4.18)
        REGISTER_VCPU_TIME_PHYS_AREA = 15;
    }
}

constants! {
    /// What a vCPU is doing, as its scheduler sees it.
    ///
    /// `RUNSTATE_*`, public/vcpu.h
    pub struct Runstate: i32 {
        /// It runs.
        ///
        /// `RUNSTATE_running`, public/vcpu.h
        RUNNING = 0;
        /// It could run, but has no processor: the time that others steal.
        ///
        /// `RUNSTATE_runnable`, public/vcpu.h
        RUNNABLE = 1;
        /// It sleeps until an event.
        ///
        /// `RUNSTATE_blocked`, public/vcpu.h
        BLOCKED = 2;
        /// It is paused or down.
        ///
        /// `RUNSTATE_offline`, public/vcpu.h
        OFFLINE = 3;
    }
}

/// How a vCPU has spent its time.
///
/// `struct vcpu_runstate_info`, public/vcpu.h
#[derive(Clone, Copy, Debug, Default, FromBytes, IntoBytes, Immutable, KnownLayout)]
#[repr(C)]
pub struct RunstateInfo {
    /// What it is doing.
    pub state: Runstate,
    /// Padding before the time.
    pub _pad: u32,
    /// Since when, in nanoseconds of system time; [`RUNSTATE_UPDATE`] may be set in it.
    pub state_entry_time: u64,
    /// Nanoseconds spent in each [`Runstate`].
    pub time: [u64; 4],
}

/// Set in [`RunstateInfo::state_entry_time`] while Xen updates a mapped copy.
///
/// `XEN_RUNSTATE_UPDATE`, public/vcpu.h
pub const RUNSTATE_UPDATE: u64 = 1 << 63;

/// Where Xen keeps a vCPU's run-state.
///
/// `struct vcpu_register_runstate_memory_area`, public/vcpu.h
#[derive(Clone, Copy, Debug)]
#[repr(C)]
pub struct RegisterRunstateMemoryArea {
    /// The place, which stays Xen's until another is registered.
    ///
    /// C: `addr.v`
    pub addr: *mut RunstateInfo,
}

/// Where Xen keeps a second copy of a vCPU's time.
///
/// `struct vcpu_register_time_memory_area`, public/vcpu.h
#[derive(Clone, Copy, Debug)]
#[repr(C)]
pub struct RegisterTimeMemoryArea {
    /// The place, which stays Xen's until another is registered.
    ///
    /// C: `addr.v`
    pub addr: *mut VcpuTimeInfo,
}

/// Sets the periodic timer.
///
/// `struct vcpu_set_periodic_timer`, public/vcpu.h
#[derive(Clone, Copy, Debug, Default, FromBytes, IntoBytes, Immutable, KnownLayout)]
#[repr(C)]
pub struct SetPeriodicTimer {
    /// The period in nanoseconds; Xen may refuse less than a millisecond.
    pub period_ns: u64,
}

/// Sets the single-shot timer.
///
/// `struct vcpu_set_singleshot_timer`, public/vcpu.h
#[derive(Clone, Copy, Debug, Default, FromBytes, IntoBytes, Immutable, KnownLayout)]
#[repr(C)]
pub struct SetSingleshotTimer {
    /// When it expires, in nanoseconds of system time.
    pub timeout_abs_ns: u64,
    /// How times that have passed are treated.
    pub flags: SingleshotFlags,
    /// Padding to the structure's alignment.
    pub _pad: u32,
}

flags! {
    /// How the single-shot timer is set.
    ///
    /// `VCPU_SSHOTTMR_*`, public/vcpu.h
    pub struct SingleshotFlags: u32 {
        /// Xen shall refuse a time that has passed.
        ///
        /// `VCPU_SSHOTTMR_future`, public/vcpu.h
        FUTURE = 1 << 0;
    }
}

/// Where a vCPU's info shall be; it must not cross a page boundary.
///
/// `struct vcpu_register_vcpu_info`, public/vcpu.h
#[derive(Clone, Copy, Debug, Default, FromBytes, IntoBytes, Immutable, KnownLayout)]
#[repr(C)]
pub struct RegisterVcpuInfo {
    /// The frame; a machine frame for PV guests.
    pub mfn: Gfn,
    /// Where in the frame, in bytes.
    pub offset: u32,
    /// Unused.
    ///
    /// C: `rsvd`
    pub _rsvd: u32,
}

/// The ids of the processor that a vCPU is pinned to.
///
/// `struct vcpu_get_physid`, public/vcpu.h
#[derive(Clone, Copy, Debug, Default, FromBytes, IntoBytes, Immutable, KnownLayout)]
#[repr(C)]
pub struct GetPhysid {
    /// On x86 the APIC id in the lower, the ACPI id in the upper 32 bits.
    pub phys_id: u64,
}

impl GetPhysid {
    /// The processor's APIC id, on x86.
    #[must_use]
    pub const fn x86_apic_id(self) -> u32 {
        self.phys_id as u32
    }

    /// The processor's ACPI id, on x86.
    #[must_use]
    pub const fn x86_acpi_id(self) -> u32 {
        (self.phys_id >> 32) as u32
    }
}

const_assert_eq!(size_of::<RunstateInfo>(), 48);
const_assert_eq!(size_of::<RegisterRunstateMemoryArea>(), 8);
const_assert_eq!(size_of::<RegisterTimeMemoryArea>(), 8);
const_assert_eq!(size_of::<SetPeriodicTimer>(), 8);
const_assert_eq!(size_of::<SetSingleshotTimer>(), 16);
const_assert_eq!(size_of::<RegisterVcpuInfo>(), 16);
const_assert_eq!(size_of::<GetPhysid>(), 8);
