//! Where Xen enters a PV kernel.

use static_assertions::const_assert_eq;
use zerocopy::{FromBytes, Immutable, IntoBytes, KnownLayout};

constants! {
    /// What `callback_op` does.
    ///
    /// `CALLBACKOP_*`, public/callback.h
    pub struct Command: u32 {
        /// Sets an entry point, see [`Register`].
        ///
        /// `CALLBACKOP_register`, public/callback.h
        REGISTER = 0;
        /// Removes an entry point, see [`Unregister`]; not all kinds can be.
        ///
        /// `CALLBACKOP_unregister`, public/callback.h
        UNREGISTER = 1;
    }
}

constants! {
    /// When the kernel is entered.
    ///
    /// `CALLBACKTYPE_*`, public/callback.h
    pub struct Type: u16 {
        /// An event is pending.
        ///
        /// `CALLBACKTYPE_event`, public/callback.h
        EVENT = 0;
        /// Xen could not restore the guest's state.
        ///
        /// `CALLBACKTYPE_failsafe`, public/callback.h
        FAILSAFE = 1;
        /// 64-bit user code made a system call.
        ///
        /// `CALLBACKTYPE_syscall`, public/callback.h
        SYSCALL = 2;
        /// A non-maskable interrupt.
        ///
        /// `CALLBACKTYPE_nmi`, public/callback.h
        NMI = 4;
        /// 32-bit user code executed `sysenter`.
        ///
        /// `CALLBACKTYPE_sysenter`, public/callback.h
        SYSENTER = 5;
        /// 32-bit user code executed `syscall`.
        ///
        /// `CALLBACKTYPE_syscall32`, public/callback.h
        SYSCALL32 = 7;
    }
}

flags! {
    /// How the kernel is entered.
    ///
    /// `CALLBACKF_*`, public/callback.h
    pub struct Flags: u16 {
        /// With events masked; ignored where they always are.
        ///
        /// `CALLBACKF_mask_events`, public/callback.h
        MASK_EVENTS = 1 << 0;
    }
}

/// Sets an entry point.
///
/// `struct callback_register`, public/callback.h
#[derive(Clone, Copy, Debug, Default, FromBytes, IntoBytes, Immutable, KnownLayout)]
#[repr(C)]
pub struct Register {
    /// When the kernel is entered.
    ///
    /// C: `type`
    pub kind: Type,
    /// How.
    pub flags: Flags,
    /// Padding before the address.
    pub _pad: u32,
    /// Where: a virtual address.
    pub address: u64,
}

/// Removes an entry point.
///
/// `struct callback_unregister`, public/callback.h
#[derive(Clone, Copy, Debug, Default, FromBytes, IntoBytes, Immutable, KnownLayout)]
#[repr(C)]
pub struct Unregister {
    /// Which one.
    ///
    /// C: `type`
    pub kind: Type,
    /// Must be zero.
    ///
    /// C: `_unused`
    pub _unused: u16,
}

const_assert_eq!(size_of::<Register>(), 16);
const_assert_eq!(size_of::<Unregister>(), 4);
