//! Runs of adjacent pages, taken from the host.

use std::alloc::{Layout, alloc_zeroed, dealloc, handle_alloc_error};
use std::num::NonZeroUsize;
use std::ptr::NonNull;
use std::sync::{Mutex, PoisonError};

use xen_hypercall::Frame;
use xen_hypercall::abi::frame::PAGE_SIZE;

use super::Page;

/// Adjacent pages, zeroed. They go back to the host with the machine.
#[derive(Debug)]
pub(super) struct Chunk {
    /// What the host gave, which is a page more.
    base: NonNull<u8>,
    start: NonNull<Frame>,
    count: NonZeroUsize,
    end: End,
}

/// When the memory goes back to the host.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum End {
    WithTheMachine,
    Never,
}

/// Chunks that outlive their machines: somebody may use them still. The list shows tools that look for leaks that it is meant.
static KEPT: Mutex<Vec<Page>> = Mutex::new(Vec::new());

// SAFETY: the chunk owns its memory; the pages in it are reached through `Page`.
unsafe impl Send for Chunk {}

impl Chunk {
    pub(super) fn new(count: NonZeroUsize) -> Self {
        let layout = layout(count);
        // SAFETY: the layout is not empty.
        let base = unsafe { alloc_zeroed(layout) };
        let Some(base) = NonNull::new(base) else { handle_alloc_error(layout) };
        // SAFETY: the first page boundary is less than a page away, and there is a page more than needed.
        let start = unsafe { base.add(base.align_offset(PAGE_SIZE)) };
        Self { base, start: start.cast(), count, end: End::WithTheMachine }
    }

    /// Has the memory outlive the machine.
    pub(super) fn keep(&mut self) {
        if self.end == End::WithTheMachine {
            self.end = End::Never;
            KEPT.lock().unwrap_or_else(PoisonError::into_inner).push(self.page(0));
        }
    }

    pub(super) const fn len(&self) -> usize {
        self.count.get()
    }

    pub(super) fn page(&self, index: usize) -> Page {
        assert!(index < self.len());
        // SAFETY: inside the chunk, as was just asserted.
        let frame = unsafe { self.start.add(index) };
        // SAFETY: chunks are dropped with the machine only.
        unsafe { Page::new(frame) }
    }

    /// Which page an address is the start of.
    pub(super) fn index(&self, frame: NonNull<Frame>) -> Option<usize> {
        let distance = frame.addr().get().checked_sub(self.start.addr().get())?;
        let index = distance / PAGE_SIZE;
        (distance.is_multiple_of(PAGE_SIZE) && index < self.len()).then_some(index)
    }
}

impl Drop for Chunk {
    fn drop(&mut self) {
        if self.end == End::Never {
            return;
        }
        // SAFETY: allocated in `new` with this layout; with the machine go all who could use it.
        unsafe { dealloc(self.base.as_ptr(), layout(self.count)) };
    }
}

/// Of bytes, with a page to spare: a host that is asked for whole pages fills them with zeros itself, and they cost though nobody uses
/// them.
fn layout(count: NonZeroUsize) -> Layout {
    let bytes = count.checked_add(1).and_then(|pages| pages.get().checked_mul(PAGE_SIZE));
    match bytes.map(Layout::array::<u8>) {
        Some(Ok(layout)) => layout,
        _ => panic!("{count} pages are more than the host has addresses for"),
    }
}
