//! Who is told of a change.

use xen_hypercall::abi::DomId;

use super::Store;
use super::message::Message;
use super::path;
use super::permission::{Need, is_privileged};
use super::tree::{Change, Reach};

/// What a guest wants to be told of.
#[derive(Clone, Debug)]
pub(super) struct Watch {
    /// As the guest named it.
    pub(super) given: String,
    /// The absolute path, or an `@` name.
    pub(super) path: String,
    pub(super) token: Vec<u8>,
}

impl Watch {
    /// Whether it is another one's twin, which a guest cannot have.
    pub(super) fn is_same(&self, other: &Self) -> bool {
        self.path == other.path && self.token == other.token
    }

    fn is_hit(&self, change: &Change) -> bool {
        match change.reach {
            Reach::Above => path::is_within(&change.path, &self.path),
            Reach::Exact => self.path == change.path,
        }
    }

    /// The event, which names a path as the watch does: relative where that one is.
    fn event(&self, path: &str) -> Message {
        let base = self.path.strip_suffix(&self.given).filter(|_| !self.given.starts_with(['/', '@']));
        Message::event(base.and_then(|base| path.strip_prefix(base)).unwrap_or(path), &self.token)
    }
}

impl Change {
    /// Something that happened to a domain, and not to a node.
    pub(super) fn special(name: &str) -> Self {
        Self { path: name.to_owned(), reach: Reach::Exact, permissions: Vec::new(), parent: None }
    }

    /// Whether a domain may know of it: it could read the node, or can read the one above it.
    fn is_visible(&self, who: DomId) -> bool {
        let mut lists = self.permissions.iter().chain(&self.parent);
        is_privileged(who) || lists.any(|permissions| permissions.allow(who, Need::Read))
    }
}

impl Store {
    /// Tells everybody of what has changed.
    pub(super) fn fire(&mut self, changes: &[Change]) {
        for change in changes {
            self.tell_handlers(change);
            let ids: Vec<DomId> = self.connections.keys().copied().collect();
            for id in ids {
                let Some(connection) = self.connections.get_mut(&id).filter(|_| change.is_visible(id)) else {
                    continue;
                };
                let hit = connection.watches.iter().filter(|watch| watch.is_hit(change));
                let events: Vec<Message> = hit.map(|watch| watch.event(&change.path)).collect();
                for event in &events {
                    connection.send(event);
                }
                if !events.is_empty() {
                    self.wake(id);
                }
            }
        }
    }
}
