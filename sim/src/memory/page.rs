//! One page of the machine, as Xen reaches it.

use std::ptr::NonNull;
use std::sync::atomic::{AtomicU8, AtomicU16, AtomicU32, AtomicU64};

use xen_hypercall::Frame;
use xen_hypercall::abi::frame::PAGE_SIZE;

use crate::order::BYTES;

/// A page of the machine's memory. Reached through atomics only: the guest may use it at the same time. Where that can be by
/// accesses of another size (copies of bytes), [`Shared::check_thread`](crate::machine::Shared::check_thread) was asked.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Page(NonNull<Frame>);

// SAFETY: an address of memory that lives as long as the machine, and is reached through atomics only.
unsafe impl Send for Page {}
// SAFETY: as above.
unsafe impl Sync for Page {}

macro_rules! words {
    ($($name:ident: $atomic:ty, $int:ty;)*) => { $(
        /// The word at `offset` bytes, which is inside the page and aligned.
        pub(crate) fn $name(&self, offset: usize) -> &$atomic {
            assert!(offset + size_of::<$int>() <= PAGE_SIZE && offset.is_multiple_of(align_of::<$int>()));
            // SAFETY: inside the page, as was just asserted.
            let word = unsafe { self.0.cast::<u8>().add(offset) }.cast::<$int>();
            // SAFETY: aligned; the page's memory lives as long as the machine, and whoever shares it uses atomics.
            unsafe { <$atomic>::from_ptr(word.as_ptr()) }
        }
    )* };
}

impl Page {
    /// # Safety
    ///
    /// The page's memory lives as long as the machine.
    pub(super) const unsafe fn new(frame: NonNull<Frame>) -> Self {
        Self(frame)
    }

    /// Where a guest finds it.
    pub(crate) const fn frame(self) -> NonNull<Frame> {
        self.0
    }

    /// Where a guest finds a structure in it, which is inside the page.
    pub(crate) fn at<T>(self, offset: usize) -> NonNull<T> {
        assert!(offset + size_of::<T>() <= PAGE_SIZE);
        // SAFETY: inside the page, as was just asserted.
        unsafe { self.0.cast::<u8>().add(offset) }.cast()
    }

    words! {
        u8: AtomicU8, u8;
        u16: AtomicU16, u16;
        u32: AtomicU32, u32;
        u64: AtomicU64, u64;
    }

    /// Copies bytes out; they lie inside the page.
    pub(crate) fn read(&self, offset: usize, into: &mut [u8]) {
        let words = word_aligned(offset, into.len());
        if words {
            for (i, chunk) in into.chunks_exact_mut(8).enumerate() {
                chunk.copy_from_slice(&self.u64(offset + 8 * i).load(BYTES).to_ne_bytes());
            }
        } else {
            for (i, byte) in into.iter_mut().enumerate() {
                *byte = self.u8(offset + i).load(BYTES);
            }
        }
    }

    /// Copies bytes in; they lie inside the page.
    pub(crate) fn write(&self, offset: usize, from: &[u8]) {
        if word_aligned(offset, from.len()) {
            for (i, word) in from.as_chunks::<8>().0.iter().enumerate() {
                self.u64(offset + 8 * i).store(u64::from_ne_bytes(*word), BYTES);
            }
        } else {
            for (i, byte) in from.iter().enumerate() {
                self.u8(offset + i).store(*byte, BYTES);
            }
        }
    }

    /// Sets every byte of a page that changes hands. Not by atomics: nobody else may use it now, and if a guest does
    /// nevertheless, that is a race for Miri to find.
    pub(crate) const fn fill(&self, byte: u8) {
        // SAFETY: the page's memory lives as long as the machine, and is Xen's alone at this moment.
        unsafe { self.0.write_bytes(byte, 1) };
    }

    /// Where a page that is Xen's alone has another byte than this.
    pub(crate) fn find_other(&self, byte: u8) -> Option<usize> {
        // SAFETY: as in `fill`; the type takes any bytes.
        let bytes = unsafe { self.0.cast::<[u8; PAGE_SIZE]>().read() };
        // One comparison for the usual case, which is much faster under Miri.
        if bytes == [byte; PAGE_SIZE] { None } else { bytes.iter().position(|other| *other != byte) }
    }

    /// All of its bytes.
    pub(crate) fn bytes(&self) -> Box<[u8; PAGE_SIZE]> {
        let mut bytes = Box::new([0; PAGE_SIZE]);
        self.read(0, bytes.as_mut_slice());
        bytes
    }
}

const fn word_aligned(offset: usize, len: usize) -> bool {
    offset.is_multiple_of(8) && len.is_multiple_of(8)
}
