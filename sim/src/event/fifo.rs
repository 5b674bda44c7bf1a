//! The FIFO form: event words, linked into a queue for each priority of each vCPU.

use std::mem::offset_of;
use std::sync::atomic::AtomicU32;

use xen_hypercall::Errno;
use xen_hypercall::abi::event_channel::{
    FIFO_BUSY, FIFO_LINK_BITS, FIFO_LINK_MASK, FIFO_LINKED, FIFO_MASKED, FIFO_NR_CHANNELS, FIFO_PENDING,
    FifoControlBlock,
};
use xen_hypercall::abi::frame::PAGE_SIZE;
use xen_hypercall::abi::{DomId, Gfn, Port, VcpuId};

use super::{Abi, Place};
use crate::memory::{Entry, Use};
use crate::order;
use crate::state::State;

const PENDING: u32 = 1 << FIFO_PENDING;
const MASKED: u32 = 1 << FIFO_MASKED;
const LINKED: u32 = 1 << FIFO_LINKED;
const BUSY: u32 = 1 << FIFO_BUSY;

/// Event words in each page.
const WORDS: usize = PAGE_SIZE / size_of::<u32>();

/// How often a link is tried before the guest is held off with [`BUSY`].
const TRIES: usize = 4;

impl State {
    /// Gives a vCPU its control block, and switches the domain to this form. What is pending gets lost, as the header
    /// warns.
    pub(crate) fn init_control(&mut self, domain: DomId, gfn: Gfn, offset: u32, vcpu: VcpuId) -> Result<u8, Errno> {
        let offset = offset as usize;
        if offset > PAGE_SIZE - size_of::<FifoControlBlock>() || !offset.is_multiple_of(8) {
            return Err(Errno::INVAL);
        }
        if self.vcpu(domain, vcpu)?.control.is_some() {
            return Err(Errno::INVAL);
        }
        let page = self.own_page(domain, gfn)?.page;
        if !self.dom(domain).channels.is_fifo() {
            self.switch_to_fifo(domain);
        }
        self.vcpu_mut(domain, vcpu)?.control = Some(Place { page, offset });
        Ok(FIFO_LINK_BITS as u8)
    }

    fn switch_to_fifo(&mut self, domain: DomId) {
        for port in self.open_ports(domain) {
            self.clear_pending(domain, port);
        }
        self.dom_mut(domain).channels.abi = Abi::Fifo(Vec::new());
    }

    /// Adds a page of event words. Events that came before there was a word for them are raised again.
    pub(crate) fn expand_array(&mut self, domain: DomId, gfn: Gfn) -> Result<(), Errno> {
        let entry = self.own_page(domain, gfn);
        let Abi::Fifo(array) = &mut self.dom_mut(domain).channels.abi else { return Err(Errno::OPNOTSUPP) };
        if array.len() * WORDS >= FIFO_NR_CHANNELS as usize {
            return Err(Errno::NOSPC);
        }
        array.push(entry?.page);
        let ports = self.open_ports(domain);
        for port in ports {
            let channel = self.dom_mut(domain).channels.get_mut(port)?;
            if std::mem::take(&mut channel.unseen) {
                self.set_pending(domain, port);
            }
        }
        Ok(())
    }

    /// A page that a domain may give to Xen to share.
    pub(crate) fn own_page(&self, domain: DomId, gfn: Gfn) -> Result<Entry, Errno> {
        let entry = self.memory.find(gfn).ok_or(Errno::INVAL)?;
        if entry.owner == domain && entry.usage == Use::Allocated { Ok(entry) } else { Err(Errno::INVAL) }
    }

    fn word(&self, domain: DomId, port: Port) -> Option<&AtomicU32> {
        let Abi::Fifo(array) = &self.dom(domain).channels.abi else { return None };
        let page = array.get(port.0 as usize / WORDS)?;
        Some(page.u32(port.0 as usize % WORDS * size_of::<u32>()))
    }

    /// Makes a port pending and links it, unless it is masked or linked already.
    pub(super) fn set_pending_fifo(&mut self, domain: DomId, port: Port) {
        let Some(word) = self.word(domain, port) else {
            if let Ok(channel) = self.dom_mut(domain).channels.get_mut(port) {
                channel.unseen = true;
            }
            return;
        };
        order::set32(word, PENDING);
        if order::look32(word) & (MASKED | LINKED) == 0 {
            self.link(domain, port);
        }
    }

