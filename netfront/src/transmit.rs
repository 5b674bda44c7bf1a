//! One direction of a queue: what is sent.

mod trains;

use alloc::vec::Vec;
use core::num::NonZeroUsize;

use xen_grant_table::{Access, Account, GrantRun, Page, PageRun, Shown};
use xen_hypercall::abi::frame::PAGE_SIZE;
use xen_hypercall::abi::grant_table::GrantRef;
use xen_hypercall::abi::io::netif::{
    ExtraFlags, ExtraGso, ExtraMcast, ExtraType, MAX_TX_SIZE, Status, TxFlags, TxRequest, TxResponse,
};
use xen_shared_ring::in_flight::Entry;
use xen_shared_ring::{FrontRing, InFlight, OnePage, PeerError, Prefix};

use crate::Platform;
use crate::connection::Lacking;
use crate::options::Options;
use crate::packet::{ETHERNET_HEADER, Gso, Order};
use crate::statistics::Sent;
use crate::takes::Takes;
use crate::train::Train;
use crate::wire::{GroupSlot, GsoSlot, NetifTx};

/// A ring, and the pages whose contents go through it. The pages stay granted for as long as the connection: the backend can read
/// them at any time, and finds what it was sent, or zeros.
pub(crate) struct Transmit<P: Platform> {
    ring: FrontRing<NetifTx, GrantRun<P>>,
    /// Requests, and the page of each.
    parts: InFlight<u16, u16, Vec<Entry<u16>>>,
    pages: Vec<Shown<P>>,
    free: Vec<u16>,
    /// Slots of extra information, each of which has an answer without a number.
    extras: u32,
    /// A packet of several pages, before it is there.
    scratch: Vec<u8>,
    /// Segments that were sent, and are shown to the backend together.
    train: Train,
    takes: Takes,
    /// Somebody wants to send a packet of so many bytes, and could not.
    wanted: Option<usize>,
    pub(crate) broken: Option<PeerError>,
    pub(crate) sent: Sent,
}

impl<P: Platform> Transmit<P> {
    pub(crate) fn open(platform: &P, account: &Account<P>, options: &Options, takes: Takes) -> Result<Self, Lacking> {
        let count = options.transmit_pages;
        let run = PageRun::alloc(platform.clone(), NonZeroUsize::MIN).ok_or(Lacking::Memory)?;
        let run = run.grant(account, Access::ReadWrite).map_err(|error| error.reason)?;
        let ring = FrontRing::init_at(run, OnePage, options.first_index).map_err(|_| Lacking::Memory)?;
        let page = |_| {
            let page = Page::alloc(platform.clone()).ok_or(Lacking::Memory)?;
            page.show(account).map_err(|error| Lacking::Grants(error.reason))
        };
        let pages = (0..count).map(page).collect::<Result<Vec<_>, _>>()?;
        Ok(Self {
            ring,
            parts: InFlight::new((0..count).map(|_| Entry::VACANT).collect()),
            free: (0..count as u16).rev().collect(),
            pages,
            extras: 0,
            scratch: Vec::new(),
            train: Train::new(),
            takes,
            wanted: None,
            broken: None,
            sent: Sent::default(),
        })
    }

    pub(crate) fn gref(&self) -> GrantRef {
        self.ring.region().grefs().first().copied().unwrap_or(GrantRef(0))
    }

    /// Requests that were published and not answered.
    pub(crate) const fn outstanding(&self) -> u32 {
        self.ring.outstanding()
    }

    /// Whether nothing is under way.
    pub(crate) const fn is_idle(&self) -> bool {
        self.ring.outstanding() == 0 && self.ring.unpublished() == 0 && self.train.is_empty()
    }

    /// How many answers have been taken, for who looks whether there are more.
    pub(crate) const fn answers(&self) -> u32 {
        self.ring.next_pop()
    }

    /// Bytes that a packet can have.
    pub(crate) const fn most(&self) -> usize {
        self.takes.most
    }

    /// Bytes that a packet to be cut can have.
    pub(crate) const fn most_to_cut(&self) -> usize {
        if self.takes.gso_v4 || self.takes.gso_v6 { MAX_TX_SIZE as usize } else { self.takes.most }
    }

