//! The daemon, as a test has hold of it.

use std::sync::Arc;
use std::sync::atomic::AtomicBool;
use std::time::Duration;

use xen_hypercall::abi::io::xs_wire::{RingError, ServerFeatures};

use super::connection::{Outgoing, Pace};
use super::handler::Nodes;
use super::introduce::Introduction;
use super::message::Message;
use super::path;
use super::permission::Permission;
use super::ring::Word;
use super::script::{Reaction, Requests};
use super::tree::{Quota, Tree};
use super::{Life, Order, Store};
use crate::fault::When;
use crate::machine::Shared;
use crate::state::State;
use crate::{Domain, Machine};

impl Machine {
    /// The machine's xenstored. It knows no domain until one is introduced.
    #[must_use]
    pub fn xenstore(&self) -> Xenstore<'_> {
        Xenstore(&self.0)
    }
}

/// The machine's xenstored, which is honest unless it is told otherwise; and domain 0's nodes in it.
///
/// It works when a guest has signalled it, some steps later by the machine's seed. What a test does by this type takes a step,
/// as a hypercall does.
#[derive(Clone, Copy)]
pub struct Xenstore<'a>(&'a Shared);

impl std::fmt::Debug for Xenstore<'_> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Xenstore").finish_non_exhaustive()
    }
}

/// Guests.
impl<'a> Xenstore<'a> {
    pub(crate) const fn of(machine: &'a Shared) -> Self {
        Self(machine)
    }

    /// Does something with the state; then what happens after every call.
    pub(super) fn act<T>(&self, what: impl FnOnce(&mut State) -> T) -> T {
        self.0.check_thread();
        let result = {
            let mut state = self.0.lock();
            state.begin_step();
            let result = what(&mut state);
            state.follow_store();
            result
        };
        self.0.after_call();
        result
    }

    fn with<T>(&self, what: impl FnOnce(&mut Store) -> T) -> T {
        self.act(|state| what(&mut state.store))
    }

    /// Makes a domain known to the daemon, as the toolstack does it before the domain starts: it gets a ring, a port and its
    /// nodes, see [`Domain::store`]. See [`introduction`](Self::introduction) for other ways.
    ///
    /// # Panics
    ///
    /// If it is known already, is gone, or has no port left.
    pub fn introduce(&self, domain: &Domain) {
        self.introduction(domain).introduce();
    }

