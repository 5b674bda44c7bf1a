//! A domain whose kernel does as it pleases.

use rand::RngExt;
use rand::seq::IndexedRandom;
use xen_hypercall::abi::frame::PAGE_SIZE;
use xen_hypercall::abi::grant_table::{
    Copy, CopyFlags, CopyPtr, GrantRef, Handle, MapFlags, MapGrantRef, Status, UnmapGrantRef,
};
use xen_hypercall::abi::{DomId, Gfn, Port};
use xen_hypercall::{Errno, Pages};

use crate::machine::Shared;
use crate::memory::Page;
use crate::oracle::{Access, Reach};
use crate::state::{State, Writing};
use crate::{Domain, Machine};

impl Machine {
    /// Has a test do with a domain what a hostile kernel in it could do on real Xen, and nothing else.
    #[must_use]
    pub fn hostile<'a>(&'a self, domain: &'a Domain) -> Hostile<'a> {
        Hostile { machine: &self.0, domain }
    }
}

/// A hostile domain. It knows everything (entries of other tables, ports), but only what Xen lets it do works.
#[derive(Clone, Copy)]
pub struct Hostile<'a> {
    machine: &'a Shared,
    domain: &'a Domain,
}

/// A page of another domain that a hostile one can reach.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Reachable {
    /// Whose page it is.
    pub owner: DomId,
    /// The entry by which it is reached.
    pub gref: GrantRef,
    /// The page.
    pub page: Gfn,
    /// Whether it can be written.
    pub access: Access,
}

/// A page that a hostile domain keeps mapped.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Held {
    handle: Handle,
    address: u64,
}

impl Hostile<'_> {
    fn id(&self) -> DomId {
        self.domain.id()
    }

    /// Does something with the state; then what happens after every call.
    fn act<T>(&self, what: impl FnOnce(&mut State) -> T) -> T {
        self.machine.check_thread();
        let result = {
            let mut state = self.machine.lock();
            state.begin_step();
            what(&mut state)
        };
        self.machine.after_call();
        result
    }

    /// The pages of others that it has mapped, or could map.
    #[must_use]
    pub fn targets(&self) -> Vec<Reachable> {
        let reach = self.machine.lock().reach(self.id());
        let target = |Reach { owner, gref, gfn, access, .. }| Reachable { owner, gref, page: gfn, access };
        reach.into_iter().map(target).collect()
    }

    /// Writes bytes into a page that it can reach; they are cut at the page's end.
    ///
    /// # Errors
    ///
    /// [`Status::GENERAL_ERROR`] where it cannot reach the page, or only read it.
    pub fn write(&self, target: &Reachable, offset: usize, bytes: &[u8]) -> Result<(), Status> {
        self.act(|state| {
            let page = state.reachable(self.id(), target, Writing::Yes)?;
            let offset = offset.min(PAGE_SIZE);
            page.write(offset, &bytes[..bytes.len().min(PAGE_SIZE - offset)]);
            Ok(())
        })
    }

    /// Reads a page that it can reach.
    ///
    /// # Errors
    ///
    /// [`Status::GENERAL_ERROR`] where it cannot.
    pub fn read(&self, target: &Reachable) -> Result<Box<[u8; PAGE_SIZE]>, Status> {
        self.act(|state| state.reachable(self.id(), target, Writing::No).map(|page| page.bytes()))
    }

    /// Maps a page and keeps it.
    ///
    /// # Errors
    ///
    /// Xen's status, for instance for an entry that does not give it leave.
    pub fn hold(&self, owner: DomId, gref: GrantRef, access: Access) -> Result<Held, Status> {
        self.act(|state| state.hold(self.id(), owner, gref, access))
    }

    /// Unmaps a page that it kept.
    ///
    /// # Errors
    ///
    /// [`Status::BAD_HANDLE`] where it has let go of it before.
    pub fn let_go(&self, held: Held) -> Result<(), Status> {
        self.act(|state| state.let_go(self.id(), held))
    }

    /// Has Xen copy bytes of a granted page into one of its own, without a mapping.
    ///
    /// # Errors
    ///
    /// Xen's status.
    pub fn steal(&self, owner: DomId, gref: GrantRef, offset: u16, len: u16) -> Result<Vec<u8>, Status> {
        let page = self.domain.alloc(std::num::NonZeroUsize::MIN).ok_or(Status::NO_SPACE)?;
        let dest = CopyPtr::own(self.domain.gfn(page), 0);
        let source = CopyPtr::grant(owner, gref, offset);
        let copied = self.act(|state| {
            let copy = Copy { source, dest, len, flags: CopyFlags::SOURCE_GREF, ..Copy::default() };
            state.copy(self.id(), &copy)?;
            let mut bytes = vec![0; usize::from(len)];
            let entry = state.memory.at(page).ok_or(Status::BAD_PAGE)?;
            entry.page.read(0, &mut bytes);
            Ok(bytes)
        });
        // SAFETY: allocated above, and used by the copy alone.
        unsafe { self.domain.dealloc(page) };
        copied
    }

    /// Signals a port of its own.
    ///
    /// # Errors
    ///
    /// As for `EVTCHNOP_send`.
    pub fn send(&self, port: Port) -> Result<(), Errno> {
        self.act(|state| state.send(self.id(), port))
    }

    /// Signals a port of its own again and again.
    ///
    /// # Errors
    ///
    /// As for `EVTCHNOP_send`.
    pub fn storm(&self, port: Port, count: usize) -> Result<(), Errno> {
        (0..count).try_for_each(|_| self.send(port))
    }

    /// Closes a port of its own.
    ///
    /// # Errors
    ///
    /// As for `EVTCHNOP_close`.
    pub fn close(&self, port: Port) -> Result<(), Errno> {
        self.act(|state| state.close(self.id(), port))
    }

    /// Dies: ports closed. What it has mapped stays so until it is let go of; see [`Machine::destroy`].
    pub fn die(&self) {
        self.act(|state| state.destroy(self.id()));
    }

    /// Does `steps` random things, by the machine's seed: writes anything anywhere, signals, maps, lets go.
    pub fn misbehave(&self, steps: usize) {
        let mut held = Vec::new();
        for _ in 0..steps {
            self.act(|state| state.misbehave(self.id(), &mut held));
        }
        for held in held {
            // One that the domain itself has unmapped is gone already.
            let _ = self.let_go(held);
        }
    }
}