    /// Whether a packet of so many bytes can be sent now, which nothing can prevent then.
    #[inline]
    pub(crate) fn has_room(&mut self, bytes: usize) -> bool {
        if self.fits(bytes) {
            return true;
        }
        self.reap();
        let fits = self.fits(bytes);
        if !fits {
            self.wanted = self.wanted.max(Some(bytes));
        }
        fits
    }

    /// Whether there is room now for who waits for it. Until there is, the backend signals the next answer.
    pub(crate) fn has_wanted_room(&mut self) -> bool {
        let Some(bytes) = self.wanted else { return false };
        // Answers that nobody waits for are taken when their pages are needed. Those that were taken meanwhile count, too.
        self.reap_and_arm();
        let fits = self.fits(bytes);
        if fits {
            self.wanted = None;
        }
        fits
    }

    /// Whether the backend owes something: answers, or pages of which it has not said which they are.
    pub(crate) fn is_owed(&self) -> bool {
        self.ring.outstanding() > 0 || self.wanted.is_some_and(|bytes| !self.fits(bytes))
    }

    #[inline]
    fn fits(&self, bytes: usize) -> bool {
        let pages = bytes.div_ceil(PAGE_SIZE).max(1);
        let room = self.ring.room() as usize;
        // Room for how a packet is to be cut, too: of this one, and of those that wait.
        self.free.len() >= pages && room > pages + self.train.slots() && self.broken.is_none()
    }

    /// Takes all answers that are there.
    pub(crate) fn reap(&mut self) {
        self.reap_by(|ring| ring.pop().map(|answer| answer.map(xen_shared_ring::Untrusted::into_unverified)))
    }

    /// The same, and has the backend signal the next one.
    fn reap_and_arm(&mut self) {
        self.reap_by(|ring| ring.pop_or_arm().map(|answer| answer.map(xen_shared_ring::Untrusted::into_unverified)))
    }

    fn reap_by(
        &mut self,
        mut next: impl FnMut(&mut FrontRing<NetifTx, GrantRun<P>>) -> Result<Option<TxResponse>, PeerError>,
    ) {
        // No more than were outstanding: the ring sees to it.
        loop {
            match next(&mut self.ring) {
                Ok(Some(answer)) => {
                    if let Err(violation) = self.answered(answer) {
                        self.set_broken(violation);
                    }
                }
                Ok(None) => return,
                Err(violation) => {
                    self.broken = self.broken.or(Some(violation));
                    return;
                }
            }
        }
    }

    #[inline]
    fn answered(&mut self, answer: TxResponse) -> Result<(), PeerError> {
        if answer.status == Status::NULL {
            self.answered_without_number();
            return Ok(());
        }
        // Nothing that was sent is given up, so that each answer belongs to something.
        if let Some(page) = self.parts.complete(answer.id)? {
            self.free.push(page);
        }
        match answer.status {
            Status::OKAY => {}
            Status::ERROR | Status::DROPPED => self.sent.failed += 1,
            _ => (self.sent.failed, self.sent.unknown) = (self.sent.failed + 1, self.sent.unknown + 1),
        }
        Ok(())
    }

    /// One for each slot of extra information. More of them are answers whose numbers never come: their pages are lost until the next
    /// connection, of which there are no more than there are.
    const fn answered_without_number(&mut self) {
        match self.extras.checked_sub(1) {
            Some(extras) => self.extras = extras,
            None => self.sent.unnamed += 1,
        }
    }

    /// Shows the backend what was sent; whether it wants to be signalled.
    #[inline]
    pub(crate) fn publish(&mut self) -> bool {
        self.depart();
        if self.ring.unpublished() == 0 {
            return false;
        }
        let notify = self.ring.publish();
        self.parts.mark_published();
        notify.is_needed()
    }

    pub(crate) fn set_broken(&mut self, violation: PeerError) {
        self.broken = self.broken.or(Some(violation));
        self.ring.set_broken(violation);
    }

    /// Sends a packet, for which there [is room](Self::has_room), or drops it, where a backend would choke on it.
    #[inline]
    pub(crate) fn send<R>(&mut self, most: usize, len: usize, order: Order, write: impl FnOnce(&mut [u8]) -> R) -> R {
        if !(ETHERNET_HEADER..=most).contains(&len) {
            self.sent.refused += 1;
            return write(&mut alloc::vec![0; len]);
        }
        if len > PAGE_SIZE {
            return self.send_scattered(len, order, write);
        }
        if let Some(place) = self.train.place_behind(len, order) {
            return self.send_behind(place, len, write);
        }
        self.send_in_page(len, order, write)
    }

