//! Files of an ext2, ext3 or ext4 file system.

use alloc::boxed::Box;
use alloc::format;
use core::time::Duration;

use ext4_view::{Ext4, Ext4Error, Ext4Read};

use crate::files::{File, Files, OpenError, ReadError};

/// The files below a folder of a file system. Symbolic links lead wherever they lead in it, and never out of it.
///
/// What is on the disk is read when it is asked for, and the server waits for it.
#[derive(Clone, Debug)]
pub struct Ext4Files {
    files: Ext4,
    root: &'static str,
}

impl Ext4Files {
    /// The files below `root`, which ends without a slash: `""` for all.
    ///
    /// # Errors
    ///
    /// What is wrong with the file system, or with the disk.
    pub fn load(disk: Box<dyn Ext4Read>, root: &'static str) -> Result<Self, Ext4Error> {
        Ok(Self { files: Ext4::load(disk)?, root })
    }
}

impl Files for Ext4Files {
    type File = ext4_view::File;

    fn open(&mut self, path: &str) -> Result<Self::File, OpenError> {
        self.files.open(&*format!("{}{path}", self.root)).map_err(|error| match error {
            Ext4Error::IsADirectory => OpenError::IsFolder,
            Ext4Error::NotFound
            | Ext4Error::NotADirectory
            | Ext4Error::IsASpecialFile
            | Ext4Error::MalformedPath
            | Ext4Error::PathTooLong
            | Ext4Error::TooManySymlinks => OpenError::NotFound,
            _ => OpenError::Failed,
        })
    }
}

impl File for ext4_view::File {
    fn size(&self) -> u64 {
        self.metadata().len()
    }

    /// Of the time of its last change: the file system itself knows no better.
    fn tag(&self) -> u64 {
        let modified = self.metadata().modified();
        (modified.seconds() as u64).wrapping_mul(1_000_000_000).wrapping_add(modified.nanoseconds().into())
    }

    fn modified(&self) -> Option<Duration> {
        let modified = self.metadata().modified();
        Some(Duration::new(modified.seconds().try_into().ok()?, modified.nanoseconds()))
    }

    fn read(&mut self, into: &mut [u8]) -> Result<usize, ReadError> {
        self.read_bytes(into).map_err(|_| ReadError)
    }
}
