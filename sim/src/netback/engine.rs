//! What the queues have in common.

use std::time::Duration;

use rand_chacha::ChaCha8Rng;
use xen_grant_table::{CopyError, ForeignBytes, GrantCopy, Mapping, Page};
use xen_hypercall::abi::DomId;
use xen_hypercall::abi::grant_table::GrantRef;

use super::Statistics;
use super::control::{Control, Fault, Which};
use super::options::{Carrier, Options};
use super::packet::{Mac, Packet, is_group};
use super::port::Port;
use super::steering::Steering;
use crate::Domain;
use crate::backend::{Forge, Leftovers, Mapped, Window, latency};

pub(super) struct Engine {
    pub(super) domain: Domain,
    pub(super) front: DomId,
    pub(super) window: Window,
    /// Those of the connection.
    pub(super) options: Options,
    pub(super) agreed: Agreed,
    pub(super) steering: Steering,
    /// Groups whose packets the front wants.
    pub(super) groups: Vec<Mac>,
    pub(super) carrier: Carrier,
    /// Its own end of the wire.
    pub(super) port: Port,
    pub(super) control: Control,
    pub(super) rng: ChaCha8Rng,
    pub(super) now: Duration,
    pub(super) statistics: Statistics,
    /// Why the front is not served any more.
    pub(super) disabled: Option<String>,
    /// Where packets are before and after Xen copies them.
    stage: Vec<Page<Domain>>,
    /// What stays mapped though the connection has ended.
    leftovers: Leftovers,
}

/// What the front can do, as it says.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Agreed {
    pub(super) sg: bool,
    pub(super) gso_tcpv4: bool,
    pub(super) gso_tcpv6: bool,
    pub(super) csum: bool,
    pub(super) ipv6_csum: bool,
    pub(super) rx_notify: bool,
    pub(super) multicast: bool,
    pub(super) headroom: u16,
}

/// Bytes of a page of the front's, by the length.
pub(super) type Piece = (GrantRef, u16, usize);

/// How many groups a front can name, as Linux's backend has it.
const MOST_GROUPS: usize = 64;

impl Engine {
    pub(super) fn new(domain: &Domain, front: DomId, port: Port, control: Control, rng: ChaCha8Rng) -> Self {
        Self {
            domain: domain.clone(),
            front,
            window: Window::new(domain.clone(), front),
            options: control.options(),
            agreed: Agreed::default(),
            steering: Steering::default(),
            groups: Vec::new(),
            carrier: Carrier::Up,
            port,
            control,
            rng,
            now: Duration::ZERO,
            statistics: Statistics::default(),
            disabled: None,
            stage: Vec::new(),
            leftovers: Leftovers::default(),
        }
    }

    /// A connection begins.
    pub(super) fn begin(&mut self, agreed: Agreed) -> Result<(), String> {
        (self.agreed, self.disabled) = (agreed, None);
        let pages = self.options.fatal_slots.max(self.options.slots) + 2;
        let stage: Option<Vec<_>> = (0..pages).map(|_| Page::alloc(self.domain.clone())).collect();
        self.stage = stage.ok_or("allocating pages")?;
        Ok(())
    }

    /// It ends: what the front has set by packets and requests is forgotten.
    pub(super) fn end(&mut self) {
        self.stage.clear();
        self.groups.clear();
        self.steering = Steering::default();
        if !self.control.keeps() {
            self.let_go();
        }
    }

