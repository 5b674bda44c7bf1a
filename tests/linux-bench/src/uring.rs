//! Reads by `io_uring`.

use std::io::Error;
use std::os::fd::AsRawFd as _;

use anyhow::{Context as _, Result, ensure};
use bench_load::{Places, Work};
use io_uring::types::Fixed;
use io_uring::{IoUring, opcode};
use zerocopy::IntoBytes as _;

use crate::engine::Disk;
use crate::pages::{Page, buffer, check};

/// A ring with its buffers, and where each of them is being read from.
pub(crate) struct Reader {
    ring: IoUring,
    // Behind the ring: it ends first, and with it the kernel's use of them.
    buffers: Vec<(Vec<Page>, u64)>,
    length: u32,
}

impl Reader {
    pub(crate) fn new(disk: &Disk, work: &Work) -> Result<Self> {
        let mut builder = IoUring::builder();
        // What a single thread that waits in the kernel gains most from (Linux 6.1 and later).
        let ring = builder.setup_single_issuer().setup_defer_taskrun().build(work.depth.next_power_of_two());
        let ring = ring.context("there is no io_uring")?;
        ring.submitter().register_files(&[disk.file.as_raw_fd()]).context("cannot register the disk")?;
        let buffers = (0..work.depth).map(|_| (buffer(work.bytes), 0)).collect();
        let mut reader = Self { ring, buffers, length: work.bytes };
        reader.register()?;
        Ok(reader)
    }

    /// Carries a work out, with as many requests under way as there are buffers.
    pub(crate) fn run(&mut self, work: &Work, places: &mut Places) -> Result<()> {
        let (mut left, mut flying) = (work.requests, 0_u64);
        let mut free: Vec<usize> = (0..self.buffers.len()).collect();
        while left > 0 || flying > 0 {
            while left > 0
                && let Some(index) = free.pop()
            {
                self.push(index, places.place())?;
                (left, flying) = (left - 1, flying + 1);
            }
            self.ring.submit_and_wait(1).context("io_uring does not go on")?;
            let before = free.len();
            self.reap(&mut free)?;
            flying -= (free.len() - before) as u64;
        }
        Ok(())
    }

    fn register(&mut self) -> Result<()> {
        let each = self.buffers.iter_mut().map(|(pages, _)| pages.as_mut_bytes());
        let vectors: Vec<_> =
            each.map(|bytes| libc::iovec { iov_base: bytes.as_mut_ptr().cast(), iov_len: bytes.len() }).collect();
        // SAFETY: the buffers live, and stay where they are, for longer than the ring.
        unsafe { self.ring.submitter().register_buffers(&vectors) }.context("cannot register buffers")
    }

    fn push(&mut self, index: usize, at: u64) -> Result<()> {
        let (pages, place) = &mut self.buffers[index];
        *place = at;
        let start = pages.as_mut_ptr().cast();
        let read = opcode::ReadFixed::new(Fixed(0), start, self.length, index as u16).offset(at).build();
        // SAFETY: the buffer is registered under this index, and nobody looks at it until the answer is there.
        unsafe { self.ring.submission().push(&read.user_data(index as u64)) }.context("the ring is full")
    }

    /// Takes the answers that are there, and adds their buffers to the free ones.
    fn reap(&mut self, free: &mut Vec<usize>) -> Result<()> {
        for answer in self.ring.completion() {
            let (index, result) = (answer.user_data() as usize, answer.result());
            if result < 0 {
                return Err(Error::from_raw_os_error(-result)).context("cannot read");
            }
            let (pages, at) = &self.buffers[index];
            ensure!(result as u32 == self.length, "a read at {at} gave {result} bytes");
            check(pages, *at)?;
            free.push(index);
        }
        Ok(())
    }
}