    /// Begins to make a domain known.
    #[must_use]
    pub const fn introduction(&self, domain: &'a Domain) -> Introduction<'a> {
        Introduction::new(*self, domain)
    }

    /// How many watches a domain has set.
    #[must_use]
    pub fn watches(&self, domain: &Domain) -> usize {
        self.0.lock().store.connections.get(&domain.id()).map_or(0, |connection| connection.watches.len())
    }

    /// How many transactions a domain has open.
    #[must_use]
    pub fn transactions(&self, domain: &Domain) -> usize {
        self.0.lock().store.connections.get(&domain.id()).map_or(0, |connection| connection.transactions.len())
    }

    /// Changes how much guests may have.
    pub fn set_quota(&self, quota: Quota) {
        self.with(|store| store.quota = quota);
    }

    /// Changes what the daemon can do, and says so in all rings. By default it can reconnect, and tells errors.
    pub fn set_features(&self, features: ServerFeatures) {
        self.with(|store| {
            store.features = features;
            for (domain, connection) in &mut store.connections {
                connection.ring.put(Word::ServerFeatures, features.bits());
                store.signals.insert(*domain);
            }
        });
    }
}

/// Nodes, as domain 0. Guests are told of what it changes.
impl Xenstore<'_> {
    /// Does several things at once.
    pub fn nodes<T>(&self, what: impl FnOnce(&mut Nodes<'_>) -> T) -> T {
        self.with(|store| what(&mut Nodes(store)))
    }

    /// See [`Nodes::read`].
    #[must_use]
    pub fn read(&self, path: &str) -> Option<Vec<u8>> {
        self.nodes(|nodes| nodes.read(path))
    }

    /// See [`Nodes::read_text`].
    #[must_use]
    pub fn read_text(&self, path: &str) -> Option<String> {
        self.nodes(|nodes| nodes.read_text(path))
    }

    /// See [`Nodes::list`].
    #[must_use]
    pub fn list(&self, path: &str) -> Option<Vec<String>> {
        self.nodes(|nodes| nodes.list(path))
    }

    /// See [`Nodes::permissions`].
    #[must_use]
    pub fn permissions(&self, path: &str) -> Option<Vec<Permission>> {
        self.nodes(|nodes| nodes.permissions(path))
    }

    /// See [`Nodes::write`].
    pub fn write(&self, path: &str, value: impl AsRef<[u8]>) {
        self.nodes(|nodes| nodes.write(path, value));
    }

    /// See [`Nodes::remove`].
    pub fn remove(&self, path: &str) {
        self.nodes(|nodes| nodes.remove(path));
    }

    /// See [`Nodes::set_permissions`].
    pub fn set_permissions(&self, path: &str, list: &[Permission]) {
        self.nodes(|nodes| nodes.set_permissions(path, list));
    }

    /// Has a program of domain 0 run when a node, or one below it, changes, some steps later by the machine's seed; and once at
    /// the start. It is told the changed path. The path may be `@introduceDomain`, or `@releaseDomain`: a domain has shut down, or
    /// is gone.
    pub fn watch(&self, path: &str, work: impl FnMut(&mut Nodes<'_>, &str) + Send + 'static) {
        self.with(|store| store.add_handler(path, Box::new(work)));
    }

    /// Has a flag set, for as long as it is there, when a node, or one below it, changes, some steps later; and once at the start.
    pub(crate) fn notice(&self, path: &str, flag: &Arc<AtomicBool>) {
        self.with(|store| store.add_notice(path, flag));
    }

    /// Has the toolstack of another host do something when the domain is next resumed there, before it goes on: other devices,
    /// other features. See [`Domain::migrate_on_suspend`].
    pub fn on_resume(&self, domain: &Domain, work: impl FnOnce(&mut Nodes<'_>) + Send + 'static) {
        self.with(|store| store.elsewhere.push(domain.id(), Box::new(work)));
    }
}

/// Faults.
impl Xenstore<'_> {
    /// The daemon does nothing any more, until [`go_on`](Self::go_on).
    pub fn hang(&self) {
        self.with(|store| store.life = Life::Hangs);
    }

    /// It goes on after a [`hang`](Self::hang), and has lost nothing.
    pub fn go_on(&self) {
        self.with(|store| store.life = Life::Runs);
    }

    /// It ends, and everything that it knew is lost: nodes, watches, transactions, rings. The guests' ports lead nowhere.
    pub fn crash(&self) {
        self.act(|state| {
            state.leave_store_ports();
            let store = &mut state.store;
            store.connections.clear();
            (store.tree, store.busy_until, store.current, store.life) = (Tree::new(), None, None, Life::Dead);
        });
    }

    /// It starts after a [`crash`](Self::crash), and knows no domain. One that is introduced again keeps its ring and its port.
    pub fn restart(&self) {
        self.go_on();
    }

    /// It is replaced by a newer one, which takes so long and knows everything that the old one knew. Guests get an event for
    /// no reason.
    pub fn live_update(&self, time: Duration) {
        self.act(|state| {
            let until = state.now() + time;
            let store = &mut state.store;
            store.busy_until = Some(store.busy_until.map_or(until, |before| before.max(until)));
            store.signals.extend(store.connections.keys().copied());
        });
    }

    /// Somebody has one domain's ring reset: it says so for as long, then it is empty, and watches and transactions are gone.
    pub fn reset(&self, domain: &Domain, time: Duration) {
        self.act(|state| {
            let until = state.now() + time;
            state.store.hold_off(domain.id(), until);
        });
    }

    /// It gives a domain's ring up, and says why, where it can tell errors.
    pub fn give_up(&self, domain: &Domain, error: RingError) {
        self.with(|store| store.give_up(domain.id(), error));
    }

    /// Each request takes so long, one after the other.
    pub fn slow(&self, time: Duration) {
        self.with(|store| store.manner.slow = time);
    }

    /// How much it moves at a time.
    pub fn pace(&self, pace: Pace) {
        self.with(|store| store.manner.pace = pace);
    }

    /// From now on, it answers requests that it has at the same time in any order.
    pub fn mix_answers(&self) {
        self.with(|store| store.manner.order = Order::Mixed);
    }
}

/// Misbehaviour.
impl Xenstore<'_> {
    /// Has certain requests answered otherwise than they should be.
    pub fn script(&self, requests: Requests, when: When, reaction: Reaction) {
        self.with(|store| store.script.add(requests, when, reaction));
    }

    /// Ends all that [`script`](Self::script) has set.
    pub fn clear_script(&self) {
        self.with(|store| store.script.clear());
    }

    /// Sends bytes to a domain, in place of a message.
    pub fn send_bytes(&self, domain: &Domain, bytes: &[u8]) {
        self.with(|store| {
            if let Some(connection) = store.connections.get_mut(&domain.id()) {
                connection.output.push_back(Outgoing::raw(bytes.to_vec()));
                store.wake(domain.id());
            }
        });
    }

    /// Sends a domain the same watch event again and again, asked for or not.
    pub fn flood(&self, domain: &Domain, path: &str, token: &[u8], count: usize) {
        self.send_bytes(domain, &Message::event(path, token).to_bytes().repeat(count));
    }

    /// What stands in a word of a domain's ring page; zero where it has none.
    #[must_use]
    pub fn peek(&self, domain: &Domain, word: Word) -> u32 {
        self.0.lock().store.connections.get(&domain.id()).map_or(0, |connection| connection.ring.get(word))
    }

    /// Overwrites a word of a domain's ring page, and signals the domain. The daemon goes on from its own indices as if they
    /// were those.
    pub fn poke(&self, domain: &Domain, word: Word, value: u32) {
        self.with(|store| {
            if let Some(connection) = store.connections.get_mut(&domain.id()) {
                connection.ring.put(word, value);
                store.signals.insert(domain.id());
            }
        });
    }

    /// Where a domain's nodes are.
    #[must_use]
    pub fn home(domain: &Domain) -> String {
        path::home(domain.id())
    }
}
