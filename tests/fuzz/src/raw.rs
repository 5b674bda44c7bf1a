//! A ring as a backend's domain reaches it: words of its page, written past all rules.

use xen_hypercall::abi::frame::PAGE_SIZE;
use xen_hypercall::abi::grant_table::GrantRef;
use xen_sim::{Domain, Machine, Reachable};

/// Where in a ring's page the indices are, and the slots begin.
const REQ_PROD: usize = 0;
const RSP_PROD: usize = 8;
const SLOTS: usize = 64;

/// A ring of one page whose answers are written by hand.
pub(crate) struct RawRing {
    domain: Domain,
    page: Reachable,
    /// Bytes from one slot to the next.
    size: usize,
    slots: u32,
    /// Answers that were shown, and those that stand in the ring besides.
    shown: u32,
    put: u32,
    /// Requests that were looked at.
    seen: u32,
}

impl RawRing {
    /// The ring in a granted page, with nothing outstanding.
    pub(crate) fn new(machine: &Machine, domain: &Domain, gref: GrantRef, size: usize) -> Self {
        let page = reachable(machine, domain, gref).expect("the ring is granted");
        let slots = 1 << ((PAGE_SIZE - SLOTS) / size).ilog2();
        let mut ring = Self { domain: domain.clone(), page, size, slots, shown: 0, put: 0, seen: 0 };
        ring.shown = ring.word(machine, RSP_PROD);
        ring.seen = ring.shown;
        ring
    }

    /// How many requests there have been.
    pub(crate) fn requests(&self, machine: &Machine) -> u32 {
        self.word(machine, REQ_PROD)
    }

    pub(crate) const fn slots(&self) -> u32 {
        self.slots
    }

    /// Answers that were shown, as far as that was no lie.
    pub(crate) const fn shown(&self) -> u32 {
        self.shown
    }

    /// Where the next answer stands.
    pub(crate) const fn next(&self) -> u32 {
        self.shown.wrapping_add(self.put)
    }

    /// Whether a request is there for the next answer.
    pub(crate) fn has_request(&self, machine: &Machine) -> bool {
        self.next() != self.requests(machine)
    }

    /// The next request that was not looked at.
    pub(crate) fn request(&mut self, machine: &Machine) -> Option<Vec<u8>> {
        (self.seen != self.requests(machine)).then(|| {
            let bytes = self.slot(machine, self.seen);
            self.seen = self.seen.wrapping_add(1);
            bytes
        })
    }

    /// What stands in a slot.
    pub(crate) fn slot(&self, machine: &Machine, index: u32) -> Vec<u8> {
        let (at, page) = (self.at(index), self.bytes(machine));
        page[at..at + self.size].to_vec()
    }

    /// Writes the next answer.
    pub(crate) fn put(&mut self, machine: &Machine, answer: &[u8]) {
        self.write(machine, self.at(self.next()), answer);
        self.put += 1;
    }

    /// Shows what was written.
    pub(crate) fn show(&mut self, machine: &Machine) {
        self.shown = self.next();
        self.put = 0;
        self.lie(machine, 0);
    }

    /// Says that there are so many answers more than there are.
    pub(crate) fn lie(&self, machine: &Machine, by: u32) {
        self.write(machine, RSP_PROD, &self.shown.wrapping_add(by).to_ne_bytes());
    }

    const fn at(&self, index: u32) -> usize {
        SLOTS + (index % self.slots) as usize * self.size
    }

    fn word(&self, machine: &Machine, offset: usize) -> u32 {
        let page = self.bytes(machine);
        u32::from_ne_bytes(std::array::from_fn(|byte| page[offset + byte]))
    }

    fn bytes(&self, machine: &Machine) -> Box<[u8; PAGE_SIZE]> {
        machine.hostile(&self.domain).read(&self.page).expect("the ring is granted")
    }

    fn write(&self, machine: &Machine, offset: usize, bytes: &[u8]) {
        machine.hostile(&self.domain).write(&self.page, offset, bytes).expect("the ring can be written");
    }
}

/// A page that the domain can reach by this reference.
pub(crate) fn reachable(machine: &Machine, domain: &Domain, gref: GrantRef) -> Option<Reachable> {
    machine.hostile(domain).targets().into_iter().find(|target| target.gref == gref)
}
