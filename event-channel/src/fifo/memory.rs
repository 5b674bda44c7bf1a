//! The memory of the FIFO ABI: control blocks, and the array of event words, both in pages that Xen knows.

use core::ptr::NonNull;

use xen_hypercall::abi::VcpuId;
#[cfg(not(loom))]
use xen_hypercall::abi::event_channel::FifoControlBlock;
use xen_hypercall::abi::event_channel::{FIFO_MAX_QUEUES, FIFO_NR_CHANNELS};
use xen_hypercall::{Errno, Frame, event_channel};

use crate::atomic::{AtomicPtr, AtomicU8, AtomicU32, Relaxed, array, constructor};
use crate::table::{get_or_make, made};
use crate::{Events, order};

pub(crate) const QUEUES: usize = if cfg!(loom) { 1 } else { FIFO_MAX_QUEUES };
/// Event words in a page.
pub(crate) const WORDS: usize = if cfg!(loom) { 4 } else { size_of::<Frame>() / size_of::<u32>() };
/// Pages of the longest array.
const PAGES: usize = if cfg!(loom) { 2 } else { FIFO_NR_CHANNELS as usize / WORDS };
/// vCPUs that have their queues in one page.
const VCPUS: usize = if cfg!(loom) { 1 } else { size_of::<Frame>() / size_of::<Queues>() };
/// vCPUs for which there is room.
pub(crate) const MAX_VCPUS: u32 = if cfg!(loom) { 1 } else { 512 };
/// Pages for them.
const VCPU_PAGES: usize = MAX_VCPUS as usize / VCPUS;
/// How often a vCPU that wants to make the array longer lets others run while another one is at it.
const PATIENCE: usize = 1000;

/// What the FIFO ABI needs; pages are made when they are.
#[derive(Debug)]
pub(crate) struct Fifo {
    vcpus: [AtomicPtr<VcpuPage>; VCPU_PAGES],
    array: [AtomicPtr<Page>; PAGES],
    /// Pages of the array that Xen knows: always the first ones.
    known: AtomicU32,
    growing: AtomicU8,
}

/// A vCPU's queues.
#[derive(Debug)]
#[repr(C, align(256))]
pub(crate) struct Queues {
    /// Xen and the guest both write this.
    pub(crate) control: Control,
    /// The first port of each queue as far as the guest has come; 0 where only Xen knows.
    pub(crate) first: [AtomicU32; QUEUES],
    /// A pass is under way.
    pub(crate) busy: AtomicU8,
    /// Another one was asked for meanwhile.
    pub(crate) again: AtomicU8,
    /// Xen knows the control block.
    started: AtomicU8,
}

/// `struct evtchn_fifo_control_block`, public/event_channel.h, as atomics.
#[derive(Debug)]
#[repr(C)]
pub(crate) struct Control {
    pub(crate) ready: AtomicU32,
    _rsvd: u32,
    pub(crate) head: [AtomicU32; QUEUES],
}

/// A page of queues.
#[derive(Debug)]
struct VcpuPage([Queues; VCPUS]);

/// A page of event words.
#[derive(Debug)]
pub(crate) struct Page([AtomicU32; WORDS]);

#[cfg(not(loom))]
const _: () = {
    assert!(size_of::<Control>() == size_of::<FifoControlBlock>());
    assert!(VCPU_PAGES * VCPUS == MAX_VCPUS as usize);
    assert!(size_of::<VcpuPage>() == size_of::<Frame>() && size_of::<Page>() == size_of::<Frame>());
};

/// Why a port has no event word.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum GrowError {
    NoMemory,
    Busy,
    Refused(Errno),
}

impl Fifo {
    constructor! {
        pub(crate) fn new() -> Self {
            Self {
                vcpus: array!(AtomicPtr::new(core::ptr::null_mut())),
                array: array!(AtomicPtr::new(core::ptr::null_mut())),
                known: AtomicU32::new(0),
                growing: AtomicU8::new(0),
            }
        }
    }

    /// The queues of a vCPU that was started.
    pub(crate) fn queues(&self, vcpu: VcpuId) -> Option<&Queues> {
        let queues = made(self.vcpus.get(vcpu.0 as usize / VCPUS)?)?.0.get(vcpu.0 as usize % VCPUS)?;
        (order::state(&queues.started) != 0).then_some(queues)
    }

