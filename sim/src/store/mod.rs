//! A simulated xenstored: the daemon that keeps the configuration of all domains, and speaks with each over a ring.

mod connection;
mod daemon;
mod handler;
mod host;
mod introduce;
mod message;
mod path;
mod permission;
mod request;
mod ring;
mod script;
mod toolstack;
mod tree;
mod watch;

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use rand_chacha::ChaCha8Rng;
use xen_hypercall::abi::DomId;
use xen_hypercall::abi::io::xs_wire::ServerFeatures;

use connection::Connection;
use handler::{Elsewhere, Handlers};
use script::Script;
use tree::Tree;

use crate::memory::Page;

pub use connection::Pace;
pub use handler::Nodes;
pub use host::Xenstore;
pub use introduce::Introduction;
pub use message::Message;
pub use permission::{Permission, Right};
pub use ring::Word;
pub use script::{Reaction, Requests};
pub use toolstack::{Availability, Device};
pub use tree::Quota;

/// The daemon, and everything that it knows.
#[derive(Debug)]
pub(crate) struct Store {
    tree: Tree,
    connections: BTreeMap<DomId, Connection>,
    /// The pages of guests that it has known.
    pages: BTreeMap<DomId, Page>,
    handlers: Handlers,
    script: Script,
    features: ServerFeatures,
    quota: Quota,
    manner: Manner,
    rng: ChaCha8Rng,
    /// The machine's step.
    step: u64,
    /// What it does takes until then, and nothing else is done meanwhile.
    busy_until: Option<Duration>,
    /// Whose request it is that takes so long.
    current: Option<DomId>,
    life: Life,
    /// Whose ports are to be signalled.
    signals: BTreeSet<DomId>,
    /// What is to be noted in the machine's trace.
    notes: Vec<(DomId, String)>,
    /// Words of the daemon's that a guest has changed.
    changed: Vec<(DomId, Word)>,
    devices: Vec<Device>,
    elsewhere: Elsewhere,
}

/// How the daemon does what it does.
#[derive(Clone, Copy, Debug, Default)]
struct Manner {
    pace: Pace,
    /// What a request costs.
    slow: Duration,
    order: Order,
}

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
enum Order {
    #[default]
    Kept,
    Mixed,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Life {
    Runs,
    /// It does nothing, but knows everything.
    Hangs,
    /// It is gone.
    Dead,
}

impl Store {
    pub(crate) fn new(rng: ChaCha8Rng) -> Self {
        Self {
            tree: Tree::new(),
            connections: BTreeMap::new(),
            pages: BTreeMap::new(),
            handlers: Handlers::default(),
            script: Script::default(),
            features: ServerFeatures::RECONNECTION | ServerFeatures::ERROR,
            quota: Quota::default(),
            manner: Manner::default(),
            rng,
            step: 0,
            busy_until: None,
            current: None,
            life: Life::Runs,
            signals: BTreeSet::new(),
            notes: Vec::new(),
            changed: Vec::new(),
            devices: Vec::new(),
            elsewhere: Elsewhere::default(),
        }
    }
}
