//! The ways in which Linux reads past its cache.

use std::fs::File;
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::Path;

use anyhow::{Context as _, Result, bail, ensure};
use bench_load::{Places, Work};
use rustix::fs::OFlags;
use rustix::io::pread;
use zerocopy::IntoBytes as _;

use crate::pages::{buffer, check};
use crate::uring;

/// A way to read.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Engine {
    /// `pread`, one after the other.
    Pread,
    /// `io_uring`, with the file and the buffers registered.
    Uring,
}

impl Engine {
    /// The engine of this name; `best` is the one that needs the fewest instructions at this depth.
    pub(crate) fn named(name: &str, depth: u32) -> Result<Self> {
        Ok(match name {
            "best" if depth == 1 => Self::Pread,
            "best" | "uring" => Self::Uring,
            "pread" => Self::Pread,
            _ => bail!("there is no engine {name:?}"),
        })
    }

    /// Carries a work out.
    pub(crate) fn run(self, disk: &Disk, work: &Work) -> Result<()> {
        ensure!(work.bytes.is_multiple_of(4096), "{} bytes are no pages", work.bytes);
        let places = Places::new(work, disk.size).context("the disk is too small")?;
        match self {
            Self::Pread => one_by_one(disk, work, places),
            Self::Uring => uring::run(disk, work, places),
        }
    }
}

/// A disk, open for reads past the cache.
pub(crate) struct Disk {
    pub(crate) file: File,
    pub(crate) size: u64,
}

impl Disk {
    pub(crate) fn open(path: &Path) -> Result<Self> {
        let mut options = File::options();
        let opened = options.read(true).custom_flags(OFlags::DIRECT.bits() as i32).open(path);
        let mut file = opened.with_context(|| format!("cannot open {}", path.display()))?;
        let size = std::io::Seek::seek(&mut file, std::io::SeekFrom::End(0))?;
        Ok(Self { file, size })
    }
}

fn one_by_one(disk: &Disk, work: &Work, mut places: Places) -> Result<()> {
    let mut pages = buffer(work.bytes);
    for _ in 0..work.requests {
        let at = places.place();
        let read = pread(&disk.file, pages.as_mut_bytes(), at).context("cannot read")?;
        ensure!(read == work.bytes as usize, "a read at {at} gave {read} bytes");
        check(&pages, at)?;
    }
    Ok(())
}
