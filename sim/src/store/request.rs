//! What a guest may ask, and the answers.

use rand::RngExt;
use xen_hypercall::Errno;
use xen_hypercall::abi::DomId;
use xen_hypercall::abi::io::xs_wire::{MessageType, PAYLOAD_MAX};

use super::Store;
use super::message::{Message, name};
use super::path;
use super::permission::{Permission, is_privileged};
use super::tree::{Change, Node, Transaction, View};
use super::watch::Watch;

type Answer = Result<Vec<u8>, Errno>;

/// The answer to what has nothing else to say.
const OK: &[u8] = b"OK\0";

/// What comes of a request.
pub(super) struct Outcome {
    pub(super) answer: Message,
    pub(super) changes: Vec<Change>,
    /// Told straight after the answer.
    pub(super) first_event: Option<Message>,
}

impl Store {
    /// Carries a request out.
    pub(super) fn carry_out(&mut self, who: DomId, request: &Message) -> Outcome {
        let mut outcome = Outcome { answer: request.answer([]), changes: Vec::new(), first_event: None };
        let answer = self.answer(who, request, &mut outcome);
        outcome.answer = match answer {
            Ok(payload) if payload.len() <= PAYLOAD_MAX => request.answer(payload),
            Ok(_) => request.refusal(&name(Errno::E2BIG)),
            Err(errno) => request.refusal(&name(errno)),
        };
        outcome
    }

    fn answer(&mut self, who: DomId, request: &Message, outcome: &mut Outcome) -> Answer {
        match request.kind {
            MessageType::WATCH => self.watch(who, request, outcome),
            MessageType::UNWATCH => self.unwatch(who, request),
            MessageType::RESET_WATCHES => self.reset_watches(who),
            MessageType::TRANSACTION_START => self.start(who, request),
            MessageType::TRANSACTION_END => self.end(who, request, outcome),
            MessageType::GET_DOMAIN_PATH => domain(request).map(|domain| ended(&path::home(domain))),
            // As the daemon of Xen 4.17 has it, guests may not ask that.
            MessageType::IS_DOMAIN_INTRODUCED if is_privileged(who) => {
                let domain = domain(request)?;
                let known = is_privileged(domain) || self.connections.contains_key(&domain);
                Ok(ended(if known { "T" } else { "F" }))
            }
            MessageType::CONTROL
            | MessageType::INTRODUCE
            | MessageType::IS_DOMAIN_INTRODUCED
            | MessageType::RELEASE
            | MessageType::RESUME
            | MessageType::SET_TARGET
            | MessageType::SET_FEATURE
            | MessageType::GET_QUOTA
            | MessageType::SET_QUOTA
                if !is_privileged(who) =>
            {
                Err(Errno::ACCES)
            }
            _ => self.on_nodes(who, request, outcome),
        }
    }

    /// Requests about nodes, in a transaction or not.
    fn on_nodes(&mut self, who: DomId, request: &Message, outcome: &mut Outcome) -> Answer {
        let connection = self.connections.get_mut(&who).ok_or(Errno::INVAL)?;
        let transaction = match request.tx_id {
            0 => None,
            id => Some(connection.transactions.get_mut(&id).ok_or(Errno::NOENT)?),
        };
        let quota = self.quota;
        let mut view = View { tree: &mut self.tree, transaction, quota, who, changes: Vec::new() };
        let answer = view.answer(request);
        outcome.changes = view.changes;
        answer
    }

    fn watch(&mut self, who: DomId, request: &Message, outcome: &mut Outcome) -> Answer {
        let (given, watch) = watch_of(who, request)?;
        let most = self.quota.watches;
        let watches = &mut self.connections.get_mut(&who).ok_or(Errno::INVAL)?.watches;
        if watches.iter().any(|other| other.is_same(&watch)) {
            return Err(Errno::EXIST);
        }
        if watches.len() >= most && !is_privileged(who) {
            return Err(Errno::E2BIG);
        }
        outcome.first_event = Some(Message::event(&given, &watch.token));
        watches.push(watch);
        Ok(OK.into())
    }

    fn unwatch(&mut self, who: DomId, request: &Message) -> Answer {
        let (_, watch) = watch_of(who, request)?;
        let watches = &mut self.connections.get_mut(&who).ok_or(Errno::INVAL)?.watches;
        let at = watches.iter().position(|other| other.is_same(&watch)).ok_or(Errno::NOENT)?;
        watches.remove(at);
        Ok(OK.into())
    }

    fn reset_watches(&mut self, who: DomId) -> Answer {
        let connection = self.connections.get_mut(&who).ok_or(Errno::INVAL)?;
        connection.watches.clear();
        connection.transactions.clear();
        Ok(OK.into())
    }

