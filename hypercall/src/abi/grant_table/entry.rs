//! Entries of the table, which Xen and the guest both write.

use crate::abi::DomId;
use static_assertions::const_assert_eq;
use zerocopy::{FromBytes, Immutable, IntoBytes, KnownLayout};

/// The number of an entry in a domain's grant table.
///
/// `grant_ref_t`, public/grant_table.h
#[derive(
    Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash, FromBytes, IntoBytes, Immutable, KnownLayout,
)]
#[repr(transparent)]
pub struct GrantRef(pub u32);

/// An entry in version 1.
///
/// A new entry gets its domain and frame first and its flags last, with a barrier between. An entry is
/// taken back by one compare-exchange of the flags, which fails while Xen has set
/// [`GrantFlags::READING`] or [`GrantFlags::WRITING`].
///
/// `struct grant_entry_v1`, public/grant_table.h
#[derive(Clone, Copy, Debug, Default, FromBytes, IntoBytes, Immutable, KnownLayout)]
#[repr(C)]
pub struct EntryV1 {
    /// Kind and state, see [`GrantFlags`].
    pub flags: u16,
    /// The domain that may use the page.
    pub domid: DomId,
    /// The guest frame, cut to 32 bits; the machine frame after a transfer to a PV guest.
    pub frame: u32,
}

/// How many entries are set aside for the tools to fill before the domain starts.
///
/// `GNTTAB_NR_RESERVED_ENTRIES`, public/grant_table.h
pub const NR_RESERVED_ENTRIES: u32 = 8;

/// The entry of the console's ring.
///
/// `GNTTAB_RESERVED_CONSOLE`, public/grant_table.h
pub const RESERVED_CONSOLE: GrantRef = GrantRef(0);

/// The entry of xenstore's ring.
///
/// `GNTTAB_RESERVED_XENSTORE`, public/grant_table.h
pub const RESERVED_XENSTORE: GrantRef = GrantRef(1);

flags! {
    /// Kind and state of an entry.
    ///
    /// The two lowest bits are the kind, the others flags whose meaning depends on it.
    ///
    /// `GTF_*`, public/grant_table.h
    pub struct GrantFlags: u16 {
        /// Kind: no leave for anything.
        ///
        /// `GTF_invalid`, public/grant_table.h
        INVALID = 0;
        /// Kind: the domain may use the page.
        ///
        /// `GTF_permit_access`, public/grant_table.h
        PERMIT_ACCESS = 1;
        /// Kind: the domain may give a page of its own.
        ///
        /// `GTF_accept_transfer`, public/grant_table.h
        ACCEPT_TRANSFER = 2;
        /// Kind: the domain may copy by way of another domain's grant. Version 2.
        ///
        /// `GTF_transitive`, public/grant_table.h
        TRANSITIVE = 3;
        /// The bits that hold the kind.
        ///
        /// `GTF_type_mask`, public/grant_table.h
        TYPE_MASK = 3;
        /// The page may be read only.
        ///
        /// `GTF_readonly`, public/grant_table.h
        READONLY = 1 << 2;
        /// Xen: the page is mapped for reading. In version 2 it is in [`GrantStatus`] instead.
        ///
        /// `GTF_reading`, public/grant_table.h
        READING = 1 << 3;
        /// Xen: the page is mapped for writing. In version 2 it is in [`GrantStatus`] instead.
        ///
        /// `GTF_writing`, public/grant_table.h
        WRITING = 1 << 4;
        /// Cache attribute of mappings, on x86.
        ///
        /// `GTF_PWT`, public/grant_table.h
        PWT = 1 << 5;
        /// Cache attribute of mappings, on x86.
        ///
        /// `GTF_PCD`, public/grant_table.h
        PCD = 1 << 6;
        /// Cache attribute of mappings, on x86.
        ///
        /// `GTF_PAT`, public/grant_table.h
        PAT = 1 << 7;
        /// Only a part of the page may be used, by copies. Version 2.
        ///
        /// `GTF_sub_page`, public/grant_table.h
        SUB_PAGE = 1 << 8;
        /// Xen: a page is about to arrive; the entry must not change.
        ///
        /// `GTF_transfer_committed`, public/grant_table.h
        TRANSFER_COMMITTED = 1 << 2;
        /// Xen: the page has arrived.
        ///
        /// `GTF_transfer_completed`, public/grant_table.h
        TRANSFER_COMPLETED = 1 << 3;
    }
}