    /// A port's event word, if the array reaches so far.
    pub(crate) fn word(&self, port: u32) -> Option<&AtomicU32> {
        made(self.array.get(port as usize / WORDS)?)?.0.get(port as usize % WORDS)
    }

    /// Gives Xen a control block for a vCPU, and with the first one changes the domain to the FIFO ABI.
    pub(crate) fn start_vcpu<P: Events>(&self, platform: &P, vcpu: VcpuId) -> Result<(), GrowError> {
        let index = vcpu.0 as usize;
        let page = self.vcpus.get(index / VCPUS).and_then(|page| get_or_make(platform, page, VcpuPage::new));
        let page = page.ok_or(GrowError::NoMemory)?;
        let Some(queues) = page.0.get(index % VCPUS) else { return Err(GrowError::NoMemory) };
        if order::state(&queues.started) != 0 {
            return Ok(());
        }
        let offset = (index % VCPUS * size_of::<Queues>()) as u32;
        let gfn = platform.gfn(NonNull::from_ref(page).cast());
        // SAFETY: the page stays the table's, and its control blocks are atomics.
        unsafe { event_channel::init_control(platform, gfn, offset, vcpu) }.map_err(GrowError::Refused)?;
        order::swap_state(&queues.started, 1);
        Ok(())
    }

    /// Makes the array reach `port`.
    pub(crate) fn grow<P: Events>(&self, platform: &P, port: u32) -> Result<(), GrowError> {
        let wanted = port / WORDS as u32 + 1;
        for _ in 0..PATIENCE {
            if order::pages(&self.known) >= wanted {
                return Ok(());
            }
            if order::change_state(&self.growing, 0, 1).is_ok() {
                let result = self.grow_alone(platform, wanted);
                order::swap_state(&self.growing, 0);
                return result;
            }
            let _ = xen_hypercall::sched::yield_now(platform);
        }
        Err(GrowError::Busy)
    }

    /// Pages must come to Xen in their order, so that one vCPU at a time does this.
    fn grow_alone<P: Events>(&self, platform: &P, wanted: u32) -> Result<(), GrowError> {
        while order::pages(&self.known) < wanted {
            let known = order::pages(&self.known);
            let page = self.array.get(known as usize).and_then(|page| get_or_make(platform, page, Page::new));
            let page = NonNull::from_ref(page.ok_or(GrowError::NoMemory)?).cast();
            // SAFETY: the page stays the table's, is all zeros, and holds atomics.
            unsafe { event_channel::expand_array(platform, platform.gfn(page)) }.map_err(GrowError::Refused)?;
            order::grown(&self.known, known + 1);
        }
        Ok(())
    }

    /// Forgets what Xen has forgotten: the pages stay, as fresh ones.
    pub(crate) fn forget(&self) {
        for word in self.array.iter().filter_map(made).flat_map(|page| &page.0) {
            word.store(0, Relaxed);
        }
        for queues in self.vcpus.iter().filter_map(made).flat_map(|page| &page.0) {
            queues.forget();
        }
        order::grown(&self.known, 0);
    }
}

impl Queues {
    constructor! {
        fn new() -> Self {
            Self {
                control: Control { ready: AtomicU32::new(0), _rsvd: 0, head: array!(AtomicU32::new(0)) },
                first: array!(AtomicU32::new(0)),
                busy: AtomicU8::new(0),
                again: AtomicU8::new(0),
                started: AtomicU8::new(0),
            }
        }
    }

    fn forget(&self) {
        let words = [&self.control.ready].into_iter().chain(&self.control.head).chain(&self.first);
        words.for_each(|word| word.store(0, Relaxed));
        for state in [&self.busy, &self.again, &self.started] {
            state.store(0, Relaxed);
        }
    }
}

impl VcpuPage {
    constructor! {
        fn new() -> Self {
            Self(array!(Queues::new()))
        }
    }
}

impl Page {
    #[cfg(loom)]
    pub(crate) const fn words(&self) -> &[AtomicU32] {
        &self.0
    }

    constructor! {
        fn new() -> Self {
            Self(array!(AtomicU32::new(0)))
        }
    }
}
