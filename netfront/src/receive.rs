//! One direction of a queue: what is received.

use alloc::sync::Arc;
use alloc::vec::Vec;
use core::num::NonZeroUsize;
use core::time::Duration;

use xen_grant_table::{Access, Account, Grant, GrantRun, Page, PageRun, Recalled};
use xen_hypercall::abi::grant_table::GrantRef;
use xen_hypercall::abi::io::netif::{HashTypes, RxRequest, RxResponse};
use xen_shared_ring::{FrontRing, OnePage, PeerError, Untrusted};

use crate::Platform;
use crate::chain::{Agreed, Chain, Dropped, MOST_SLOTS, Packet, Piece};
use crate::connection::Lacking;
use crate::headers::Transport;
use crate::options::{Options, RING_SLOTS};
use crate::packet::{Checksum, Gso, Hash, Meta};
use crate::statistics::Received;
use crate::wire::NetifRx;

/// Packets of so many bytes are copied: that costs less than to take a page back and grant it again.
const COPIED: u32 = 128;

/// So many pages are given to the backend at once, where it has enough for now.
const BATCH: u32 = 16;

/// When it is tried again to find pages that are missing.
const RETRY: Duration = Duration::from_millis(100);

/// A ring, and the pages into which the backend puts packets.
pub(crate) struct Receive<P: Platform> {
    platform: P,
    ring: FrontRing<NetifRx, GrantRun<P>>,
    /// Pages that the backend has, by their slots.
    posted: Vec<Option<Grant<P>>>,
    /// Pages that it may have.
    spare: Vec<Grant<P>>,
    /// Pieces of the packet that is coming.
    held: Vec<(Grant<P>, Piece)>,
    chain: Chain,
    agreed: Agreed,
    /// Which queue it is of.
    number: u32,
    ready: Option<Ready<P>>,
    scratch: Vec<u8>,
    /// How many pages there should be, and how many there are.
    wanted: u32,
    pages: u32,
    retry_at: Option<Duration>,
    pub(crate) broken: Option<PeerError>,
    pub(crate) received: Received,
    account: Arc<Account<P>>,
}

/// A packet that has come.
struct Ready<P: Platform> {
    body: Body<P>,
    checksum: Checksum,
    len: u32,
}

enum Body<P: Platform> {
    /// In a page that was taken back.
    Page(Recalled<P>, Piece),
    /// Copied to the scratch memory.
    Copied,
    /// The same, with more that is known of it.
    Described(Option<Gso>, Option<Hash>),
}

/// Whether the backend is to signal the next packet.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Look {
    Now,
    AndArm,
}

impl<P: Platform> Receive<P> {
    pub(crate) fn open(
        number: u32,
        platform: &P,
        account: &Arc<Account<P>>,
        options: &Options,
        agreed: Agreed,
    ) -> Result<Self, Lacking> {
        let wanted = options.receive_pages;
        let run = PageRun::alloc(platform.clone(), NonZeroUsize::MIN).ok_or(Lacking::Memory)?;
        let run = run.grant(account, Access::ReadWrite).map_err(|error| error.reason)?;
        let ring = FrontRing::init_at(run, OnePage, options.first_index).map_err(|_| Lacking::Memory)?;
        let mut receive = Self {
            platform: platform.clone(),
            ring,
            posted: (0..RING_SLOTS).map(|_| None).collect(),
            spare: Vec::with_capacity(wanted as usize),
            held: Vec::with_capacity(MOST_SLOTS),
            chain: Chain::START,
            agreed,
            number,
            ready: None,
            scratch: Vec::new(),
            wanted,
            pages: 0,
            retry_at: None,
            broken: None,
            received: Received::default(),
            account: Arc::clone(account),
        };
        receive.find_pages(Duration::ZERO);
        // With fewer no packet of several pieces may ever fit.
        if (receive.pages as usize) < MOST_SLOTS { Err(Lacking::Memory) } else { Ok(receive) }
    }

    pub(crate) fn gref(&self) -> GrantRef {
        self.ring.region().grefs().first().copied().unwrap_or(GrantRef(0))
    }

    /// How many answers have been taken.
    pub(crate) const fn answers(&self) -> u32 {
        self.ring.next_pop()
    }

