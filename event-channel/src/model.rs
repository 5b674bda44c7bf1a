//! For model checking only: the memory that Xen and a domain share, made of loom's atomics.
//!
//! Everything else is the code that a kernel runs. Tables and limits are smaller: a word has [`PORTS`] ports, there is one
//! queue, and [`BURST`](crate::BURST) is 1.

use core::ptr::NonNull;

use loom::sync::atomic::{AtomicU8, AtomicU32, AtomicU64};
use xen_hypercall::Frame;
use xen_hypercall::abi::arch;

use crate::fifo::{Page, Queues};
use crate::words;

/// Ports in a word.
pub const PORTS: u32 = words::PORTS;

/// What a model hands out as the shared info page.
#[derive(Debug)]
pub struct SharedInfo(words::Shared);

/// What a model hands out as a vCPU's info.
#[derive(Debug)]
pub struct VcpuInfo(words::Vcpu);

/// What Xen sees of a vCPU's queues.
#[derive(Debug)]
pub struct Control<'a> {
    /// A bit for the queue.
    pub ready: &'a AtomicU32,
    /// The queue's first port.
    pub head: &'a AtomicU32,
}

impl SharedInfo {
    /// No port is pending or masked.
    #[must_use]
    pub fn new() -> Self {
        Self(words::Shared::new())
    }

    /// The pointer that [`Events::shared_info`](crate::Events::shared_info) answers with.
    #[must_use]
    pub const fn as_abi(&self) -> NonNull<arch::SharedInfo> {
        NonNull::from_ref(&self.0).cast()
    }

    /// A port's word of pending bits, its word of mask bits, and its bit in both.
    ///
    /// # Panics
    ///
    /// For a port beyond the model's.
    #[must_use]
    pub fn port(&self, port: u32) -> (&AtomicU64, &AtomicU64, u64) {
        self.0.port(port).expect("a port of the model")
    }
}

impl VcpuInfo {
    /// Nothing is selected.
    #[must_use]
    pub fn new() -> Self {
        Self(words::Vcpu::new())
    }

    /// The pointer that [`Events::vcpu_info`](crate::Events::vcpu_info) answers with.
    #[must_use]
    pub const fn as_abi(&self) -> NonNull<arch::VcpuInfo> {
        NonNull::from_ref(&self.0).cast()
    }

    /// Whether Xen wants to call.
    #[must_use]
    pub const fn upcall_pending(&self) -> &AtomicU8 {
        &self.0.upcall_pending
    }

    /// The words with events.
    #[must_use]
    pub const fn selector(&self) -> &AtomicU64 {
        &self.0.selector
    }
}

/// The control block at the start of a page that `EVTCHNOP_init_control` named.
///
/// # Safety
///
/// The page is one of the table's, as long as the answer is used.
#[must_use]
pub unsafe fn control<'a>(page: NonNull<Frame>) -> Control<'a> {
    // SAFETY: the caller's promise; the first vCPU's queues are at the page's start.
    let queues: &Queues = unsafe { page.cast().as_ref() };
    Control { ready: &queues.control.ready, head: &queues.control.head[0] }
}

/// The event words of a page that `EVTCHNOP_expand_array` named.
///
/// # Safety
///
/// As for [`control`].
#[must_use]
pub unsafe fn event_words<'a>(page: NonNull<Frame>) -> &'a [AtomicU32] {
    // SAFETY: the caller's promise.
    let page: &Page = unsafe { page.cast().as_ref() };
    page.words()
}
