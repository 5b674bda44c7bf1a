//! The operations on a store, or in a transaction.

use alloc::format;
use alloc::string::String;
use alloc::vec::Vec;

use xen_hypercall::abi::DomId;
use xen_hypercall::abi::io::xenbus::State;

use super::ask::{self, Ask, Step};
use super::call::Call;
use super::error::Reason;
use super::permissions::Permissions;
use super::watch::Watch;
use super::{Platform, Store, path, value};
use crate::wire::{BadReply, MessageType, strings};

/// Paths begin with `/`, or are relative to the domain's own directory, `/local/domain/ID`. Each call's errors are those of
/// [`Reason`]; a node that does not exist is told by [`is_missing`](super::StoreError::is_missing).
impl<P: Platform> Store<P> {
    /// Reads a node's value: any bytes, 4096 at most.
    ///
    /// Source: `XS_READ`, public/io/xs_wire.h
    pub fn read(&self, path: &str) -> Call<P, Vec<u8>> {
        self.read_as(path, Ok)
    }

    /// Reads a value that is text: UTF-8 without control characters.
    pub fn read_text(&self, path: &str) -> Call<P, String> {
        self.read_as(path, |value| value::text(&value))
    }

    /// Reads a value that is a decimal number of 32 bits, and nothing else.
    pub fn read_u32(&self, path: &str) -> Call<P, u32> {
        self.read_as(path, |value| value::u32(&value))
    }

    /// Reads a value that is a decimal number of 64 bits, and nothing else.
    pub fn read_u64(&self, path: &str) -> Call<P, u64> {
        self.read_as(path, |value| value::u64(&value))
    }

    /// Reads a value that is `0` or `1`.
    pub fn read_flag(&self, path: &str) -> Call<P, bool> {
        self.read_as(path, |value| value::flag(&value))
    }

    /// Reads a value that is the MAC address of one station, such as `00:16:3e:12:34:56`.
    pub fn read_mac(&self, path: &str) -> Call<P, [u8; 6]> {
        self.read_as(path, |value| value::mac(&value))
    }

    /// Reads the state of one half of a device. What is not one of the known states is [`State::UNKNOWN`], as is none at all.
    pub fn read_state(&self, path: &str) -> Call<P, State> {
        let answer = |result: Result<Vec<u8>, Reason>| {
            Step::Done(match result {
                Ok(value) => Ok(crate::bus::parse_state(&value)),
                Err(Reason::Refused(refusal)) if refusal.is(crate::wire::Refusal::NOENT) => Ok(State::UNKNOWN),
                Err(reason) => Err(reason),
            })
        };
        self.call(READ, path, Ask::with(READ, path, MessageType::READ, b"", answer))
    }

    /// Writes a node's value; the node and those above it are made where they do not exist. 4095 bytes, path included, at most.
    ///
    /// Source: `XS_WRITE`, public/io/xs_wire.h
    pub fn write(&self, path: &str, value: impl AsRef<[u8]>) -> Call<P, ()> {
        self.about("write", path, MessageType::WRITE, value.as_ref(), ask::nothing)
    }

    /// Lists the names of a node's children, however many they are.
    ///
    /// Source: `XS_DIRECTORY`, `XS_DIRECTORY_PART`, public/io/xs_wire.h
    pub fn directory(&self, path: &str) -> Call<P, Vec<String>> {
        self.call("list", path, ask::directory(path))
    }

    /// Makes a node, with an empty value, where it does not exist.
    ///
    /// Source: `XS_MKDIR`, public/io/xs_wire.h
    pub fn mkdir(&self, path: &str) -> Call<P, ()> {
        self.about("make", path, MessageType::MKDIR, b"", ask::nothing)
    }

    /// Removes a node and what is below it. One that does not exist is no error, if the one above it does.
    ///
    /// Source: `XS_RM`, public/io/xs_wire.h
    pub fn remove(&self, path: &str) -> Call<P, ()> {
        self.about("remove", path, MessageType::RM, b"", ask::nothing)
    }

    /// Who may read and write a node.
    ///
    /// Source: `XS_GET_PERMS`, public/io/xs_wire.h
    pub fn permissions(&self, path: &str) -> Call<P, Permissions> {
        let answer = |payload: Vec<u8>| Permissions::parse(&payload);
        self.about("read the permissions of", path, MessageType::GET_PERMS, b"", answer)
    }

    /// Sets who may read and write a node.
    ///
    /// Source: `XS_SET_PERMS`, public/io/xs_wire.h
    pub fn set_permissions(&self, path: &str, permissions: &Permissions) -> Call<P, ()> {
        self.about("set the permissions of", path, MessageType::SET_PERMS, &permissions.payload(), ask::nothing)
    }