    /// Whether a packet has come. It stays until it is consumed.
    #[inline]
    pub(crate) fn look(&mut self, look: Look) -> bool {
        // No more slots than the backend had: the ring sees to it.
        while self.ready.is_none() {
            let place = self.ring.next_pop();
            let response = match look {
                Look::Now => self.ring.pop(),
                Look::AndArm => self.ring.pop_or_arm(),
            };
            match response.map(|response| response.map(Untrusted::into_unverified)) {
                Ok(Some(response)) => self.take(place, response),
                Ok(None) => return false,
                Err(violation) => {
                    self.set_broken(violation);
                    return false;
                }
            }
        }
        true
    }

    /// Whether a packet is known of already.
    #[inline]
    pub(crate) const fn is_ready(&self) -> bool {
        self.ready.is_some()
    }

    #[inline]
    fn take(&mut self, place: u32, response: RxResponse) {
        let place = place % RING_SLOTS;
        if self.chain.expects_response() && u32::from(response.id) != place {
            return self.set_broken(PeerError::Message { rule: "id", value: response.id.into() });
        }
        let Some(grant) = self.posted.get_mut(place as usize).and_then(Option::take) else {
            return self.set_broken(PeerError::Message { rule: "slot", value: place.into() });
        };
        if let Some((piece, checksum)) = self.chain.plain(response, &self.agreed) {
            return self.take_plain(grant, piece, checksum);
        }
        let taken = self.chain.take(response, &self.agreed);
        match taken.piece {
            Some(piece) => self.held.push((grant, piece)),
            None => self.spare.push(grant),
        }
        match taken.packet {
            Packet::GoesOn => {}
            Packet::Whole(meta, len) => {
                self.copy(len);
                self.finish(Body::Described(meta.gso, meta.hash), meta.checksum, len);
            }
            Packet::Dropped(reason) => self.drop_packet(reason),
        }
    }

    /// A packet of one piece.
    #[inline]
    fn take_plain(&mut self, grant: Grant<P>, piece: Piece, checksum: Checksum) {
        let len = piece.len.into();
        if len <= COPIED {
            self.copy_one(grant, piece);
            return self.finish(Body::Copied, checksum, len);
        }
        if let Some(page) = self.take_page(grant) {
            self.finish(Body::Page(page, piece), checksum, len);
        }
    }

    /// All of a packet is there.
    #[inline(always)]
    fn finish(&mut self, body: Body<P>, checksum: Checksum, len: u32) {
        let ready = Ready { body, checksum, len };
        if checksum == Checksum::Blank && Transport::find(ready.bytes(&self.scratch)).is_none() {
            ready.give_back(self);
            return self.drop_packet(Dropped::Blank);
        }
        self.received.packets += 1;
        self.received.bytes += u64::from(len);
        self.ready = Some(ready);
    }

    /// The only piece's page is the domain's own again.
    #[inline]
    fn take_page(&mut self, grant: Grant<P>) -> Option<Recalled<P>> {
        match grant.recall() {
            Ok(page) => Some(page),
            Err(still) => {
                self.set_broken(PeerError::from(&still));
                None
            }
        }
    }

    /// The only piece is small.
    #[inline]
    fn copy_one(&mut self, grant: Grant<P>, piece: Piece) {
        // Whole words are quicker; the page has them, but at its end.
        let len = usize::from(piece.len).next_multiple_of(size_of::<usize>());
        if self.scratch.len() < len {
            self.scratch.resize(len, 0);
        }
        let _ = grant.read(piece.offset.into(), self.scratch.get_mut(..len).unwrap_or_default());
        self.spare.push(grant);
    }

    fn copy(&mut self, len: u32) {
        self.scratch.resize(self.scratch.len().max(len as usize), 0);
        let mut rest = self.scratch.as_mut_slice();
        for (grant, piece) in self.held.drain(..) {
            // There is room for all of them.
            let (into, after) = rest.split_at_mut_checked(piece.len.into()).unwrap_or_default();
            let _ = grant.read(usize::from(piece.offset), into);
            rest = after;
            self.spare.push(grant);
        }
    }

