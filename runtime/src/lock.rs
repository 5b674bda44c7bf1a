//! A lock that the upcall may take as well: upcalls are held back while it is locked.
//!
//! The upcall calls wakers, and the last drop of a waker frees memory. Were the code that it has interrupted inside the
//! allocator, a plain lock would never be free again.

use core::sync::atomic::{AtomicBool, Ordering};

use talc::lock_api::{self, GuardNoSend};
use xen_event_channel::{Events, Upcalls};

use crate::xen::XEN;

/// For what code that may run in the upcall reaches. What is done under the lock must be short, and must not wait.
pub(crate) type Mutex<T> = lock_api::Mutex<HoldingUpcalls, T>;

/// Holds upcalls back first, then locks; and lets them through last, if they came through before.
#[derive(Debug)]
pub(crate) struct HoldingUpcalls {
    lock: spin::Mutex<()>,
    /// Whether upcalls came through before. Of whoever has the lock.
    open: AtomicBool,
}

// SAFETY: `lock` excludes others, and nothing else here lets anybody in.
unsafe impl lock_api::RawMutex for HoldingUpcalls {
    const INIT: Self = Self { lock: spin::Mutex::new(()), open: AtomicBool::new(false) };

    /// Upcalls are held back, and let through again, on the same vCPU.
    type GuardMarker = GuardNoSend;

    #[inline]
    fn lock(&self) {
        let before = XEN.hold_upcalls();
        lock_api::RawMutex::lock(&self.lock);
        self.open.store(before == Upcalls::Open, Ordering::Relaxed);
    }

    #[inline]
    fn try_lock(&self) -> bool {
        let before = XEN.hold_upcalls();
        let locked = lock_api::RawMutex::try_lock(&self.lock);
        if locked {
            self.open.store(before == Upcalls::Open, Ordering::Relaxed);
        } else if before == Upcalls::Open {
            XEN.release_upcalls();
        }
        locked
    }

    #[inline]
    unsafe fn unlock(&self) {
        let open = self.open.load(Ordering::Relaxed);
        // SAFETY: the caller has the lock.
        unsafe { lock_api::RawMutex::unlock(&self.lock) };
        if open {
            XEN.release_upcalls();
        }
    }
}
