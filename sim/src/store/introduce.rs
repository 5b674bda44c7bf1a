//! How guests and the daemon come to know each other.

use rand::{Rng, RngExt};
use xen_hypercall::Errno;
use xen_hypercall::abi::io::xs_wire::{ConnectionState, RING_SIZE, RingError};
use xen_hypercall::abi::{DomId, Port, VcpuId};
use xen_shared_ring::SharedMem;

use super::connection::{Connection, Standing};
use super::handler::Nodes;
use super::path;
use super::permission::{Permission, Right};
use super::ring::Word;
use super::tree::Change;
use super::{Store, Xenstore};
use crate::Domain;
use crate::event::Kind;
use crate::memory::Page;
use crate::state::State;

/// How a domain is made known to the daemon.
///
/// By default the seed decides where the ring's indices start and what its buffers hold: no guest may rely on either.
#[derive(Clone, Copy, Debug)]
pub struct Introduction<'a> {
    pub(super) store: Xenstore<'a>,
    pub(super) domain: &'a Domain,
    indices: Option<(u32, u32)>,
    late: Option<std::time::Duration>,
}

impl<'a> Introduction<'a> {
    pub(super) const fn new(store: Xenstore<'a>, domain: &'a Domain) -> Self {
        Self { store, domain, indices: None, late: None }
    }

    /// Where the indices of the requests and those of the answers start.
    #[must_use]
    pub const fn indices(mut self, requests: u32, answers: u32) -> Self {
        self.indices = Some((requests, answers));
        self
    }

    /// The guest starts before the daemon knows it, as guests of a hypervisor without domain 0 do: the ring says that a
    /// reconnect goes on, for so long from now.
    #[must_use]
    pub const fn late(mut self, time: std::time::Duration) -> Self {
        self.late = Some(time);
        self
    }

    /// Makes the domain known.
    ///
    /// # Panics
    ///
    /// If it is known already, is gone, or has no port left.
    pub fn introduce(self) {
        let domain = self.domain.id();
        self.store.act(|state| {
            assert!(state.exists(domain), "domain {domain} is gone");
            assert!(state.store.port_of(domain).is_none(), "domain {domain} is known to xenstored already");
            let result = state.introduce(domain, self.indices);
            assert!(result.is_ok(), "domain {domain} has no port for xenstored");
            if let Some(time) = self.late {
                let until = state.now() + time;
                state.store.hold_off(domain, until);
            }
        });
    }
}

impl Domain {
    /// The page and the port by which the domain's kernel reaches xenstored; `None` before
    /// [`Xenstore::introduce`](crate::Xenstore::introduce), and when the channel is closed. After a migration the page is the
    /// same and the port another one.
    ///
    /// The port is open: adopt it. The page's memory outlives the machine. Of all values that this gives out one may be used at a
    /// time, and each as the type's [threads](Self#threads) have it.
    #[must_use]
    pub fn store(&self) -> Option<(SharedMem, Port)> {
        self.machine().check_thread();
        let mut state = self.machine().lock();
        let (page, port) = (state.store.page_of(self.id())?, state.store.port_of(self.id())?);
        state.memory.keep(page);
        // SAFETY: the page's memory is never given back from now on, and all reach it through atomics.
        let page = unsafe { SharedMem::new(page.frame().cast(), xen_hypercall::abi::frame::PAGE_SIZE) };
        Some((page, port))
    }
}

impl State {
    /// Gives a domain a ring and a channel; its old ring, where it has one.
    fn introduce(&mut self, domain: DomId, indices: Option<(u32, u32)>) -> Result<(), Errno> {
        let port = self.open_store_port(domain)?;
        let page = match self.store.page_of(domain) {
            Some(page) => page,
            None => {
                let page = self.memory.xen_page(domain).page;
                self.store.fill(page, indices);
                page
            }
        };
        self.store.connect(domain, page, port);
        self.make_home(domain, port);
        self.store.fire(&[Change::special("@introduceDomain")]);
        self.note(domain, "introduced to xenstored");
        Ok(())
    }

    /// A channel to the daemon: the one that it has left behind, or a new one.
    fn open_store_port(&mut self, domain: DomId) -> Result<Port, Errno> {
        let left = self.open_ports(domain).into_iter().find(|port| {
            let channel = self.dom(domain).channels.get(*port);
            channel.is_ok_and(|channel| channel.kind == Kind::Left)
        });
        match left {
            Some(port) => {
                self.dom_mut(domain).channels.get_mut(port)?.kind = Kind::Store;
                Ok(port)
            }
            // No guest may rely on the number, nor on its being the one from before a migration.
            None => {
                let beyond = self.store.rng.random_range(0..4);
                let channels = &mut self.dom_mut(domain).channels;
                let taken = channels.take_beyond(beyond, Kind::Store, VcpuId(0));
                taken.or_else(|_| channels.take(Kind::Store, VcpuId(0)))
            }
        }
    }

    /// The domain was resumed elsewhere: it has its ring as it left it, a new channel, and the nodes that the toolstack there
    /// has made.
    pub(crate) fn resume_store(&mut self, domain: DomId) {
        let Some(page) = self.store.page_of(domain) else { return };
        let Ok(port) = self.open_store_port(domain) else { return };
        self.store.connect(domain, page, port);
        let target = format!("{}/memory/target", path::home(domain));
        let mut nodes = Nodes(&mut self.store);
        let kib = nodes.read(&target);
        nodes.remove(&path::home(domain));
        self.make_home(domain, port);
        let mut nodes = Nodes(&mut self.store);
        if let Some(kib) = kib {
            nodes.write(&target, kib);
        }
        self.store.replug(domain);
        self.store.resume_elsewhere(domain);
        self.follow_store();
    }

