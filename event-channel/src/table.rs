//! The domain's event channels.

use core::num::NonZeroUsize;
use core::ptr::NonNull;

use xen_hypercall::Frame;
use xen_hypercall::abi::{Port, VcpuId};

use crate::atomic::{AtomicPtr, AtomicU8, Relaxed, Tally, array, constructor};
use crate::fifo::Fifo;
use crate::slot::Slot;
use crate::{Abi, Events, OpenError, order, words};

/// Ports of which one chunk keeps the counts: those of one word of the 2-level ABI.
const SLOTS: usize = if cfg!(loom) { 4 } else { 64 };
/// Chunks that one page of pointers names.
const CHUNKS: usize = if cfg!(loom) { 1 } else { 512 };
/// Pages of pointers: as many as the FIFO ABI has ports for.
const DIRECTORIES: usize = 4;

/// A domain's event channels: what it counts, and by which ABI.
///
/// Made once for each domain, as a static or in what stands for the domain. The first 64 ports need no more memory than this;
/// each 64 further ones take a page from [`Pages::alloc`](xen_hypercall::Pages::alloc) when the first of them is opened, and the
/// FIFO ABI a page for each 1024 ports. These pages stay the table's.
#[derive(Debug)]
pub struct EventChannels {
    state: AtomicU8,
    pub(crate) fifo: Fifo,
    first: Chunk,
    directories: [AtomicPtr<Directory>; DIRECTORIES],
    ignored: Tally,
}

impl EventChannels {
    constructor! {
        /// A table without ports.
        pub fn new() -> Self {
            Self {
                state: AtomicU8::new(FRESH),
                fifo: Fifo::new(),
                first: Chunk::new(),
                directories: array!(AtomicPtr::new(core::ptr::null_mut())),
                ignored: Tally::new(0),
            }
        }
    }

    /// The ABI in use.
    #[inline(always)]
    #[must_use]
    pub fn abi(&self) -> Abi {
        match order::state(&self.state) {
            FIFO => Abi::Fifo,
            _ => Abi::TwoLevel,
        }
    }

    /// How many events came for ports that no channel owns. Such a port is masked at the first, so that this grows slowly.
    #[must_use]
    pub fn ignored(&self) -> u32 {
        self.ignored.load(Relaxed)
    }
}

impl Default for EventChannels {
    fn default() -> Self {
        Self::new()
    }
}

/// No port was opened yet; the ABI is the 2-level one.
const FRESH: u8 = 0;
/// The 2-level ABI, for good.
const TWO_LEVEL: u8 = 1;
/// The FIFO ABI.
const FIFO: u8 = 2;
/// On the way to one or the other.
const STARTING: u8 = 3;

/// The state of the ABI.
impl EventChannels {
    /// Fixes the ABI: a port is about to be opened.
    ///
    /// # Errors
    ///
    /// [`OpenError::Busy`] while the ABI is being chosen: Xen may lose the events of a port that is opened meanwhile.
    pub(crate) fn bind(&self) -> Result<(), OpenError> {
        match order::change_state(&self.state, FRESH, TWO_LEVEL) {
            Err(STARTING) => Err(OpenError::Busy),
            // Another state than `FRESH` is as fixed.
            Ok(_) | Err(_) => Ok(()),
        }
    }

    /// Whether the events of a vCPU are dispatched. [`bind`](Self::bind) comes first.
    pub(crate) fn takes_events<P: Events>(&self, platform: &P, vcpu: VcpuId) -> bool {
        match self.abi() {
            Abi::TwoLevel => platform.vcpu_info(vcpu).is_some(),
            Abi::Fifo => self.fifo.queues(vcpu).is_some(),
        }
    }

    /// Begins to choose an ABI. The error says that this is not the time.
    pub(crate) fn begin_start(&self) -> Result<(), u8> {
        order::change_state(&self.state, FRESH, STARTING).map(drop)
    }

    /// Ends what [`begin_start`](Self::begin_start) began.
    pub(crate) fn end_start(&self, abi: Abi) {
        let state = match abi {
            Abi::TwoLevel => TWO_LEVEL,
            Abi::Fifo => FIFO,
        };
        order::swap_state(&self.state, state);
    }

    /// Back to before the first start; the caller has made sure that the domain has no ports.
    pub(crate) fn restart(&self) {
        for slot in self.slots() {
            slot.abandon();
        }
        self.fifo.forget();
        order::swap_state(&self.state, FRESH);
    }
}

/// Ports.
impl EventChannels {
    /// The counts of the first word's ports.
    #[inline(always)]
    pub(crate) const fn first(&self) -> &Chunk {
        &self.first
    }

    /// The counts of one word's ports.
    pub(crate) fn chunk(&self, index: u32) -> Option<&Chunk> {
        if index == 0 { Some(&self.first) } else { self.far_chunk(index as usize) }
    }

    pub(crate) fn slot(&self, port: u32) -> Option<&Slot> {
        let chunk = self.chunk(port / SLOTS as u32)?;
        Some(chunk.get(port % SLOTS as u32))
    }