    /// What a hostile one writes.
    pub(super) const fn forge(&mut self) -> Forge<'_> {
        Forge { domain: &self.domain, front: self.front, rng: &mut self.rng }
    }

    /// Its pages and rings are kept until then.
    pub(super) fn part(&mut self, pages: &mut Vec<Mapped>, ring: Mapping<Domain>) {
        self.leftovers.add_pages(pages);
        self.leftovers.add_ring(ring);
    }

    /// Unmaps what was kept.
    pub(super) fn let_go(&mut self) {
        self.leftovers.let_go(&mut self.window);
    }

    /// The front has done what only a hostile one does: nothing of it is looked at any more, as in Linux.
    pub(super) fn disable(&mut self, why: impl Into<String>) {
        if self.disabled.is_none() {
            self.statistics.fatal += 1;
            self.disabled = Some(why.into());
        }
    }

    pub(super) const fn is_enabled(&self) -> bool {
        self.disabled.is_none()
    }

    /// How long the next answer takes.
    pub(super) fn latency(&mut self) -> Duration {
        latency(&self.options.latency, &mut self.rng)
    }

    /// What the script has for the next packet or request.
    pub(super) fn fault(&mut self, work: Which) -> Option<Fault> {
        self.control.fault(work, &mut self.rng)
    }

    /// A packet that the front has transmitted goes out.
    pub(super) fn emit(&mut self, packet: Packet) {
        if self.carrier == Carrier::Down {
            self.statistics.unlinked += 1;
            return;
        }
        self.statistics.transmitted += 1;
        self.statistics.transmitted_bytes += packet.data.len() as u64;
        self.port.send(packet);
    }

    /// Whether the front wants a packet of that destination.
    pub(super) fn wants(&self, destination: Mac) -> bool {
        !self.agreed.multicast
            || !is_group(destination)
            || destination == [0xff; 6]
            || self.groups.contains(&destination)
    }

    /// The front wants a group's packets; says whether there was room for it.
    pub(super) fn join(&mut self, group: Mac) -> bool {
        let room = self.groups.len() < MOST_GROUPS;
        if room {
            self.groups.push(group);
        }
        room
    }

    pub(super) fn leave(&mut self, group: Mac) {
        if let Some(place) = self.groups.iter().position(|known| *known == group) {
            self.groups.remove(place);
        }
    }

    /// Has Xen copy out of the front's pages. What failed is zeros.
    pub(super) fn fetch(&mut self, pieces: &[Piece]) -> (Vec<u8>, Vec<Result<(), CopyError>>) {
        let Self { stage, front, domain, .. } = self;
        let copies = pieces.iter().zip(stage.iter_mut()).map(|((gref, offset, len), page)| {
            GrantCopy::read(ForeignBytes { domain: *front, gref: *gref, offset: *offset }, page, 0, *len as u16)
        });
        let results = carry_out(domain, copies.collect());
        let mut bytes = Vec::new();
        for (((_, _, len), page), result) in pieces.iter().zip(stage.iter()).zip(&results) {
            match result {
                Ok(()) => bytes.extend_from_slice(&page.bytes()[..*len]),
                Err(_) => bytes.resize(bytes.len() + len, 0),
            }
        }
        (bytes, results)
    }

    /// Has Xen copy into the front's pages.
    pub(super) fn store(&mut self, pieces: &[Piece], mut bytes: &[u8]) -> Vec<Result<(), CopyError>> {
        let Self { stage, front, domain, .. } = self;
        let mut results = Vec::new();
        for pieces in pieces.chunks(stage.len().max(1)) {
            for ((_, _, len), page) in pieces.iter().zip(stage.iter_mut()) {
                let (piece, rest) = bytes.split_at(*len);
                page.bytes_mut()[..*len].copy_from_slice(piece);
                bytes = rest;
            }
            let copies = pieces.iter().zip(stage.iter()).map(|((gref, offset, len), page)| {
                GrantCopy::write(ForeignBytes { domain: *front, gref: *gref, offset: *offset }, page, 0, *len as u16)
            });
            results.extend(carry_out(domain, copies.collect()));
        }
        results
    }
}

fn carry_out(domain: &Domain, mut copies: Vec<GrantCopy<'_, Domain>>) -> Vec<Result<(), CopyError>> {
    xen_grant_table::copy(domain, &mut copies);
    copies.iter().map(GrantCopy::result).collect()
}