/// What all forms of an entry start with.
///
/// `struct grant_entry_header`, public/grant_table.h
#[derive(Clone, Copy, Debug, Default, FromBytes, IntoBytes, Immutable, KnownLayout)]
#[repr(C)]
pub struct EntryHeader {
    /// Kind and state, see [`GrantFlags`].
    pub flags: u16,
    /// The domain that may use the page.
    pub domid: DomId,
}

/// An entry in version 2, in one of its forms.
///
/// `union grant_entry_v2`, public/grant_table.h
#[derive(Clone, Copy)]
#[repr(C)]
pub union EntryV2 {
    /// What all forms start with.
    pub hdr: EntryHeader,
    /// Leave for a page, or to transfer one.
    pub full_page: EntryV2FullPage,
    /// Leave for a part of a page, with [`GrantFlags::SUB_PAGE`].
    pub sub_page: EntryV2SubPage,
    /// Leave by way of another domain, of kind [`GrantFlags::TRANSITIVE`].
    pub transitive: EntryV2Transitive,
    /// The entry as words.
    ///
    /// C: `__spacer`
    pub words: [u32; 4],
}

/// Leave for a page, in version 2.
///
/// `union grant_entry_v2.full_page`, public/grant_table.h
#[derive(Clone, Copy, Debug, Default, FromBytes, IntoBytes, Immutable, KnownLayout)]
#[repr(C)]
pub struct EntryV2FullPage {
    /// What all forms start with.
    pub hdr: EntryHeader,
    /// Unused.
    ///
    /// C: `pad0`
    pub _pad0: u32,
    /// The guest frame.
    pub frame: u64,
}

/// Leave to copy from or to a part of a page, in version 2.
///
/// `union grant_entry_v2.sub_page`, public/grant_table.h
#[derive(Clone, Copy, Debug, Default, FromBytes, IntoBytes, Immutable, KnownLayout)]
#[repr(C)]
pub struct EntryV2SubPage {
    /// What all forms start with.
    pub hdr: EntryHeader,
    /// Where the part starts, in bytes.
    pub page_off: u16,
    /// How long it is, in bytes.
    pub length: u16,
    /// The guest frame.
    pub frame: u64,
}

/// Leave to use a third domain's grant as if it were ours, in version 2.
///
/// `union grant_entry_v2.transitive`, public/grant_table.h
#[derive(Clone, Copy, Debug, Default, FromBytes, IntoBytes, Immutable, KnownLayout)]
#[repr(C)]
pub struct EntryV2Transitive {
    /// What all forms start with.
    pub hdr: EntryHeader,
    /// The third domain.
    pub trans_domid: DomId,
    /// Unused.
    ///
    /// C: `pad0`
    pub _pad0: u16,
    /// Its grant to us.
    pub gref: GrantRef,
}

/// State of an entry in version 2, apart from the entry: [`GrantFlags::READING`] and [`GrantFlags::WRITING`].
///
/// `grant_status_t`, public/grant_table.h
pub type GrantStatus = u16;

const_assert_eq!(size_of::<EntryV1>(), 8);
const_assert_eq!(size_of::<EntryV2>(), 16);
const_assert_eq!(size_of::<EntryV2FullPage>(), 16);
const_assert_eq!(size_of::<EntryV2SubPage>(), 16);
const_assert_eq!(size_of::<EntryV2Transitive>(), 12);
