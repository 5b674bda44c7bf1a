//! Answers by script: what a daemon that misbehaves says.

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use rand_chacha::ChaCha8Rng;
use xen_hypercall::abi::DomId;
use xen_hypercall::abi::io::xs_wire::MessageType;

use super::message::Message;
use crate::fault::{Rule, When};

/// Which requests a reaction is for.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Requests {
    kind: Option<MessageType>,
    by: Option<DomId>,
    path: Option<String>,
}

impl Requests {
    /// All.
    #[must_use]
    pub fn all() -> Self {
        Self::default()
    }

    /// Those of one kind.
    #[must_use]
    pub fn of(kind: MessageType) -> Self {
        Self { kind: Some(kind), ..Self::default() }
    }

    /// Those of one domain only.
    #[must_use]
    pub const fn by(mut self, domain: DomId) -> Self {
        self.by = Some(domain);
        self
    }

    /// Those only whose payload starts with this text: the path, as the guest gave it.
    #[must_use]
    pub fn on(mut self, path: &str) -> Self {
        self.path = Some(path.to_owned());
        self
    }

    fn matches(&self, who: DomId, request: &Message) -> bool {
        self.kind.is_none_or(|kind| kind == request.kind)
            && self.by.is_none_or(|by| by == who)
            && self.path.as_ref().is_none_or(|path| request.first().starts_with(path))
    }
}

/// Makes the bytes that go out in place of an answer.
type Alteration = Arc<dyn Fn(&Message, Message) -> Vec<u8> + Send + Sync>;

/// What becomes of a request, in place of an honest answer.
#[derive(Clone)]
#[non_exhaustive]
pub enum Reaction {
    /// Nothing: no effect and no answer.
    Ignore,
    /// It is carried out, and not answered.
    Silent,
    /// It is carried out, and answered so much later.
    Late(Duration),
    /// It is not carried out, and the answer is this error; `EAGAIN`, for instance. A transaction that was to end is dropped.
    Refuse(String),
    /// It is not carried out, and these bytes go out.
    Bytes(Vec<u8>),
    /// It is carried out, and what goes out is made of the honest answer. See [`Reaction::alter`].
    Alter(Alteration),
}

impl Reaction {
    /// An error by its name.
    #[must_use]
    pub fn refuse(name: &str) -> Self {
        Self::Refuse(name.to_owned())
    }

    /// Bytes that are made of the request and the honest answer to it.
    #[must_use]
    pub fn alter(bytes: impl Fn(&Message, Message) -> Vec<u8> + Send + Sync + 'static) -> Self {
        Self::Alter(Arc::new(bytes))
    }
}

impl fmt::Debug for Reaction {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Ignore => f.write_str("Ignore"),
            Self::Silent => f.write_str("Silent"),
            Self::Late(time) => f.debug_tuple("Late").field(time).finish(),
            Self::Refuse(name) => f.debug_tuple("Refuse").field(name).finish(),
            Self::Bytes(bytes) => f.debug_tuple("Bytes").field(bytes).finish(),
            Self::Alter(_) => f.debug_tuple("Alter").finish_non_exhaustive(),
        }
    }
}

/// All reactions that are set.
#[derive(Debug, Default)]
pub(super) struct Script(Vec<Rule<(Requests, Reaction)>>);

impl Script {
    pub(super) fn add(&mut self, requests: Requests, when: When, reaction: Reaction) {
        self.0.push(Rule::new((requests, reaction), when));
    }

    pub(super) fn clear(&mut self) {
        self.0.clear();
    }

    /// What shall become of this request. Every rule that is for it counts it; the first that strikes has it.
    pub(super) fn of(&mut self, who: DomId, request: &Message, rng: &mut ChaCha8Rng) -> Option<Reaction> {
        let rules = self.0.iter_mut().filter(|rule| rule.fault.0.matches(who, request));
        crate::fault::first_that_strikes(rules, rng).map(|(_, reaction)| reaction)
    }
}
