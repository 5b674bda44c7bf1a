//! Grants: the domain's own table, and the use of what others granted.
//!
//! Entries are made and taken back in memory, without a call; that is the business of the crate `xen-grant-table`.
//! Here are the calls: [`setup_table`] and its like for the own table, [`map`], [`unmap`] and [`copy`] for pages of
//! others. Nothing here tries again: [`Status::EAGAIN`] is a value like any other.
//!
//! `GNTTABOP_transfer` is not offered. It gives a page to another domain for good, and the page is gone even where
//! Xen reports most of the failures, so a wrapper could not give it back as this SDK does everywhere; and only PV
//! guests can call it. A [`copy`] does the same work.

mod foreign;
mod table;

use core::fmt;

use crate::abi::Number;
pub use crate::abi::grant_table::Status;
use crate::abi::grant_table::{
    Command, Copy, DumpTable, GetStatusFrames, MapGrantRef, QuerySize, SetupTable, SwapGrantRef, UnmapAndReplace,
    UnmapGrantRef,
};
use crate::{Arg, Errno, Hypercall};

pub use foreign::{Mapped, cache_flush, copy, copy_one, map, map_one, unmap, unmap_and_replace, unmap_one};
pub use table::{
    Size, Version, dump_table, get_status_frames, get_version, query_size, set_version, setup_table, swap_grant_ref,
};

/// What an element's status says as long as Xen has not answered it. Xen's own numbers are never positive.
///
/// After a call that succeeds no element has it. After one that fails as a whole, such an element was not carried
/// out; or it was, and Xen could not write the answer, which takes an array in memory that Xen cannot write.
pub const NOT_REACHED: Status = Status(1);

/// Why an operation on one grant failed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Error {
    /// Xen refused the call as a whole.
    Call(Errno),
    /// Xen took the call and refused the operation. [`Status::EAGAIN`] may go better later.
    Status(Status),
}

impl From<Errno> for Error {
    fn from(errno: Errno) -> Self {
        Self::Call(errno)
    }
}

impl From<Status> for Error {
    fn from(status: Status) -> Self {
        Self::Status(status)
    }
}

impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Call(errno) => write!(f, "the grant table call was refused: {errno}"),
            Self::Status(status) => write!(f, "{}: {status}", meaning(*status)),
        }
    }
}

impl core::error::Error for Error {}

const fn meaning(status: Status) -> &'static str {
    match status {
        Status::OKAY => "the operation is done",
        Status::BAD_DOMAIN => "there is no such domain",
        Status::BAD_GNTREF => "the grant does not exist or does not allow this",
        Status::BAD_HANDLE => "there is no such mapping",
        Status::BAD_VIRT_ADDR => "the address cannot be mapped",
        Status::BAD_DEV_ADDR => "nothing is mapped at the device address",
        Status::NO_DEVICE_SPACE => "the I/O memory management unit is full",
        Status::PERMISSION_DENIED => "the domain has no right to do this",
        Status::BAD_PAGE => "the page cannot be used for this",
        Status::BAD_COPY_ARG => "the copy crosses the end of a page",
        Status::ADDRESS_TOO_BIG => "the frame's number is too large",
        Status::EAGAIN => "the page is away for the moment",
        Status::NO_SPACE => "Xen's table of mappings is full",
        NOT_REACHED => "Xen did not get to the operation",
        _ => "the operation failed",
    }
}

/// An element of a grant table call that has a status.
trait Operation {
    const COMMAND: Command;

    fn status(&mut self) -> &mut Status;
}

macro_rules! operations {
    ($($element:ty => $command:ident,)*) => { $(
        impl Operation for $element {
            const COMMAND: Command = Command::$command;

            #[inline(always)]
            fn status(&mut self) -> &mut Status {
                &mut self.status
            }
        }
    )* };
}

operations! {
    Copy => COPY,
    DumpTable => DUMP_TABLE,
    GetStatusFrames => GET_STATUS_FRAMES,
    MapGrantRef => MAP_GRANT_REF,
    QuerySize => QUERY_SIZE,
    SetupTable => SETUP_TABLE,
    SwapGrantRef => SWAP_GRANT_REF,
    UnmapAndReplace => UNMAP_AND_REPLACE,
    UnmapGrantRef => UNMAP_GRANT_REF,
}

/// Carries out a batch in place. No element looks done unless Xen says so.
///
/// # Safety
///
/// As for [`Hypercall::call`]: pointers in the elements are valid, and their effect on memory is sound.
#[inline(always)]
unsafe fn batch<H: Hypercall, T: Operation>(xen: &H, operations: &mut [T]) -> Result<(), Errno> {
    for operation in operations.iter_mut() {
        *operation.status() = NOT_REACHED;
    }
    // SAFETY: the caller's promise.
    unsafe { call(xen, T::COMMAND, operations.as_mut_ptr(), operations.len()) }
}

/// Carries out one operation and answers with what Xen made of it.
///
/// # Safety
///
/// As for [`batch`].
#[inline(always)]
unsafe fn one<H: Hypercall, T: Operation>(xen: &H, mut operation: T) -> Result<T, Error> {
    // SAFETY: the caller's promise.
    unsafe { batch(xen, core::slice::from_mut(&mut operation)) }?;
    operation.status().check()?;
    Ok(operation)
}

/// # Safety
///
/// `operations` is valid for what the command does with `count` elements.
#[inline(always)]
unsafe fn call<H: Hypercall, T>(xen: &H, command: Command, operations: *mut T, count: usize) -> Result<(), Errno> {
    let count = u32::try_from(count).map_err(|_| Errno::INVAL)?;
    let arguments = [Arg::value(command.0 as usize), Arg::pointer(operations), Arg::value(count as usize)];
    // SAFETY: the caller's promise.
    Errno::check(unsafe { xen.call(Number::GRANT_TABLE_OP, arguments) }).map(drop)
}
