//! A disk that several have hold of, and that waits.

use alloc::sync::Arc;
use core::fmt;

use spin::Mutex;

use crate::Platform;
use crate::device::Blkfront;

/// A disk for several owners on one vCPU, one after the other: a file system, and who flushes and polls. A handle, cheap to clone.
///
/// Whoever uses it has it for himself meanwhile, also while a call waits. On another vCPU somebody else would spin for that time:
/// for several vCPUs there is [`AsyncDisk`](crate::AsyncDisk).
pub struct SharedDisk<P: Platform>(Arc<Mutex<Blkfront<P>>>);

impl<P: Platform> SharedDisk<P> {
    /// Shares a disk.
    #[must_use]
    pub fn new(disk: Blkfront<P>) -> Self {
        Self(Arc::new(Mutex::new(disk)))
    }

    /// Does something with the disk. Within it, the disk is not to be used by another handle: that would wait for ever.
    pub fn with<T>(&self, what: impl FnOnce(&mut Blkfront<P>) -> T) -> T {
        what(&mut self.0.lock())
    }

    /// The disk, if this is the last handle.
    #[must_use]
    pub fn into_inner(self) -> Option<Blkfront<P>> {
        Arc::into_inner(self.0).map(Mutex::into_inner)
    }
}

impl<P: Platform> Clone for SharedDisk<P> {
    fn clone(&self) -> Self {
        Self(Arc::clone(&self.0))
    }
}

impl<P: Platform> fmt::Debug for SharedDisk<P> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("SharedDisk").field(&self.0).finish()
    }
}
