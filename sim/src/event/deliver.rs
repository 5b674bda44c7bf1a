//! Making ports pending, in both forms.

use std::mem::offset_of;
use std::sync::atomic::AtomicU64;

use xen_hypercall::Errno;
use xen_hypercall::abi::arch::SharedInfo;
use xen_hypercall::abi::{DomId, Port, VcpuId};

use super::{Abi, Kind};
use crate::order;
use crate::state::State;

impl State {
    /// Makes an open port pending, and calls its vCPU unless it is masked.
    pub(crate) fn set_pending(&mut self, domain: DomId, port: Port) {
        let Ok(channel) = self.dom(domain).channels.get(port) else { return };
        if channel.kind == Kind::Free {
            return;
        }
        let vcpu = channel.vcpu;
        if self.dom(domain).channels.is_fifo() {
            return self.set_pending_fifo(domain, port);
        }
        let (word, bit) = place(port);
        if order::set64(self.pending_word(domain, word), bit) & bit == 0
            && order::look64(self.mask_word(domain, word)) & bit == 0
        {
            self.select(domain, vcpu, word);
        }
    }

    /// Whether a port is pending, masked or not.
    pub(crate) fn is_pending(&self, domain: DomId, port: Port) -> bool {
        if self.dom(domain).channels.is_fifo() {
            return self.is_pending_fifo(domain, port);
        }
        let (word, bit) = place(port);
        word < WORDS && order::look64(self.pending_word(domain, word)) & bit != 0
    }

    /// Makes a port forget its event.
    pub(crate) fn clear_pending(&mut self, domain: DomId, port: Port) {
        if self.dom(domain).channels.is_fifo() {
            return self.clear_pending_fifo(domain, port);
        }
        let (word, bit) = place(port);
        order::clear64(self.pending_word(domain, word), bit);
    }

    /// Clears a port's mask, and calls for an event that came meanwhile.
    pub(crate) fn unmask(&mut self, domain: DomId, port: Port) -> Result<(), Errno> {
        let channels = &self.dom(domain).channels;
        let vcpu = channels.get(port)?.vcpu;
        if let Abi::Fifo(_) = channels.abi {
            self.unmask_fifo(domain, port);
            return Ok(());
        }
        let (word, bit) = place(port);
        if order::clear64(self.mask_word(domain, word), bit) & bit != 0
            && order::look64(self.pending_word(domain, word)) & bit != 0
        {
            self.select(domain, vcpu, word);
        }
        Ok(())
    }

    /// Tells a vCPU that it has an event.
    pub(super) fn mark_pending(&self, domain: DomId, vcpu: VcpuId) {
        if let Ok(vcpu) = self.vcpu(domain, vcpu) {
            order::put8(vcpu.upcall_pending(), 1);
        }
    }

    /// Whether a vCPU would be called now.
    pub(crate) fn wants_upcall(&self, domain: DomId, vcpu: VcpuId) -> bool {
        self.vcpu(domain, vcpu).is_ok_and(|vcpu| {
            !vcpu.in_upcall && order::look8(vcpu.upcall_pending()) != 0 && order::look8(vcpu.upcall_mask()) == 0
        })
    }

    /// The first bit of the selector's word brings the upcall, the following ones are seen by the same.
    fn select(&self, domain: DomId, vcpu: VcpuId, word: usize) {
        let Ok(of) = self.vcpu(domain, vcpu) else { return };
        if order::set64(of.selector(), 1 << word) & 1 << word == 0 {
            self.mark_pending(domain, vcpu);
        }
    }

    fn pending_word(&self, domain: DomId, word: usize) -> &AtomicU64 {
        self.dom(domain).shared_info.page.u64(offset_of!(SharedInfo, evtchn_pending) + 8 * word)
    }

    fn mask_word(&self, domain: DomId, word: usize) -> &AtomicU64 {
        self.dom(domain).shared_info.page.u64(offset_of!(SharedInfo, evtchn_mask) + 8 * word)
    }

    /// Everything may be pending: after the vCPU's info has moved.
    pub(crate) fn mark_all(&self, domain: DomId, vcpu: VcpuId) {
        if let Ok(of) = self.vcpu(domain, vcpu) {
            order::set64(of.selector(), u64::MAX);
        }
        self.mark_pending(domain, vcpu);
    }

    /// Forgets all events and masks, as a new domain has it.
    pub(crate) fn clear_words(&self, domain: DomId) {
        for word in 0..WORDS {
            order::clear64(self.pending_word(domain, word), u64::MAX);
            order::clear64(self.mask_word(domain, word), u64::MAX);
        }
        for vcpu in &self.dom(domain).vcpus {
            order::clear64(vcpu.selector(), u64::MAX);
            order::put8(vcpu.upcall_pending(), 0);
        }
    }
}

/// Words of pending bits.
const WORDS: usize = 64;

/// The word and the bit of a port in the 2-level form.
const fn place(port: Port) -> (usize, u64) {
    ((port.0 / u64::BITS) as usize, 1 << (port.0 % u64::BITS))
}
