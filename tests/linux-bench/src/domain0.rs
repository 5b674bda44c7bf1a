//! What runs in domain 0.

use std::fs::{self, File};
use std::io::{BufRead as _, BufReader, Write as _};
use std::os::unix::fs::{FileExt as _, OpenOptionsExt as _};
use std::thread::sleep;
use std::time::Duration;

use anyhow::{Context as _, Result, bail};
use bench_load::{END, FAILED, MARK, READY, STAMPED, Work, stamp};
use rustix::fs::OFlags;
use zerocopy::IntoBytes as _;

use crate::pages::buffer;
use crate::privcmd::Privcmd;

/// Long enough for what domain 0 still does of its own accord, such as passing on the last line that was said here.
pub(crate) const QUIET: Duration = Duration::from_millis(200);
/// The size of a write that fills a disk.
const CHUNK: u32 = 1 << 20;

/// Gives each piece of a disk its stamp.
pub(crate) fn fill(device: &str) -> Result<()> {
    // Past the cache, which would hold everything a second time.
    let opened = File::options().read(true).write(true).custom_flags(OFlags::DIRECT.bits() as i32).open(device);
    let mut disk = opened.with_context(|| format!("cannot open {device}"))?;
    let size = std::io::Seek::seek(&mut disk, std::io::SeekFrom::End(0))?;
    let mut pages = buffer(CHUNK);
    for start in (0..size / u64::from(CHUNK)).map(|chunk| chunk * u64::from(CHUNK)) {
        for (page, at) in pages.iter_mut().zip((start..).step_by(STAMPED as usize)) {
            page.0[..8].copy_from_slice(&stamp(at).to_le_bytes());
        }
        disk.write_all_at(pages.as_mut_bytes(), start).with_context(|| format!("cannot write {device}"))?;
    }
    Ok(())
}

/// Has a guest do what the plan says, a work a line, and prints after each its figures, and how long domain 0 ran for it.
pub(crate) fn meter(console: &str, plan: &str) -> Result<()> {
    let works = fs::read_to_string(plan).with_context(|| format!("cannot read {plan}"))?;
    let (mut guest, xen) = (Guest::open(console)?, Privcmd::open()?);
    guest.answer(READY)?;
    for work in works.lines() {
        let work: Work = work.parse().with_context(|| format!("the plan says {work:?}"))?;
        sleep(QUIET);
        let before = xen.running()?;
        guest.tell(&work.to_string())?;
        let figures = guest.answer("done")?;
        let ran = xen.running()? - before;
        println!("{work}: {figures}; domain 0 {ran}");
    }
    guest.tell(END)
}

/// A guest, by its console.
pub(crate) struct Guest {
    input: BufReader<File>,
    output: File,
}

impl Guest {
    pub(crate) fn open(console: &str) -> Result<Self> {
        let opened = File::options().read(true).write(true).custom_flags(OFlags::NOCTTY.bits() as i32).open(console);
        let output = opened.with_context(|| format!("cannot open {console}"))?;
        Ok(Self { input: BufReader::new(output.try_clone()?), output })
    }

    pub(crate) fn tell(&mut self, line: &str) -> Result<()> {
        Ok(writeln!(self.output, "{line}")?)
    }

    /// Waits for a line of the guest's that begins with this word, and returns it.
    pub(crate) fn answer(&mut self, word: &str) -> Result<String> {
        let mut line = String::new();
        loop {
            line.clear();
            if self.input.read_line(&mut line)? == 0 {
                bail!("the guest's console has ended");
            }
            let Some(said) = line.trim().strip_prefix(MARK).map(str::trim) else { continue };
            match said.split(' ').next() {
                Some(FAILED) => bail!("the guest {said}"),
                Some(first) if first == word => return Ok(said.to_owned()),
                _ => {}
            }
        }
    }
}