    fn start(&mut self, who: DomId, request: &Message) -> Answer {
        let connection = self.connections.get_mut(&who).ok_or(Errno::INVAL)?;
        if request.tx_id != 0 {
            return Err(Errno::BUSY);
        }
        if connection.transactions.len() >= self.quota.transactions && !is_privileged(who) {
            return Err(Errno::NOSPC);
        }
        // No id that the guest could guess, and never zero.
        let free = |id: &u32| !connection.transactions.contains_key(id);
        let id = std::iter::repeat_with(|| self.rng.random_range(1..=u32::MAX)).find(free).ok_or(Errno::NOSPC)?;
        connection.transactions.insert(id, Transaction::default());
        Ok(ended(&id.to_string()))
    }

    fn end(&mut self, who: DomId, request: &Message, outcome: &mut Outcome) -> Answer {
        let commit = match request.strings().first() {
            Some(&b"T") => true,
            Some(&b"F") => false,
            _ => return Err(Errno::INVAL),
        };
        let connection = self.connections.get_mut(&who).ok_or(Errno::INVAL)?;
        let transaction = connection.transactions.remove(&request.tx_id).ok_or(Errno::NOENT)?;
        if commit {
            outcome.changes = transaction.commit(&mut self.tree)?;
        }
        Ok(OK.into())
    }
}

impl View<'_> {
    fn answer(&mut self, request: &Message) -> Answer {
        match request.kind {
            MessageType::READ => self.read(&self.path(request)?).map(|node| node.value),
            MessageType::DIRECTORY => self.read(&self.path(request)?).map(|node| names(&node.children)),
            MessageType::DIRECTORY_PART => {
                let offset = number(request.strings().get(1).copied())?;
                self.read(&self.path(request)?).map(|node| part(&node, offset))
            }
            MessageType::GET_PERMS => {
                let node = self.read(&self.path(request)?)?;
                Ok(node.permissions.list().iter().flat_map(|entry| ended(&entry.to_string())).collect())
            }
            MessageType::WRITE => self.write(&self.path(request)?, value(request)?).map(|()| OK.into()),
            MessageType::MKDIR => self.make(&self.path(request)?).map(|()| OK.into()),
            MessageType::RM => self.remove(&self.path(request)?).map(|()| OK.into()),
            MessageType::SET_PERMS => {
                let strings = request.strings();
                let texts = strings.get(1..).unwrap_or_default();
                let list: Result<Vec<Permission>, Errno> = texts.iter().map(|text| Permission::parse(text)).collect();
                self.set_permissions(&self.path(request)?, list?).map(|()| OK.into())
            }
            _ => Err(Errno::NOSYS),
        }
    }

    /// The request's path. All but a write's ends the payload, or is followed by more strings.
    fn path(&self, request: &Message) -> Result<String, Errno> {
        let end = request.payload.iter().position(|byte| *byte == 0).ok_or(Errno::INVAL)?;
        path::resolve(&request.payload[..end], self.who)
    }
}

/// What is written: everything behind the path.
fn value(request: &Message) -> Result<&[u8], Errno> {
    let end = request.payload.iter().position(|byte| *byte == 0).ok_or(Errno::INVAL)?;
    Ok(&request.payload[end + 1..])
}

fn watch_of(who: DomId, request: &Message) -> Result<(String, Watch), Errno> {
    let strings = request.strings();
    let [given, token, ..] = strings[..] else { return Err(Errno::INVAL) };
    let text = std::str::from_utf8(given).map_err(|_| Errno::INVAL)?.to_owned();
    let path = if text.starts_with('@') { text.clone() } else { path::resolve(given, who)? };
    Ok((text.clone(), Watch { given: text, path, token: token.to_vec() }))
}

fn domain(request: &Message) -> Result<DomId, Errno> {
    number(request.strings().first().copied()).and_then(|id| u16::try_from(id).map(DomId).map_err(|_| Errno::INVAL))
}

fn number(text: Option<&[u8]>) -> Result<usize, Errno> {
    let text = text.and_then(|text| std::str::from_utf8(text).ok()).ok_or(Errno::INVAL)?;
    text.parse().map_err(|_| Errno::INVAL)
}

/// A string with its NUL.
fn ended(text: &str) -> Vec<u8> {
    [text.as_bytes(), &[0]].concat()
}

fn names(children: &[String]) -> Vec<u8> {
    children.iter().flat_map(|name| ended(name)).collect()
}

/// The node's generation and as many names as fit, from a byte of their list on. An empty one stands behind the last.
fn part(node: &Node, offset: usize) -> Vec<u8> {
    let mut payload = ended(&node.generation.to_string());
    let all = names(&node.children);
    let rest = all.get(offset..).unwrap_or_default();
    let room = PAYLOAD_MAX - payload.len() - 1;
    let fits = |end: &usize| *end <= room;
    let end = rest.iter().enumerate().filter(|(_, byte)| **byte == 0).map(|(at, _)| at + 1).take_while(fits).last();
    let end = end.unwrap_or(0);
    payload.extend(&rest[..end]);
    if end == rest.len() {
        payload.push(0);
    }
    payload
}
