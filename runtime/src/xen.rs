//! The handle by which everything in the guest reaches Xen, the guest's pages, and its tables.

use core::num::NonZeroUsize;
use core::ptr::NonNull;
use core::time::Duration;

use xen_event_channel::{EventChannels, Events};
use xen_grant_table::{GrantTable, Memory, TableFrame};
use xen_hypercall::abi::arch::{SharedInfo, VcpuInfo};
use xen_hypercall::abi::{Gfn, Number, VcpuId};
use xen_hypercall::{Arg, Clock, Errno, Frame, Hypercall, Pages, grant_table};

use crate::pages::{self, PAGE};
use crate::suspend::{self, SuspendError, Suspended};
use crate::{clock, platform, usage};

/// This guest, as the crates of the SDK see it: calls Xen, hands out pages, and holds the guest's grant table and event
/// channels. A value of no size; all are alike.
#[derive(Clone, Copy, Debug, Default)]
pub struct Xen(());

/// The handle.
pub(crate) const XEN: Xen = Xen(());

static GRANT_TABLE: GrantTable = GrantTable::new();
static EVENT_CHANNELS: EventChannels = EventChannels::new();

impl Xen {
    /// Suspends the guest, and returns when it runs again.
    ///
    /// After [`Suspended::Resumed`] it may run on another machine. Event channels and grants from before are stale; their
    /// handles say so, and touch nothing. Console and timer work as before, the guest's [`Clock`](crate::Clock) goes on from
    /// where it stopped, and [`Guest::boot`](crate::Guest::boot) tells the channel of the xenstore ring, whose page is where it
    /// was. After [`Suspended::Cancelled`] all is as if nothing had been.
    ///
    /// The toolstack asks for it by xenstore, and waits for the answer there: see `xen-xenbus`. A connection to xenstore that the
    /// runtime has made is not taken along: that is what [`Guest::suspend`](crate::Guest::suspend) is for.
    ///
    /// # Errors
    ///
    /// [`SuspendError`]: the guest went on without being suspended.
    pub fn suspend(&self) -> Result<Suspended, SuspendError> {
        suspend::suspend()
    }
}

// SAFETY: issues the call as it is.
unsafe impl Hypercall for Xen {
    #[inline(always)]
    unsafe fn call<const N: usize>(&self, number: Number, arguments: [Arg; N]) -> isize {
        usage::HYPERCALLS.add_one();
        // SAFETY: the caller's promise.
        unsafe { platform::ISSUE.call(number, arguments) }
    }
}

// SAFETY: the pool gives each page to one caller, and the platform has mapped it writable at the only address it has.
unsafe impl Pages for Xen {
    fn alloc(&self, count: NonZeroUsize) -> Option<NonNull<Frame>> {
        let first = pages::take_high(count)?;
        // SAFETY: the pages were free, are mapped writable, and are nobody else's.
        unsafe { first.as_ptr().cast::<u8>().write_bytes(0, count.get() * PAGE) };
        Some(first)
    }

    unsafe fn dealloc(&self, page: NonNull<Frame>) {
        // SAFETY: the caller's promise; `alloc` took it from the pool.
        unsafe { pages::put(page.addr().get(), 1) };
    }

    #[inline]
    fn gfn(&self, page: NonNull<Frame>) -> Gfn {
        platform::gfn(page.addr().get())
    }
}

// SAFETY: there is one table, and Xen's view of this domain is the only one; the platform maps table frames for good, at
// addresses that nobody else gets, and so it does for those of foreign pages.
unsafe impl Memory for Xen {
    fn grant_table(&self) -> &GrantTable {
        &GRANT_TABLE
    }

    fn map_table_frame(&self, kind: TableFrame, index: u32) -> Result<NonNull<Frame>, grant_table::Error> {
        platform::map_table_frame(kind, index)
    }

    fn reserve_foreign(&self, count: NonZeroUsize) -> Option<NonNull<Frame>> {
        platform::reserve_foreign(count)
    }

    unsafe fn release_foreign(&self, at: NonNull<Frame>) {
        // SAFETY: the caller's promise.
        unsafe { platform::release_foreign(at) };
    }
}

// SAFETY: there is one table, Xen's view of this domain is the only one, and shared info is mapped for good.
unsafe impl Events for Xen {
    #[inline(always)]
    fn event_channels(&self) -> &EventChannels {
        &EVENT_CHANNELS
    }

    /// The guest has one.
    #[inline(always)]
    fn vcpu(&self) -> VcpuId {
        VcpuId(0)
    }

    #[inline(always)]
    fn shared_info(&self) -> NonNull<SharedInfo> {
        platform::shared_info().as_abi()
    }

    #[inline(always)]
    fn vcpu_info(&self, vcpu: VcpuId) -> Option<NonNull<VcpuInfo>> {
        (vcpu == VcpuId(0)).then(|| platform::shared_info().vcpu())
    }

    fn wake_at(&self, deadline: Duration) -> Result<(), Errno> {
        clock::wake_at(deadline)
    }

    fn system_time(&self, time: Duration) -> Duration {
        clock::system_time(time)
    }
}

impl Clock for Xen {
    fn now(&self) -> Duration {
        clock::Clock::new().now()
    }
}