    /// Makes room for a port's count.
    pub(crate) fn make_slot<P: Events>(&self, platform: &P, port: Port) -> Option<&Slot> {
        let index = port.0 as usize / SLOTS;
        if index != 0 {
            let directory = get_or_make(platform, self.directories.get(index / CHUNKS)?, Directory::new)?;
            get_or_make(platform, directory.0.get(index % CHUNKS)?, Chunk::new)?;
        }
        self.slot(port.0)
    }

    /// Counts and masks a port that nobody owns.
    ///
    /// Another vCPU may be opening the port at this moment, and may have found it not masked: its new owner has to unmask it.
    /// One that comes later sees the mask.
    #[cold]
    pub(crate) fn ignore<P: Events>(&self, platform: &P, port: u32) {
        self.ignored.fetch_add(1, Relaxed);
        self.mask(platform, port);
        if let Some(slot) = self.slot(port)
            && slot.hold_if_owned().is_waited_for()
        {
            slot.wake();
        }
    }

    /// Masks a port.
    pub(crate) fn mask<P: Events>(&self, platform: &P, port: u32) {
        match self.abi() {
            Abi::TwoLevel => {
                if let Some((_, mask, bit)) = words::shared(platform).port(port) {
                    order::set_wide(mask, bit);
                }
            }
            Abi::Fifo => self.fifo.mask(port),
        }
    }

    /// Whether a port is masked: at the latest by who masked it before its owner was on record.
    pub(crate) fn is_masked<P: Events>(&self, platform: &P, port: u32) -> bool {
        match self.abi() {
            Abi::TwoLevel => {
                words::shared(platform).port(port).is_some_and(|(_, mask, bit)| order::set_wide(mask, 0) & bit != 0)
            }
            Abi::Fifo => self.fifo.is_masked(port),
        }
    }

    fn far_chunk(&self, index: usize) -> Option<&Chunk> {
        let directory = made(self.directories.get(index / CHUNKS)?)?;
        made(directory.0.get(index % CHUNKS)?)
    }

    fn slots(&self) -> impl Iterator<Item = &Slot> {
        let directories = self.directories.iter().filter_map(made);
        let far = directories.flat_map(|directory| directory.0.iter().filter_map(made));
        core::iter::once(&self.first).chain(far).flat_map(|chunk| &chunk.0)
    }
}

/// The counts of adjacent ports.
#[derive(Debug)]
pub(crate) struct Chunk([Slot; SLOTS]);

/// A page of pointers to chunks.
#[derive(Debug)]
struct Directory([AtomicPtr<Chunk>; CHUNKS]);

const _: () = assert!(size_of::<Chunk>() <= size_of::<Frame>() && size_of::<Directory>() <= size_of::<Frame>());

impl Chunk {
    constructor! {
        fn new() -> Self {
            Self(array!(Slot::new()))
        }
    }

    /// The port of the word's bit `index`.
    #[inline(always)]
    pub(crate) const fn get(&self, index: u32) -> &Slot {
        &self.0[index as usize % SLOTS]
    }
}

impl Directory {
    constructor! {
        fn new() -> Self {
            Self(array!(AtomicPtr::new(core::ptr::null_mut())))
        }
    }
}

/// What a pointer of the table names, if it has been made.
#[inline]
pub(crate) fn made<T>(pointer: &AtomicPtr<T>) -> Option<&T> {
    // SAFETY: null, or published by `get_or_make` when it was initialised, and never taken back.
    unsafe { order::published(pointer).as_ref() }
}

/// What a pointer of the table names, made in a page of its own if it has not been. `None` when there is no page.
pub(crate) fn get_or_make<'a, P: Events, T>(
    platform: &P,
    pointer: &'a AtomicPtr<T>,
    new: impl FnOnce() -> T,
) -> Option<&'a T> {
    const { assert!(size_of::<T>() <= size_of::<Frame>() && align_of::<T>() <= align_of::<Frame>()) };
    if made(pointer).is_none() {
        let page: NonNull<T> = platform.alloc(NonZeroUsize::MIN)?.cast();
        // SAFETY: a fresh page, which nobody else knows, and which has room.
        unsafe { page.write(new()) };
        if order::publish(pointer, page.as_ptr()).is_err() {
            // Another vCPU was faster.
            // SAFETY: nobody has seen the page.
            unsafe { platform.dealloc(page.cast()) };
        }
    }
    made(pointer)
}

#[cfg(all(test, not(loom)))]
mod tests {
    use super::*;

    #[test]
    fn hc_175_no_port_is_opened_while_the_abi_is_being_chosen() {
        for abi in [Abi::TwoLevel, Abi::Fifo] {
            let table = EventChannels::new();
            assert_eq!(table.begin_start(), Ok(()));
            assert_eq!(table.bind(), Err(OpenError::Busy));
            table.end_start(abi);
            assert_eq!((table.bind(), table.abi()), (Ok(()), abi));
        }
    }
}
