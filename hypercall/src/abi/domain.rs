//! Names of domains and of their vCPUs.

use zerocopy::{FromBytes, Immutable, IntoBytes, KnownLayout};

constants! {
    /// A domain's number, or one of Xen's reserved ids that stand for something else.
    ///
    /// `domid_t`, public/xen.h
    pub struct DomId: u16 {
        /// The domain that makes the call.
        ///
        /// `DOMID_SELF`, public/xen.h
        SELF = 0x7ff0;
        /// The first id that no ordinary domain has.
        ///
        /// `DOMID_FIRST_RESERVED`, public/xen.h
        FIRST_RESERVED = 0x7ff0;
        /// Owner of I/O memory, as the foreign domain of a page table update.
        ///
        /// `DOMID_IO`, public/xen.h
        IO = 0x7ff1;
        /// Xen itself, for privileged domains that map parts of its heap.
        ///
        /// `DOMID_XEN`, public/xen.h
        XEN = 0x7ff2;
        /// Owner of pages that domains share copy-on-write.
        ///
        /// `DOMID_COW`, public/xen.h
        COW = 0x7ff3;
        /// Owner of pages whose owner is not known.
        ///
        /// `DOMID_INVALID`, public/xen.h
        INVALID = 0x7ff4;
        /// No domain in particular: whoever is asked chooses, or means all.
        ///
        /// `DOMID_ANY`, public/xen.h (from Xen 4.22)
        ANY = 0x7ff5;
        /// The idle domain.
        ///
        /// `DOMID_IDLE`, public/xen.h
        IDLE = 0x7fff;
        /// The bits that a valid id can use.
        ///
        /// `DOMID_MASK`, public/xen.h
        MASK = 0x7fff;
    }
}

impl DomId {
    /// Whether the id is that of an ordinary domain, not one of the reserved ones.
    #[must_use]
    pub const fn is_ordinary(self) -> bool {
        self.0 < Self::FIRST_RESERVED.0
    }
}

impl core::fmt::Display for DomId {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        match self.name() {
            Some(name) => f.write_str(name),
            None => write!(f, "{}", self.0),
        }
    }
}

/// A vCPU's number within its domain.
///
/// The headers use bare integers; a type of its own keeps it apart from ports and interrupts.
///
/// Origin: domu
#[derive(
    Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash, FromBytes, IntoBytes, Immutable, KnownLayout,
)]
#[repr(transparent)]
pub struct VcpuId(pub u32);
