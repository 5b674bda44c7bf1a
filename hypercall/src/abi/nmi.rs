//! Non-maskable interrupts of PV guests.

use static_assertions::const_assert_eq;
use zerocopy::{FromBytes, Immutable, IntoBytes, KnownLayout};

constants! {
    /// What `nmi_op` does.
    ///
    /// `XENNMI_*`, public/nmi.h
    pub struct Command: u32 {
        /// Sets the handler, see [`Callback`].
        ///
        /// `XENNMI_register_callback`, public/nmi.h
        REGISTER_CALLBACK = 0;
        /// Removes the handler. No argument.
        ///
        /// `XENNMI_unregister_callback`, public/nmi.h
        UNREGISTER_CALLBACK = 1;
    }
}

/// The handler of non-maskable interrupts.
///
/// `struct xennmi_callback`, public/nmi.h
#[derive(Clone, Copy, Debug, Default, FromBytes, IntoBytes, Immutable, KnownLayout)]
#[repr(C)]
pub struct Callback {
    /// Its virtual address.
    pub handler_address: u64,
    /// Unused.
    ///
    /// C: `pad`
    pub _pad: u64,
}

flags! {
    /// Why a non-maskable interrupt came, in the shared info page of x86-64.
    ///
    /// `XEN_NMIREASON_*`, public/nmi.h
    pub struct Reason: u64 {
        /// A card reported an error.
        ///
        /// `XEN_NMIREASON_io_error`, public/nmi.h
        IO_ERROR = 1 << 0;
        /// The PCI bus reported an error.
        ///
        /// `XEN_NMIREASON_pci_serr`, public/nmi.h
        PCI_SERR = 1 << 1;
        /// The hardware does not tell.
        ///
        /// `XEN_NMIREASON_unknown`, public/nmi.h
        UNKNOWN = 1 << 2;
    }
}

const_assert_eq!(size_of::<Callback>(), 16);
