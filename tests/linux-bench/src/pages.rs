//! Memory for reads that go past the kernel's cache.

use anyhow::{Result, ensure};
use bench_load::{STAMPED, stamp};
use zerocopy::{FromBytes, IntoBytes};

/// A page, aligned as such reads want it.
#[derive(Clone, FromBytes, IntoBytes)]
#[repr(C, align(4096))]
pub(crate) struct Page(pub(crate) [u8; STAMPED as usize]);

impl Page {
    fn stamp(&self) -> u64 {
        self.0.first_chunk().map_or(0, |bytes| u64::from_le_bytes(*bytes))
    }
}

/// Pages for a request of so many bytes.
pub(crate) fn buffer(bytes: u32) -> Vec<Page> {
    vec![Page([0xa5; STAMPED as usize]); (bytes as usize).div_ceil(STAMPED as usize)]
}

/// Checks what was read from byte `at`: by its first and its last piece.
pub(crate) fn check(buffer: &[Page], at: u64) -> Result<()> {
    let last = (buffer.len() as u64 - 1) * STAMPED;
    let good = buffer[0].stamp() == stamp(at) && buffer[buffer.len() - 1].stamp() == stamp(at + last);
    ensure!(good, "what was read at {at} is not what is there");
    Ok(())
}
