//! Frame numbers in the three address spaces of a guest.

/// Base-2 logarithm of the size of a page in every Xen interface, whatever page size the guest uses.
///
/// Origin: domu
pub const PAGE_SHIFT: u32 = 12;

/// Size of a page in every Xen interface, in bytes.
///
/// Origin: domu
pub const PAGE_SIZE: usize = 1 << PAGE_SHIFT;

constants! {
    /// A pseudo-physical frame: the guest's own, dense numbering of its memory.
    ///
    /// `xen_pfn_t`, public/xen.h
    pub struct Pfn: u64 {}
}

constants! {
    /// A guest frame: what Xen expects from this guest, a machine frame in PV and a pseudo-physical one elsewhere.
    ///
    /// `xen_pfn_t`, public/xen.h
    pub struct Gfn: u64 {}
}

constants! {
    /// A machine frame: the host's real numbering of memory.
    ///
    /// `xen_pfn_t`, public/xen.h
    pub struct Mfn: u64 {}
}

/// Converts between frames and addresses.
macro_rules! addresses {
    ($($name:ident)*) => { $(
        impl $name {
            /// The frame that holds `address`, in bytes.
            #[must_use]
            pub const fn containing(address: u64) -> Self {
                Self(address >> PAGE_SHIFT)
            }

            /// The address of the frame's first byte; bits beyond 64 are lost.
            #[must_use]
            pub const fn address(self) -> u64 {
                self.0 << PAGE_SHIFT
            }
        }
    )* };
}

addresses!(Pfn Gfn Mfn);
