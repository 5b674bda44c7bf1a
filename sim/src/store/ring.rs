//! The page that a guest shares with the daemon, seen from the daemon.

use std::mem::offset_of;

use xen_hypercall::abi::io::xs_wire::{DomainInterface, RING_SIZE};

use crate::memory::Page;
use crate::order;

/// One of the words of the page.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Word {
    /// How far the daemon has read. The daemon's.
    RequestConsumer,
    /// How far the guest has written. The guest's.
    RequestProducer,
    /// How far the guest has read. The guest's.
    ResponseConsumer,
    /// How far the daemon has written. The daemon's.
    ResponseProducer,
    /// What the daemon can do. The daemon's.
    ServerFeatures,
    /// Whether a reconnect goes on. The guest sets it, the daemon sets it back.
    Connection,
    /// Why the daemon has given up. The daemon's.
    Error,
}

impl Word {
    /// Those that the guest never writes.
    pub(super) const DAEMONS: [Self; 4] =
        [Self::RequestConsumer, Self::ResponseProducer, Self::ServerFeatures, Self::Error];

    pub(super) const fn offset(self) -> usize {
        match self {
            Self::RequestConsumer => offset_of!(DomainInterface, req_cons),
            Self::RequestProducer => offset_of!(DomainInterface, req_prod),
            Self::ResponseConsumer => offset_of!(DomainInterface, rsp_cons),
            Self::ResponseProducer => offset_of!(DomainInterface, rsp_prod),
            Self::ServerFeatures => offset_of!(DomainInterface, server_features),
            Self::Connection => offset_of!(DomainInterface, connection),
            Self::Error => offset_of!(DomainInterface, error),
        }
    }
}

/// The page, and what the daemon has written into its words: it trusts no other copy.
#[derive(Clone, Debug)]
pub(super) struct Ring {
    page: Page,
    own: [u32; Word::DAEMONS.len()],
}

impl Ring {
    /// Takes a page over at the indices that stand in it.
    pub(super) fn attach(page: Page) -> Self {
        Self { page, own: Word::DAEMONS.map(|word| look(page, word)) }
    }

    pub(super) const fn page(&self) -> Page {
        self.page
    }

    pub(super) fn get(&self, word: Word) -> u32 {
        look(self.page, word)
    }

    pub(super) fn put(&mut self, word: Word, value: u32) {
        order::put32(self.page.u32(word.offset()), value);
        for (own, word_of) in self.own.iter_mut().zip(Word::DAEMONS) {
            if word_of == word {
                *own = value;
            }
        }
    }

    /// The daemon's own index, whatever stands in the page.
    fn own(&self, word: Word) -> u32 {
        let known = Word::DAEMONS.iter().zip(self.own).find(|(own, _)| **own == word);
        known.map_or(0, |(_, value)| value)
    }

    /// Takes back what somebody else has done to the daemon's words, and tells which those were.
    pub(super) fn mend(&mut self) -> impl Iterator<Item = Word> {
        let changed: Vec<(Word, u32)> =
            Word::DAEMONS.into_iter().zip(self.own).filter(|(word, own)| self.get(*word) != *own).collect();
        for (word, own) in &changed {
            self.put(*word, *own);
        }
        changed.into_iter().map(|(word, _)| word)
    }

    /// How many bytes there are to read; `None` where the guest's index is impossible.
    pub(super) fn unread(&self) -> Option<usize> {
        let unread = self.get(Word::RequestProducer).wrapping_sub(self.own(Word::RequestConsumer)) as usize;
        (unread <= RING_SIZE).then_some(unread)
    }

    /// How many bytes can be written; `None` where the guest's index is impossible.
    pub(super) fn room(&self) -> Option<usize> {
        let used = self.own(Word::ResponseProducer).wrapping_sub(self.get(Word::ResponseConsumer)) as usize;
        RING_SIZE.checked_sub(used)
    }

    /// Reads so many bytes, which are there.
    pub(super) fn read(&mut self, count: usize) -> Vec<u8> {
        let index = self.own(Word::RequestConsumer);
        let mut bytes = vec![0; count];
        for (byte, at) in bytes.iter_mut().zip(0..) {
            self.page.read(place(index.wrapping_add(at)), std::slice::from_mut(byte));
        }
        self.put(Word::RequestConsumer, index.wrapping_add(count as u32));
        bytes
    }

    /// Writes bytes for which there is room.
    pub(super) fn write(&mut self, bytes: &[u8]) {
        let index = self.own(Word::ResponseProducer);
        for (byte, at) in bytes.iter().zip(0..) {
            let offset = offset_of!(DomainInterface, rsp) + place(index.wrapping_add(at));
            self.page.write(offset, std::slice::from_ref(byte));
        }
        self.put(Word::ResponseProducer, index.wrapping_add(bytes.len() as u32));
    }

    /// Empties both directions.
    pub(super) fn clear(&mut self) {
        let all = [Word::RequestConsumer, Word::RequestProducer, Word::ResponseConsumer, Word::ResponseProducer];
        for word in all {
            self.put(word, 0);
        }
    }
}

const fn place(index: u32) -> usize {
    index as usize & (RING_SIZE - 1)
}

fn look(page: Page, word: Word) -> u32 {
    order::look32(page.u32(word.offset()))
}
