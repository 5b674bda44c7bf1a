//! What the guest's memory is used for.

use core::fmt;
use core::ops::Range;

/// What may be done with memory. There is none that may be written and executed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Access {
    /// Nothing: it is there to catch overflows.
    None,
    /// Read.
    Read,
    /// Read and execute.
    Execute,
    /// Read and write.
    Write,
}

impl fmt::Display for Access {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::None => "---",
            Self::Read => "r--",
            Self::Execute => "r-x",
            Self::Write => "rw-",
        })
    }
}

/// A part of the guest's memory, by its virtual addresses.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Region {
    /// What it is.
    pub name: &'static str,
    /// Its virtual addresses.
    pub addresses: Range<usize>,
    /// What may be done with it at most: page tables among other things are read-only.
    pub access: Access,
}
