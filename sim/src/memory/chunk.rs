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
        let start = unsafe { alloc_zeroed(layout) };
        match NonNull::new(start.cast()) {
            Some(start) => Self { start, count, end: End::WithTheMachine },
            None => handle_alloc_error(layout),
        }
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
        unsafe { dealloc(self.start.as_ptr().cast(), layout(self.count)) };
    }
}

fn layout(count: NonZeroUsize) -> Layout {
    match Layout::array::<Frame>(count.get()) {
        Ok(layout) => layout,
        Err(_) => panic!("{count} pages are more than the host has addresses for"),
    }
}
