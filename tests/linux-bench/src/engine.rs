//! The ways in which Linux reads past its cache.

use std::fs::File;
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::Path;

use anyhow::{Context as _, Result, bail, ensure};
use bench_load::{Places, Work};
use rustix::fs::OFlags;
use rustix::io::pread;
use zerocopy::IntoBytes as _;

use crate::pages::{Page, buffer, check};
use crate::uring::Reader;

/// A way to read.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Engine {
    /// `pread`, one after the other.
    Pread,
    /// `io_uring`, with the file and the buffers registered.
    Uring,
}

impl Engine {
    /// The engine of this name; `best` is the one that needs the fewest instructions for this work.
    pub(crate) fn named(name: &str, work: &Work) -> Result<Self> {
        Ok(match name {
            // For a larger read it costs more to look up the buffer's pages each time.
            "best" if work.depth == 1 && work.bytes <= 4096 => Self::Pread,
            "best" | "uring" => Self::Uring,
            "pread" => Self::Pread,
            _ => bail!("there is no engine {name:?}"),
        })
    }

    /// Gets memory, and all else that a work needs before its first request.
    pub(crate) fn prepare<'a>(self, disk: &'a Disk, work: &Work) -> Result<Prepared<'a>> {
        ensure!(work.bytes.is_multiple_of(4096), "{} bytes are no pages", work.bytes);
        let places = Places::new(work, disk.size).context("the disk is too small")?;
        let means = match self {
            Self::Pread => Means::Pread(&disk.file, buffer(work.bytes)),
            Self::Uring => Means::Uring(Box::new(Reader::new(disk, work)?)),
        };
        Ok(Prepared { means, places, work: *work })
    }
}

/// A work that can begin.
pub(crate) struct Prepared<'a> {
    means: Means<'a>,
    places: Places,
    work: Work,
}

enum Means<'a> {
    Pread(&'a File, Vec<Page>),
    Uring(Box<Reader>),
}

impl Prepared<'_> {
    /// Carries the work out.
    pub(crate) fn run(&mut self) -> Result<()> {
        let Self { means, places, work } = self;
        match means {
            Means::Pread(file, pages) => one_by_one(file, pages, work, places),
            Means::Uring(reader) => reader.run(work, places),
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

fn one_by_one(file: &File, pages: &mut [Page], work: &Work, places: &mut Places) -> Result<()> {
    for _ in 0..work.requests {
        let at = places.place();
        let read = pread(file, pages.as_mut_bytes(), at).context("cannot read")?;
        ensure!(read == work.bytes as usize, "a read at {at} gave {read} bytes");
        check(pages, at)?;
    }
    Ok(())
}
