//! Xen's start info as a typed value.

use core::ptr::NonNull;

use volatile::{VolatilePtr, map_field};
use xen_hypercall::abi::x86::start_info::{StartFlags, StartInfo};
use xen_hypercall::abi::{Mfn, Pfn, Port};

use super::memory::Memory;
use crate::boot::{BootInfo, CommandLine, SharedPage, text};

/// The page that the builder wrote, and that the toolstack changes when it restores the guest.
///
/// It is copied, and never behind a reference. Texts are an exception: nobody changes those.
#[derive(Clone, Copy, Debug)]
pub(super) struct Info(NonNull<StartInfo>);

// SAFETY: an address, of a page that is reached volatile.
unsafe impl Send for Info {}
// SAFETY: as above.
unsafe impl Sync for Info {}

/// The frames of the two pages that the guest shares with daemons.
#[derive(Clone, Copy, Debug)]
pub(super) struct Frames {
    store: Mfn,
    console: Mfn,
}

impl Info {
    /// The page at an address.
    ///
    /// # Safety
    ///
    /// The start info is mapped there, writable and for good, and reached by this type only.
    pub(super) const unsafe fn new(at: NonNull<StartInfo>) -> Self {
        Self(at)
    }

    /// The address of the page.
    pub(super) fn address(self) -> usize {
        self.0.addr().get()
    }

    /// A copy of all of it.
    pub(super) fn read(self) -> StartInfo {
        self.volatile().read()
    }

    /// The frame of the page that Xen shares with the guest.
    pub(super) fn shared_info(self) -> Mfn {
        let info = self.volatile();
        Mfn::containing(map_field!(info.shared_info).read())
    }

    /// Names the pages of xenstore and console by their own numbers instead of their frames, as the toolstack wants them while
    /// the guest is suspended. Answers with what was there.
    pub(super) fn name_pages(self, memory: &Memory) -> Frames {
        let info = self.volatile();
        let frames = Frames { store: map_field!(info.store_mfn).read(), console: map_field!(info.console_mfn).read() };
        self.set_frames(Frames { store: page_of(memory, frames.store), console: page_of(memory, frames.console) });
        frames
    }

    /// Puts back what [`name_pages`](Self::name_pages) found.
    pub(super) fn set_frames(self, frames: Frames) {
        let info = self.volatile();
        map_field!(info.store_mfn).write(frames.store);
        map_field!(info.console_mfn).write(frames.console);
    }

    /// What there is to know for all platforms.
    pub(super) fn boot_info(self, memory: &Memory) -> BootInfo {
        let info = self.read();
        let control_domain = info.flags.contains(StartFlags::INITDOMAIN);
        let page = |mfn, port| if control_domain { None } else { shared_page(memory, mfn, port) };
        let (platform, command_line) = self.texts();
        BootInfo {
            platform,
            command_line,
            pages: memory.pages(),
            control_domain,
            console: page(info.console_mfn, info.console_evtchn),
            store: page(info.store_mfn, info.store_evtchn),
        }
    }

    fn texts(self) -> (&'static str, CommandLine) {
        let info = self.0.as_ptr();
        // SAFETY: a field of the page, which stays as it is.
        let magic: &'static [u8] = unsafe { &(*info).magic };
        // SAFETY: as above.
        let line: &'static [u8] = unsafe { &(*info).cmd_line };
        (text(magic), CommandLine::new(line))
    }

    fn volatile(self) -> VolatilePtr<'static, StartInfo> {
        // SAFETY: mapped for good, as `new`'s caller promised.
        unsafe { VolatilePtr::new(self.0) }
    }
}

/// The number of the page with a frame, in the place of a frame. A frame that is not the guest's, or none, stays as it is.
fn page_of(memory: &Memory, frame: Mfn) -> Mfn {
    memory.page_of(frame).map_or(frame, |Pfn(page)| Mfn(page))
}

/// A page that the builder mapped for the guest. `None` where the toolstack made none.
fn shared_page(memory: &Memory, mfn: Mfn, port: Port) -> Option<SharedPage> {
    let page = NonNull::new(memory.address_of(mfn)? as *mut u8)?;
    (port.0 != 0).then_some(SharedPage { page, port })
}