    /// The domain's own nodes, as they are at its start.
    fn make_home(&mut self, domain: DomId, port: Port) {
        let max_kib = self.dom(domain).max_pages * 4;
        let vcpus = self.dom(domain).vcpus.len();
        make_home(&mut Nodes(&mut self.store), domain, port, max_kib, vcpus);
    }

    /// A domain is gone.
    pub(crate) fn forget_store(&mut self, domain: DomId) {
        if self.store.disconnect(domain) {
            self.tell_store_of_end();
        }
    }

    /// A domain has shut down, or is gone.
    pub(crate) fn tell_store_of_end(&mut self) {
        self.store.fire(&[Change::special("@releaseDomain")]);
        self.follow_store();
    }

    /// The daemon is gone: guests' ports lead nowhere.
    pub(super) fn leave_store_ports(&mut self) {
        for domain in self.domains.keys().copied().collect::<Vec<_>>() {
            if let Some(port) = self.store.port_of(domain)
                && let Ok(channel) = self.dom_mut(domain).channels.get_mut(port)
            {
                channel.kind = Kind::Left;
            }
        }
    }
}

impl Store {
    /// The guest's end of its channel.
    pub(crate) fn port_of(&self, domain: DomId) -> Option<Port> {
        self.connections.get(&domain).and_then(|connection| connection.port)
    }

    /// A guest has closed its end, or the daemon's is gone.
    pub(crate) fn close_port(&mut self, domain: DomId) {
        if let Some(connection) = self.connections.get_mut(&domain) {
            connection.port = None;
        }
    }

    fn page_of(&self, domain: DomId) -> Option<Page> {
        let known = self.connections.get(&domain).map(|connection| connection.ring.page());
        known.or_else(|| self.pages.get(&domain).copied())
    }

    /// What stands in a page before the daemon has seen it: junk, and indices of empty rings.
    fn fill(&mut self, page: Page, indices: Option<(u32, u32)>) {
        let mut junk = [0; 2 * RING_SIZE];
        self.rng.fill_bytes(&mut junk);
        page.write(0, &junk);
        let near_the_wrap = |offset: u32| 0u32.wrapping_sub(offset);
        let chance = (self.rng.random_range(0..4096), self.rng.random_range(0..4096));
        let (requests, answers) = indices.unwrap_or((near_the_wrap(chance.0), near_the_wrap(chance.1)));
        let mut ring = super::ring::Ring::attach(page);
        for (word, value) in [
            (Word::RequestConsumer, requests),
            (Word::RequestProducer, requests),
            (Word::ResponseConsumer, answers),
            (Word::ResponseProducer, answers),
        ] {
            ring.put(word, value);
        }
    }

    /// Takes a ring over as it is, and begins to serve it.
    fn connect(&mut self, domain: DomId, page: Page, port: Port) {
        self.pages.insert(domain, page);
        let mut connection = Connection::new(page, port);
        connection.ring.put(Word::ServerFeatures, self.features.bits());
        connection.ring.put(Word::Error, RingError::NONE.0);
        connection.ring.put(Word::Connection, ConnectionState::CONNECTED.0);
        self.connections.insert(domain, connection);
        self.signals.insert(domain);
        self.wake(domain);
    }

    /// Has the ring say that a reconnect goes on.
    pub(super) fn hold_off(&mut self, domain: DomId, until: std::time::Duration) {
        if let Some(connection) = self.connections.get_mut(&domain) {
            connection.forget();
            connection.ring.put(Word::Connection, ConnectionState::RECONNECT.0);
            connection.standing = Standing::Reconnecting(until);
            self.signals.insert(domain);
        }
    }

    /// Forgets a domain; says whether it was known.
    fn disconnect(&mut self, domain: DomId) -> bool {
        self.pages.remove(&domain);
        self.connections.remove(&domain).is_some()
    }
}

/// The domain's own nodes, with the permissions that libxl gives them.
fn make_home(nodes: &mut Nodes<'_>, domain: DomId, port: Port, max_kib: usize, vcpus: usize) {
    let home = path::home(domain);
    let at = |name: &str| format!("{home}/{name}");
    let read_only = [Permission::new(DomId(0), Right::None), Permission::new(domain, Right::Read)];
    let own = [Permission::new(domain, Right::None)];
    let vm = format!("/vm/00000000-0000-4000-8000-{:012x}", domain.0);
    let name = format!("guest-{}", domain.0);
    nodes.make(&vm, "", &read_only);
    nodes.make(&format!("{vm}/name"), &name, &read_only);
    nodes.make(&home, "", &read_only);
    for (node, value) in [("name", name), ("domid", domain.0.to_string()), ("vm", vm)] {
        nodes.make(&at(node), &value, &read_only);
    }
    for node in ["cpu", "memory", "device", "control", "console", "store"] {
        nodes.make(&at(node), "", &read_only);
    }
    for vcpu in 0..vcpus {
        nodes.write(&at(&format!("cpu/{vcpu}/availability")), "online");
    }
    for node in ["memory/static-max", "memory/target"] {
        nodes.write(&at(node), max_kib.to_string());
    }
    nodes.write(&at("store/port"), port.0.to_string());
    for node in OWN {
        nodes.make(&at(node), "", &own);
    }
}

/// Nodes of a domain that it may write itself.
const OWN: [&str; 12] = [
    "device/suspend/event-channel",
    "control/shutdown",
    "control/feature-poweroff",
    "control/feature-reboot",
    "control/feature-suspend",
    "control/feature-s3",
    "control/feature-s4",
    "control/sysrq",
    "data",
    "drivers",
    "feature",
    "attr",
];
