//! What is asked of the daemon, and what is made of its answer.

use alloc::boxed::Box;
use alloc::format;
use alloc::string::String;
use alloc::vec::Vec;

use super::error::Reason;
use super::path;
use crate::wire::{BadReply, MessageType, PAYLOAD_MAX, Refusal, strings};

/// A question that has a `T` as answer, maybe after some more questions.
pub(super) struct Ask<T> {
    pub(super) operation: &'static str,
    pub(super) path: String,
    pub(super) kind: MessageType,
    pub(super) payload: Vec<u8>,
    answer: Answer<T>,
}

/// What to make of an answer, which has come on the connection of this epoch.
type Answer<T> = Box<dyn FnMut(Result<Vec<u8>, Reason>, u32) -> Step<T> + Send>;

/// What comes after an answer.
pub(super) enum Step<T> {
    Done(Result<T, Reason>),
    /// Another question.
    Next(MessageType, Vec<u8>),
}

impl<T: 'static> Ask<T> {
    /// A question about the node at `path`, with more than the path in its payload.
    pub(super) fn about(
        operation: &'static str,
        path: &str,
        kind: MessageType,
        more: &[u8],
        mut answer: impl FnMut(Vec<u8>) -> Result<T, Reason> + Send + 'static,
    ) -> Result<Self, Reason> {
        Self::with(operation, path, kind, more, move |result| Step::Done(result.and_then(&mut answer)))
    }

    /// A question about no node.
    pub(super) fn plain(
        operation: &'static str,
        kind: MessageType,
        payload: Vec<u8>,
        mut answer: impl FnMut(Vec<u8>, u32) -> Result<T, Reason> + Send + 'static,
    ) -> Self {
        let answer = Box::new(move |result: Result<Vec<u8>, Reason>, epoch| {
            Step::Done(result.and_then(|payload| answer(payload, epoch)))
        });
        Self { operation, path: String::new(), kind, payload, answer }
    }

    /// As [`about`](Self::about), for questions that lead to others.
    pub(super) fn with(
        operation: &'static str,
        path: &str,
        kind: MessageType,
        more: &[u8],
        mut answer: impl FnMut(Result<Vec<u8>, Reason>) -> Step<T> + Send + 'static,
    ) -> Result<Self, Reason> {
        path::check(path)?;
        let payload = [path.as_bytes(), b"\0", more].concat();
        if payload.len() > PAYLOAD_MAX {
            return Err(Reason::TooLong { len: payload.len() });
        }
        Ok(Self { operation, path: path.into(), kind, payload, answer: Box::new(move |result, _| answer(result)) })
    }
}

impl<T> Ask<T> {
    /// Takes an answer. `None` when there is another question first.
    pub(super) fn take(&mut self, result: Result<Vec<u8>, Reason>, epoch: u32) -> Option<Result<T, Reason>> {
        match (self.answer)(result, epoch) {
            Step::Done(result) => Some(result),
            Step::Next(kind, payload) => {
                (self.kind, self.payload) = (kind, payload);
                None
            }
        }
    }
}

/// What is answered where there is nothing to say. What the daemon writes there does not matter.
pub(super) fn nothing(_: Vec<u8>) -> Result<(), Reason> {
    Ok(())
}

/// The number of a transaction, which is not 0.
pub(super) fn transaction_id(payload: &[u8]) -> Option<u32> {
    let mut parts = strings(payload)?;
    let id = super::value::u32(parts.next()?).ok().filter(|id| *id != 0)?;
    parts.next().is_none().then_some(id)
}

/// How often a list that changes is read before that is an error.
const ATTEMPTS: u32 = 8;

/// More children than a daemon's quotas allow a domain; a list has an end.
const MOST_CHILDREN: usize = 65_536;

/// The children of a node: in one message if they fit, otherwise in parts, from the beginning again if they change meanwhile.
pub(super) fn directory(path: &str) -> Result<Ask<Vec<String>>, Reason> {
    let prefix = [path.as_bytes(), b"\0"].concat();
    let mut parts = Parts::default();
    Ask::with("list", path, MessageType::DIRECTORY, b"", move |result| {
        let step = match result {
            Ok(payload) if !parts.started => return Step::Done(names(&payload, MessageType::DIRECTORY)),
            Ok(payload) => parts.take(&payload),
            Err(Reason::Refused(refusal)) if refusal.is(Refusal::TOO_BIG) && !parts.started => {
                parts.started = true;
                Ok(None)
            }
            Err(reason) => Err(reason),
        };
        match step {
            Ok(None) => {
                let offset = format!("{}\0", parts.names.len());
                Step::Next(MessageType::DIRECTORY_PART, [&prefix[..], offset.as_bytes()].concat())
            }
            Ok(Some(all)) => Step::Done(names(&all, MessageType::DIRECTORY_PART)),
            Err(reason) => Step::Done(Err(reason)),
        }
    })
}

/// A list of children that comes in parts.
#[derive(Default)]
struct Parts {
    started: bool,
    generation: Vec<u8>,
    names: Vec<u8>,
    attempts: u32,
}

impl Parts {
    /// Takes a part: the node's generation, and names from the offset that was asked for on. An empty name is the end. Answers with
    /// all names when they are there.
    fn take(&mut self, payload: &[u8]) -> Result<Option<Vec<u8>>, Reason> {
        let bad = || Reason::from(BadReply::Payload(MessageType::DIRECTORY_PART));
        let end = payload.iter().position(|byte| *byte == 0).ok_or_else(bad)?;
        let (generation, names) = (payload.get(..end).unwrap_or_default(), payload.get(end + 1..).unwrap_or_default());
        if !self.names.is_empty() && generation != self.generation {
            self.attempts += 1;
            self.names.clear();
            return if self.attempts < ATTEMPTS { Ok(None) } else { Err(Reason::Unsteady { attempts: self.attempts }) };
        }
        self.generation = generation.to_vec();
        // A part without a name brings the end no nearer.
        if !names.ends_with(&[0]) {
            return Err(bad());
        }
        let last = names == [0] || names.ends_with(&[0, 0]);
        let names = if last { names.get(..names.len() - 1).unwrap_or_default() } else { names };
        self.names.extend_from_slice(names);
        if self.names.len() > MOST_CHILDREN * 16 {
            return Err(bad());
        }
        Ok(last.then(|| core::mem::take(&mut self.names)))
    }
}

/// Names, each ended by a NUL, none of them empty or with a slash.
fn names(payload: &[u8], kind: MessageType) -> Result<Vec<String>, Reason> {
    let bad = || Reason::from(BadReply::Payload(kind));
    let names = strings(payload).ok_or_else(bad)?;
    let names = names.map(|name| {
        let good = !name.is_empty() && !name.contains(&b'/');
        core::str::from_utf8(name).ok().filter(|_| good).map(String::from).ok_or_else(bad)
    });
    // One more than there may be, so that a list is refused and not cut.
    let names: Vec<String> = names.take(MOST_CHILDREN + 1).collect::<Result<_, _>>()?;
    if names.len() > MOST_CHILDREN { Err(bad()) } else { Ok(names) }
}