impl std::fmt::Debug for Hostile<'_> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Hostile").field("domain", self.domain).finish_non_exhaustive()
    }
}

/// Values that have broken rings before: around zero, around the wrap, around half of the range.
const VALUES: [u32; 12] = [0, 1, 2, 0x7fff_ffff, 0x8000_0000, 0x8000_0001, u32::MAX, u32::MAX - 1, 31, 32, 33, 256];

impl State {
    fn reachable(&self, domain: DomId, target: &Reachable, writing: Writing) -> Result<Page, Status> {
        let fits = |reach: &&Reach| {
            (reach.owner, reach.gref, reach.gfn) == (target.owner, target.gref, target.page)
                && (writing == Writing::No || reach.access == Access::ReadWrite)
        };
        self.reach(domain).iter().find(fits).map(|reach| reach.page).ok_or(Status::GENERAL_ERROR)
    }

    fn hold(&mut self, domain: DomId, owner: DomId, gref: GrantRef, access: Access) -> Result<Held, Status> {
        let address = self.dom_mut(domain).mappings.reserve(1);
        let mut flags = MapFlags::HOST_MAP;
        flags.set(MapFlags::READONLY, access == Access::ReadOnly);
        let map = MapGrantRef { host_addr: address, flags, gref, dom: owner, ..MapGrantRef::default() };
        match self.map(domain, &map) {
            Ok((handle, _)) => Ok(Held { handle, address }),
            Err(status) => {
                self.dom_mut(domain).mappings.release(address);
                Err(status)
            }
        }
    }

    fn let_go(&mut self, domain: DomId, held: Held) -> Result<(), Status> {
        let unmap = UnmapGrantRef { host_addr: held.address, handle: held.handle, ..UnmapGrantRef::default() };
        self.unmap(domain, &unmap)?;
        self.dom_mut(domain).mappings.release(held.address);
        Ok(())
    }

    /// One random thing.
    fn misbehave(&mut self, domain: DomId, held: &mut Vec<Held>) {
        match self.random.hostile.random_range(0..10) {
            0..6 => self.scribble(domain),
            6 | 7 => self.signal(domain),
            8 => held.extend(self.grab(domain)),
            _ => {
                if let Some(held) = held.pop() {
                    self.note(domain, "lets go of a page");
                    let gone = self.let_go(domain, held);
                    debug_assert!(gone.is_ok());
                }
            }
        }
    }

    /// Changes a word, of the first few most of the time: that is where rings have their indices.
    fn scribble(&mut self, domain: DomId) {
        let reach = self.reach(domain);
        let writable: Vec<&Reach> = reach.iter().filter(|reach| reach.access == Access::ReadWrite).collect();
        let rng = &mut self.random.hostile;
        let Some(reach) = writable.choose(rng) else { return };
        let words = if rng.random_bool(0.5) { 16 } else { PAGE_SIZE / 4 };
        let offset = 4 * rng.random_range(0..words);
        let mut old = [0; 4];
        reach.page.read(offset, &mut old);
        let value = match rng.random_range(0..4) {
            0 => *VALUES.choose(rng).unwrap_or(&0),
            1 => rng.random(),
            2 => u32::from_ne_bytes(old).wrapping_add(rng.random_range(0..4)),
            _ => u32::from_ne_bytes(old).wrapping_sub(rng.random_range(0..4)),
        };
        reach.page.u32(offset).store(value, crate::order::BYTES);
        let text = format!("writes {value:#x} at {offset:#x} of frame {:#x} of domain {}", reach.gfn.0, reach.owner);
        self.note(domain, text);
    }

    fn signal(&mut self, domain: DomId) {
        let ports = self.open_ports(domain);
        if let Some(port) = ports.choose(&mut self.random.hostile).copied() {
            self.note(domain, format!("signals port {}", port.0));
            // A port that is no channel is refused.
            let _ = self.send(domain, port);
        }
    }

    fn grab(&mut self, domain: DomId) -> Option<Held> {
        let reach = self.reach(domain);
        let target = *reach.choose(&mut self.random.hostile)?;
        self.note(domain, format!("maps entry {} of domain {}", target.gref.0, target.owner));
        self.hold(domain, target.owner, target.gref, target.access).ok()
    }
}