    pub(super) fn is_pending_fifo(&self, domain: DomId, port: Port) -> bool {
        self.word(domain, port).is_some_and(|word| order::look32(word) & PENDING != 0)
    }

    pub(super) fn clear_pending_fifo(&mut self, domain: DomId, port: Port) {
        if let Some(word) = self.word(domain, port) {
            order::clear32(word, PENDING);
        }
        if let Ok(channel) = self.dom_mut(domain).channels.get_mut(port) {
            channel.unseen = false;
        }
    }

    pub(super) fn unmask_fifo(&mut self, domain: DomId, port: Port) {
        let Some(word) = self.word(domain, port) else { return };
        order::clear32(word, MASKED);
        if order::look32(word) & PENDING != 0 {
            self.set_pending_fifo(domain, port);
        }
    }

    /// Puts a port at the end of its queue. A queue that was empty starts with it, and its bit becomes ready.
    fn link(&mut self, domain: DomId, port: Port) {
        let Ok(channel) = self.dom(domain).channels.get(port) else { return };
        let (before, vcpu, priority) = (channel.queue, channel.vcpu, channel.priority);
        let Ok(Some(control)) = self.vcpu(domain, vcpu).map(|vcpu| vcpu.control) else { return };
        self.leave_queue(domain, port, before, (vcpu, priority));
        let Some(word) = self.word(domain, port) else { return };
        if order::set32(word, LINKED) & LINKED != 0 {
            return;
        }
        order::clear32(word, FIFO_LINK_MASK);
        let tail = self.vcpu(domain, vcpu).ok().and_then(|vcpu| vcpu.tails[priority as usize]);
        let appended = tail.filter(|tail| *tail != port).is_some_and(|tail| self.append(domain, tail, port));
        if !appended {
            start_queue(&control, priority, port);
        }
        self.remember(domain, port, vcpu, priority);
        let ready = control.page.u32(control.offset + offset_of!(FifoControlBlock, ready));
        if !appended && order::set32(ready, 1 << priority) & 1 << priority == 0 {
            self.mark_pending(domain, vcpu);
        }
    }

    fn remember(&mut self, domain: DomId, port: Port, vcpu: VcpuId, priority: u32) {
        if let Ok(vcpu) = self.vcpu_mut(domain, vcpu) {
            vcpu.tails[priority as usize] = Some(port);
        }
        if let Ok(channel) = self.dom_mut(domain).channels.get_mut(port) {
            channel.queue = Some((vcpu, priority));
        }
    }

    /// A port that moves to another queue is the end of its old one no more.
    fn leave_queue(&mut self, domain: DomId, port: Port, before: Option<(VcpuId, u32)>, now: (VcpuId, u32)) {
        let Some((vcpu, priority)) = before.filter(|before| *before != now) else { return };
        if let Ok(vcpu) = self.vcpu_mut(domain, vcpu)
            && vcpu.tails[priority as usize] == Some(port)
        {
            vcpu.tails[priority as usize] = None;
        }
    }

    /// Has the last port of a queue link to `port`; not if the guest has taken that one out already.
    fn append(&self, domain: DomId, tail: Port, port: Port) -> bool {
        let Some(word) = self.word(domain, tail) else { return false };
        (0..TRIES).find_map(|_| try_link(word, port)).unwrap_or_else(|| {
            order::set32(word, BUSY);
            // The guest leaves a busy word alone, so this ends.
            std::iter::repeat_with(|| try_link(word, port)).take(1 << 16).flatten().next().unwrap_or_else(|| {
                order::clear32(word, BUSY);
                false
            })
        })
    }
}

/// Whether the link was set; `None` where the word changed meanwhile.
fn try_link(word: &AtomicU32, port: Port) -> Option<bool> {
    let old = order::look32(word);
    if old & LINKED == 0 {
        order::clear32(word, BUSY);
        return Some(false);
    }
    order::replace32(word, old, old & !(BUSY | FIFO_LINK_MASK) | port.0).is_ok().then_some(true)
}

fn start_queue(control: &Place, priority: u32, port: Port) {
    let head = offset_of!(FifoControlBlock, head) + size_of::<u32>() * priority as usize;
    order::put32(control.page.u32(control.offset + head), port.0);
}
