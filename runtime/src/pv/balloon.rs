//! Pages that leave a PV guest and come back: each keeps its number and its address, and gets another frame.

use xen_hypercall::abi::memory::MemFlags;
use xen_hypercall::abi::mmu::UvmFlags;
use xen_hypercall::abi::{Gfn, Mfn};
use xen_hypercall::{Errno, memory, mmu};

use super::memory::Memory;
use super::tables::READ_WRITE;
use crate::balloon::BATCH;
use crate::xen::XEN;

impl Memory {
    /// Gives pages to Xen, up to a batch. Answers with how many it took, from the start; the others are as before.
    ///
    /// # Safety
    ///
    /// The pages are mapped writable at their addresses, and nothing uses them.
    pub(crate) unsafe fn give_up(&self, addresses: &[usize]) -> usize {
        let mut frames = [Gfn(0); BATCH];
        let mut count = 0;
        for (place, &address) in frames.iter_mut().zip(addresses) {
            let Some(frame) = self.frame_at(address) else { break };
            // SAFETY: nothing uses the page.
            if unsafe { map(address, 0) }.is_err() {
                break;
            }
            self.set_frame_at(address, None);
            *place = Gfn(frame.0);
            count += 1;
        }
        // SAFETY: nothing uses the pages, and they are mapped nowhere.
        let done = unsafe { memory::decrease_reservation(&XEN, &frames[..count], 0) }.unwrap_or(0);
        for (&address, frame) in addresses.iter().zip(&frames[..count]).skip(done) {
            self.put_back(address, Mfn(frame.0));
        }
        done
    }

    /// Asks Xen for the pages with the lowest numbers from `first` on that have no frame, as many as there is room for their
    /// addresses, up to a batch. Answers with how many it gave, and leaves in `first` where to look for more.
    pub(crate) fn take_back(&self, first: &mut usize, addresses: &mut [usize]) -> Result<usize, Errno> {
        let mut frames = [Gfn(0); BATCH];
        let mut count = 0;
        for ((place, address), page) in
            frames.iter_mut().zip(addresses.iter_mut()).zip(self.pages_without_frame(*first))
        {
            *place = Gfn(page as u64);
            *address = self.address(page);
            count += 1;
        }
        *first = frames[..count].first().map_or(*first, |page| page.0 as usize);
        // SAFETY: the pages have no frame, and nothing uses them.
        let done = unsafe { memory::populate_physmap(&XEN, &mut frames[..count], 0, MemFlags::empty()) }?;
        for (&address, frame) in addresses.iter().zip(&frames[..done]) {
            self.put_back(address, Mfn(frame.0));
        }
        Ok(done)
    }

    /// Maps a frame at the address of a page that has none.
    fn put_back(&self, address: usize, frame: Mfn) {
        self.set_frame_at(address, Some(frame));
        // SAFETY: nothing is mapped at the address, and nothing uses the frame.
        let mapped = unsafe { map(address, frame.address() | READ_WRITE) };
        // Xen refuses no mapping of a frame that is the guest's and nothing else.
        assert_eq!(mapped, Ok(()), "a page at {address:#x} that was given up cannot be mapped again");
    }
}

/// # Safety
///
/// Nothing uses the page at the address.
unsafe fn map(address: usize, entry: u64) -> Result<(), Errno> {
    // SAFETY: the caller's promise.
    unsafe { mmu::update_va_mapping(&XEN, address, entry, UvmFlags::INVLPG) }
}