    /// Watches a node and what is below it; or `@introduceDomain`, `@releaseDomain`. Not part of a transaction.
    ///
    /// Source: `XS_WATCH`, public/io/xs_wire.h
    pub fn watch(&self, path: &str) -> Call<P, Watch<P>> {
        const WATCH: &str = "watch";
        let added = path::check(path).map_err(Reason::from).and_then(|()| self.core().watches.add(path));
        let ask = added.and_then(|(token, cell)| {
            let store = self.outside();
            let mut watch = Some(Watch::new(&store, token, path, cell));
            Ask::with(WATCH, path, MessageType::WATCH, format!("{token}\0").as_bytes(), move |result| {
                let refused = matches!(result, Err(Reason::Refused(_)));
                store.core().watches.first_answer(token, refused);
                Step::Done(result.and_then(|_| watch.take().ok_or(Reason::Reset)))
            })
        });
        Call::new(&self.outside(), WATCH, path, ask)
    }

    /// The directory of a domain, `/local/domain/ID`.
    ///
    /// Source: `XS_GET_DOMAIN_PATH`, public/io/xs_wire.h
    pub fn domain_path(&self, domain: DomId) -> Call<P, String> {
        let answer = |payload: Vec<u8>| match single(&payload) {
            Some(path) => value::text(path),
            None => Err(BadReply::Payload(MessageType::GET_DOMAIN_PATH).into()),
        };
        self.plain("find the directory of a domain", MessageType::GET_DOMAIN_PATH, number(domain), answer)
    }

    /// Whether xenstore is connected to a domain. The daemon in C tells privileged domains only, and refuses others.
    ///
    /// Source: `XS_IS_DOMAIN_INTRODUCED`, public/io/xs_wire.h
    pub fn is_introduced(&self, domain: DomId) -> Call<P, bool> {
        let answer = |payload: Vec<u8>| match single(&payload) {
            Some(b"T") => Ok(true),
            Some(b"F") => Ok(false),
            _ => Err(BadReply::Payload(MessageType::IS_DOMAIN_INTRODUCED).into()),
        };
        self.plain("ask for a domain", MessageType::IS_DOMAIN_INTRODUCED, number(domain), answer)
    }

    /// Has xenstore tell of a domain's shutdown once more. For privileged domains.
    ///
    /// Source: `XS_RESUME`, public/io/xs_wire.h
    pub fn resume_domain(&self, domain: DomId) -> Call<P, ()> {
        self.plain("resume a domain", MessageType::RESUME, number(domain), ask::nothing)
    }

    /// Gives the daemon a command of its own, in words. For privileged domains; what commands there are, `help` may say.
    ///
    /// Source: `XS_CONTROL`, public/io/xs_wire.h
    pub fn control(&self, words: &[&str]) -> Call<P, Vec<u8>> {
        let payload = words.iter().flat_map(|word| [word.as_bytes(), b"\0"]).flatten().copied().collect();
        self.plain("give the daemon a command", MessageType::CONTROL, payload, Ok)
    }

    /// Has the daemon forget all watches and transactions of this domain, those of a kernel that ran before in it. The store's own
    /// watches are registered again, and have fired; its open transactions end as if they did not exist.
    ///
    /// Source: `XS_RESET_WATCHES`, public/io/xs_wire.h
    pub fn reset_watches(&self) -> Call<P, ()> {
        let store = self.outside();
        let answer = move |_| {
            store.core().register_watches_again();
            Ok(())
        };
        self.plain("reset all watches", MessageType::RESET_WATCHES, b"\0".to_vec(), answer)
    }

    pub(crate) fn read_as<T: 'static>(
        &self,
        path: &str,
        answer: impl FnMut(Vec<u8>) -> Result<T, Reason> + Send + 'static,
    ) -> Call<P, T> {
        self.about(READ, path, MessageType::READ, b"", answer)
    }

    fn about<T: 'static>(
        &self,
        operation: &'static str,
        path: &str,
        kind: MessageType,
        more: &[u8],
        answer: impl FnMut(Vec<u8>) -> Result<T, Reason> + Send + 'static,
    ) -> Call<P, T> {
        self.call(operation, path, Ask::about(operation, path, kind, more, answer))
    }

    /// A question about no node, outside of any transaction.
    fn plain<T: 'static>(
        &self,
        operation: &'static str,
        kind: MessageType,
        payload: Vec<u8>,
        mut answer: impl FnMut(Vec<u8>) -> Result<T, Reason> + Send + 'static,
    ) -> Call<P, T> {
        let ask = Ask::plain(operation, kind, payload, move |payload, _| answer(payload));
        Call::new(&self.outside(), operation, "", Ok(ask))
    }

    fn call<T>(&self, operation: &'static str, path: &str, ask: Result<Ask<T>, Reason>) -> Call<P, T> {
        Call::new(self, operation, path, ask)
    }
}

const READ: &str = "read";

fn number(domain: DomId) -> Vec<u8> {
    format!("{}\0", domain.0).into_bytes()
}

/// The one string of a payload.
fn single(payload: &[u8]) -> Option<&[u8]> {
    let mut all = strings(payload)?;
    all.next().filter(|_| all.next().is_none())
}