    #[cold]
    fn drop_packet(&mut self, reason: Dropped) {
        self.spare.extend(self.held.drain(..).map(|(grant, _)| grant));
        self.received.count(reason);
    }

    /// Whether so many pages wait that the backend should have them.
    #[inline]
    pub(crate) fn should_post(&self) -> bool {
        // With the others it can have a packet of the most pieces.
        let batch = BATCH.min((self.pages + 1).saturating_sub(MOST_SLOTS as u32));
        self.spare.len() >= batch.max(1) as usize
    }

    /// Gives the backend what pages there are; whether it wants to be signalled.
    pub(crate) fn post(&mut self) -> bool {
        while self.ring.room() > 0 {
            let Some(grant) = self.spare.pop() else { break };
            let place = self.ring.next_push() % RING_SLOTS;
            let (id, gref) = (place as u16, grant.gref());
            if let Some(posted) = self.posted.get_mut(place as usize) {
                *posted = Some(grant);
            }
            let _ = self.ring.push(RxRequest { id, _pad: 0, gref });
        }
        self.ring.publish().is_needed()
    }

    /// Finds pages for those that are missing. Those that are not to be had are tried again.
    pub(crate) fn find_pages(&mut self, now: Duration) {
        self.retry_at = None;
        while self.pages < self.wanted {
            let page = Page::alloc(self.platform.clone());
            let Some(Ok(grant)) = page.map(|page| page.grant_zeroed(&self.account)) else {
                self.received.starved += 1;
                self.retry_at = Some(now.saturating_add(RETRY));
                return;
            };
            self.spare.push(grant);
            self.pages += 1;
        }
    }

    /// Whether pages are missing, and it is time to look for them.
    pub(crate) fn lacks_pages(&self, now: Duration) -> bool {
        self.pages < self.wanted && self.retry_at.is_none_or(|at| at <= now)
    }

    pub(crate) const fn retry_at(&self) -> Option<Duration> {
        self.retry_at
    }

    /// Packets may come with these hashes.
    pub(crate) fn expect_hashes(&mut self, types: HashTypes) {
        self.agreed.hashes |= types;
    }

    pub(crate) fn set_broken(&mut self, violation: PeerError) {
        self.broken = self.broken.or(Some(violation));
        self.ring.set_broken(violation);
    }

    /// The packet that has come, to look at.
    #[inline]
    pub(crate) fn bytes(&self) -> &[u8] {
        self.ready.as_ref().map_or(&[], |ready| ready.bytes(&self.scratch))
    }

    /// What else is known of it.
    pub(crate) fn meta(&self) -> Meta {
        self.ready.as_ref().map_or(Meta::PLAIN, Ready::meta)
    }

    /// Hands it out, and is done with it.
    #[inline]
    pub(crate) fn consume<R>(&mut self, read: impl FnOnce(&[u8]) -> R) -> R {
        let Some(ready) = self.ready.take() else { return read(&[]) };
        let done = read(ready.bytes(&self.scratch));
        ready.give_back(self);
        done
    }

    /// Which queue it is of.
    pub(crate) const fn number(&self) -> u32 {
        self.number
    }

    /// A page that was taken back is granted again, as it is: the backend wrote all that is in it.
    #[inline]
    fn return_page(&mut self, page: Recalled<P>) {
        match page.grant_again() {
            Ok(grant) => self.spare.push(grant),
            Err(_) => self.pages -= 1,
        }
    }
}

impl<P: Platform> Ready<P> {
    const fn meta(&self) -> Meta {
        match self.body {
            Body::Page(..) | Body::Copied => Meta::of(self.checksum),
            Body::Described(gso, hash) => Meta { gso, hash, ..Meta::of(self.checksum) },
        }
    }

    #[inline]
    fn bytes<'a>(&'a self, scratch: &'a [u8]) -> &'a [u8] {
        let (from, start) = match &self.body {
            Body::Page(page, piece) => (page.bytes().as_slice(), usize::from(piece.offset)),
            Body::Copied | Body::Described(..) => (scratch, 0),
        };
        from.get(start..start + self.len as usize).unwrap_or_default()
    }

    #[inline]
    fn give_back(self, receive: &mut Receive<P>) {
        if let Body::Page(page, _) = self.body {
            receive.return_page(page);
        }
    }
}
