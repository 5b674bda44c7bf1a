//! The global allocator, over all memory that nothing else uses.

use core::ops::Range;

use spin::Mutex;
use talc::TalcLock;
use talc::source::Manual;

#[global_allocator]
static HEAP: TalcLock<Mutex<()>, Manual> = TalcLock::new(Manual);

/// Gives memory to the allocator.
///
/// # Safety
///
/// The memory is mapped, writable, used by nothing else, and stays so.
pub(crate) unsafe fn add(memory: Range<usize>) {
    let base = core::ptr::with_exposed_provenance_mut(memory.start);
    // SAFETY: the caller's promise. A piece too small for the allocator's own records is left alone.
    unsafe { HEAP.lock().claim(base, memory.len()) };
}