    #[inline]
    fn send_in_page<R>(&mut self, len: usize, order: Order, write: impl FnOnce(&mut [u8]) -> R) -> R {
        let page = self.free.last().copied().unwrap_or(0);
        let Some(shown) = self.pages.get_mut(usize::from(page)) else { return write(&mut alloc::vec![0; len]) };
        let (bytes, _) = shown.bytes_mut().split_at_mut(len);
        let done = write(bytes);
        match self.takes.flags(order, bytes) {
            Some(flags) => {
                self.free.pop();
                self.board(page, len, flags, order.gso);
                self.count(len);
            }
            None => {
                // It stays with us: nobody is to see it.
                bytes.fill(0);
                self.sent.refused += 1;
            }
        }
        done
    }

    /// A packet of several pages.
    fn send_scattered<R>(&mut self, len: usize, order: Order, write: impl FnOnce(&mut [u8]) -> R) -> R {
        self.depart();
        let mut packet = core::mem::take(&mut self.scratch);
        packet.resize(len, 0);
        let done = write(&mut packet);
        match self.takes.flags(order, &mut packet) {
            Some(flags) => {
                let mut pieces = packet.chunks(PAGE_SIZE).peekable();
                let (mut size, mut flags, mut gso) = (len, flags, order.gso);
                while let Some(piece) = pieces.next() {
                    let more = if pieces.peek().is_some() { TxFlags::MORE_DATA } else { TxFlags::default() };
                    self.push_piece(piece, size as u16, flags | more, gso.take());
                    size = pieces.peek().map_or(0, |piece| piece.len());
                    flags = TxFlags::default();
                }
                self.count(len);
            }
            None => self.sent.refused += 1,
        }
        self.scratch = packet;
        done
    }

    fn push_piece(&mut self, piece: &[u8], size: u16, flags: TxFlags, gso: Option<Gso>) {
        let Some(page) = self.free.pop() else { return };
        let into = self.pages.get_mut(usize::from(page)).and_then(|shown| shown.bytes_mut().get_mut(..piece.len()));
        if let Some(into) = into {
            into.copy_from_slice(piece);
        }
        self.push(page, size, flags, gso);
    }

    /// Tells the backend that packets to a group are wanted, or not any more: a request without a packet, for which there
    /// [is room](Self::has_room) if there is for one.
    pub(crate) fn send_group(&mut self, kind: ExtraType, group: [u8; 6]) {
        let Some(page) = self.free.pop() else { return };
        let slot = GroupSlot(ExtraMcast { kind, flags: ExtraFlags::default(), addr: group });
        self.depart();
        self.push_slots(page, 0, 0, TxFlags::default(), Some(slot));
    }

    /// The page is the packet's now.
    #[inline]
    fn push(&mut self, page: u16, size: u16, flags: TxFlags, gso: Option<Gso>) {
        let (kind, none, features) = (ExtraType::GSO, ExtraFlags::default(), 0);
        let extra =
            |gso: Gso| ExtraGso { kind, flags: none, size: gso.size, gso_type: gso.kind.wire(), _pad: 0, features };
        self.push_slots(page, 0, size, flags, gso.map(|gso| GsoSlot(extra(gso))));
    }

    #[inline]
    fn push_slots(&mut self, page: u16, offset: u16, size: u16, flags: TxFlags, extra: Option<impl Prefix<TxRequest>>) {
        // There are as many places as pages.
        let (Ok(id), Some(shown)) = (self.parts.insert(page), self.pages.get(usize::from(page))) else { return };
        let flags = if extra.is_some() { flags | TxFlags::EXTRA_INFO } else { flags };
        let _ = self.ring.push(TxRequest { gref: shown.gref(), offset, flags, id, size });
        if let Some(extra) = extra {
            let _ = self.ring.push(extra);
            self.extras += 1;
        }
    }

    const fn count(&mut self, len: usize) {
        self.sent.packets += 1;
        self.sent.bytes += len as u64;
    }
}
