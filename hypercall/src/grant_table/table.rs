//! The domain's own table: its size, its place, its version.

use super::{Error, call, one};
use crate::abi::grant_table::{
    Command, DumpTable, GetStatusFrames, GetVersion, GrantRef, QuerySize, SetVersion, SetupTable, Status, SwapGrantRef,
};
use crate::abi::{DomId, Gfn};
use crate::{Errno, Hypercall};

/// Makes the table of `dom` at least as long as `frames`, and tells where it is, a frame for each element.
/// `dom` is [`DomId::SELF`] for all but privileged domains, here and below.
///
/// A table never gets shorter. In a guest whose memory Xen translates the frames are those at which the table was
/// placed before, by [`add_to_physmap`](crate::memory::add_to_physmap), and all ones for those that were not.
///
/// # Errors
///
/// [`Status::GENERAL_ERROR`] for more frames than [`query_size`] allows, or where Xen has no memory for them;
/// [`Status::BAD_DOMAIN`] and [`Status::PERMISSION_DENIED`] for other domains. The frames then say nothing.
///
/// Source: `GNTTABOP_setup_table`, public/grant_table.h
pub fn setup_table<H: Hypercall>(xen: &H, dom: DomId, frames: &mut [Gfn]) -> Result<(), Error> {
    let setup = SetupTable {
        dom,
        _pad0: 0,
        nr_frames: length(frames)?,
        status: Status::OKAY,
        _pad1: [0; 3],
        frame_list: frames.as_mut_ptr(),
    };
    // SAFETY: Xen writes at most as many frames as there is room for.
    unsafe { one(xen, setup) }.map(drop)
}

/// The size of a grant table, in frames.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Size {
    /// How long it is.
    pub frames: u32,
    /// How long it may become.
    pub max_frames: u32,
}

/// How long the table is and may become.
///
/// # Errors
///
/// [`Status::BAD_DOMAIN`] and [`Status::PERMISSION_DENIED`] for other domains.
///
/// Source: `GNTTABOP_query_size`, public/grant_table.h
pub fn query_size<H: Hypercall>(xen: &H, dom: DomId) -> Result<Size, Error> {
    let query = QuerySize { dom, ..QuerySize::default() };
    // SAFETY: Xen reads and writes the structure.
    let answer = unsafe { one(xen, query) }?;
    Ok(Size { frames: answer.nr_frames, max_frames: answer.max_nr_frames })
}

constants! {
    /// The form of a table's entries.
    ///
    /// `struct gnttab_set_version`, public/grant_table.h
    pub struct Version: u32 {
        /// Entries of eight bytes that tell a frame's number in 32 bits.
        V1 = 1;
        /// Entries of sixteen bytes, and a status word apart from them.
        V2 = 2;
    }
}

/// Chooses the form of the table's entries. Xen keeps the entries reserved for the tools and clears all others.
/// Answers with the form that the table now has.
///
/// # Errors
///
/// [`Errno::NOSYS`] where this Xen, or this domain, has no version 2: fall back to version 1, which is there
/// without a call. [`Errno::BUSY`] while a grant is in use, [`Errno::INVAL`] for other versions.
///
/// # Safety
///
/// From here on Xen reads entries in the new form. Nobody may write them in the old one: Xen would take what is
/// there for leave to use another page.
///
/// Source: `GNTTABOP_set_version`, public/grant_table.h
pub unsafe fn set_version<H: Hypercall>(xen: &H, version: Version) -> Result<Version, Errno> {
    let mut set = SetVersion { version: version.0 };
    // SAFETY: Xen reads and writes the structure; the caller answers for the entries.
    unsafe { call(xen, Command::SET_VERSION, &raw mut set, 1) }?;
    Ok(Version(set.version))
}

/// The form of the table's entries.
///
/// # Errors
///
/// [`Errno::SRCH`] and [`Errno::PERM`] for other domains.
///
/// Source: `GNTTABOP_get_version`, public/grant_table.h
pub fn get_version<H: Hypercall>(xen: &H, dom: DomId) -> Result<Version, Errno> {
    let mut get = GetVersion { dom, ..GetVersion::default() };
    // SAFETY: Xen reads and writes the structure.
    unsafe { call(xen, Command::GET_VERSION, &raw mut get, 1) }?;
    Ok(Version(get.version))
}

/// Tells where version 2 keeps its status words, a frame for each element of `frames`.
///
/// # Errors
///
/// [`Status::GENERAL_ERROR`] in version 1, and for more frames than there are; [`Status::BAD_DOMAIN`] and
/// [`Status::PERMISSION_DENIED`] for other domains. The frames then say nothing.
///
/// Source: `GNTTABOP_get_status_frames`, public/grant_table.h
pub fn get_status_frames<H: Hypercall>(xen: &H, dom: DomId, frames: &mut [Gfn]) -> Result<(), Error> {
    let get =
        GetStatusFrames { nr_frames: length(frames)?, dom, status: Status::OKAY, frame_list: frames.as_mut_ptr() };
    // SAFETY: Xen writes at most as many frames as there is room for.
    unsafe { one(xen, get) }.map(drop)
}

/// Swaps two entries of the domain's own table, as one step for whoever uses them.
///
/// # Errors
///
/// [`Status::BAD_GNTREF`] for an entry beyond the table, [`Status::EAGAIN`] while one of them is in use.
///
/// # Safety
///
/// Each entry gives leave for the other's page afterwards: whoever owns a page by its entry's number must follow.
///
/// Source: `GNTTABOP_swap_grant_ref`, public/grant_table.h
pub unsafe fn swap_grant_ref<H: Hypercall>(xen: &H, a: GrantRef, b: GrantRef) -> Result<(), Error> {
    let swap = SwapGrantRef { ref_a: a, ref_b: b, ..SwapGrantRef::default() };
    // SAFETY: Xen reads and writes the structure; the caller answers for the pages.
    unsafe { one(xen, swap) }.map(drop)
}

/// Prints a table on Xen's console, to find out what keeps a page from coming back.
///
/// # Errors
///
/// [`Status::BAD_DOMAIN`] and [`Status::PERMISSION_DENIED`] for domains whose table is not this one's to see.
///
/// Source: `GNTTABOP_dump_table`, public/grant_table.h
pub fn dump_table<H: Hypercall>(xen: &H, dom: DomId) -> Result<(), Error> {
    let dump = DumpTable { dom, status: Status::OKAY };
    // SAFETY: Xen reads and writes the structure.
    unsafe { one(xen, dump) }.map(drop)
}

fn length(frames: &[Gfn]) -> Result<u32, Errno> {
    u32::try_from(frames.len()).map_err(|_| Errno::INVAL)
}
