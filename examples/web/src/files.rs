//! Where the files come from that are served.

use alloc::vec::Vec;
use core::time::Duration;

/// Files by their paths.
pub trait Files {
    /// An open one.
    type File: File;

    /// Opens a file. The path is absolute, and has neither empty segments nor `.`, `..`, backslashes or control characters in it.
    ///
    /// # Errors
    ///
    /// [`OpenError`]: there is no file to be read under this name.
    fn open(&mut self, path: &str) -> Result<Self::File, OpenError>;
}

/// Files that may not be there.
impl<F: Files> Files for Option<F> {
    type File = F::File;

    fn open(&mut self, path: &str) -> Result<F::File, OpenError> {
        self.as_mut().map_or(Err(OpenError::NotFound), |files| files.open(path))
    }
}

/// A file that is read from its beginning to its end, once.
pub trait File {
    /// Its bytes.
    fn size(&self) -> u64;

    /// What tells this content from any other that has ever been under the same path.
    fn tag(&self) -> u64;

    /// When it was changed last, since 1970.
    fn modified(&self) -> Option<Duration>;

    /// Reads the next bytes, and answers how many: none only where there are no more, or where there is no room for them.
    ///
    /// # Errors
    ///
    /// [`ReadError`]: they cannot be read.
    fn read(&mut self, into: &mut [u8]) -> Result<usize, ReadError>;
}

/// Why a file was not opened.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum OpenError {
    /// There is none of this name.
    NotFound,
    /// It is a folder.
    IsFolder,
    /// It cannot be read, or not now.
    Failed,
}

/// A file could not be read on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ReadError;

/// Files that are part of the program.
#[derive(Clone, Debug)]
pub struct MemoryFiles(Vec<(&'static str, MemoryFile)>);

/// One of them.
#[derive(Clone, Debug)]
pub struct MemoryFile {
    left: &'static [u8],
    tag: u64,
}

impl MemoryFiles {
    /// Files by their paths.
    #[must_use]
    pub fn new(files: &[(&'static str, &'static [u8])]) -> Self {
        Self(files.iter().map(|&(path, left)| (path, MemoryFile { left, tag: hash(left) })).collect())
    }
}

impl Files for MemoryFiles {
    type File = MemoryFile;

    fn open(&mut self, path: &str) -> Result<MemoryFile, OpenError> {
        if let Some((_, file)) = self.0.iter().find(|(name, _)| *name == path) {
            return Ok(file.clone());
        }
        let is_below = |name: &str| name.strip_prefix(path).is_some_and(|rest| rest.starts_with('/'));
        Err(if self.0.iter().any(|(name, _)| is_below(name)) { OpenError::IsFolder } else { OpenError::NotFound })
    }
}

impl File for MemoryFile {
    fn size(&self) -> u64 {
        self.left.len() as u64
    }

    fn tag(&self) -> u64 {
        self.tag
    }

    fn modified(&self) -> Option<Duration> {
        None
    }

    fn read(&mut self, into: &mut [u8]) -> Result<usize, ReadError> {
        let count = into.len().min(self.left.len());
        let (now, later) = self.left.split_at(count);
        into[..count].copy_from_slice(now);
        self.left = later;
        Ok(count)
    }
}

/// FNV-1a: <https://www.rfc-editor.org/rfc/rfc9923>
pub(crate) fn hash(bytes: &[u8]) -> u64 {
    bytes.iter().fold(0xcbf2_9ce4_8422_2325, |hash, &byte| (hash ^ u64::from(byte)).wrapping_mul(0x100_0000_01b3))
}
