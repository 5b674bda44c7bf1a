//! The ring of a model: bytes in two queues. How bytes come through a page in their order, the models of `xen-shared-ring` show.
//!
//! Everybody who uses it holds the lock of the store's core, so that a model has one lock to think of and not two.

use alloc::collections::VecDeque;
use alloc::sync::Arc;

use xen_shared_ring::SharedMem;

use crate::wire::{RingError, Violation};

/// The guest's end.
#[derive(Debug)]
pub(super) struct Ring(pub(super) Arc<spin::Mutex<Lines>>);

/// What is under way.
#[derive(Debug, Default)]
pub(super) struct Lines {
    pub(super) requests: VecDeque<u8>,
    pub(super) answers: VecDeque<u8>,
    pub(super) has_given_up: bool,
    pub(super) is_asked_to_begin_anew: bool,
}

impl Ring {
    pub(super) const fn attach(_: SharedMem) -> Option<Self> {
        None
    }

    #[expect(clippy::unnecessary_wraps, reason = "as the real one")]
    pub(super) fn send(&mut self, bytes: &[u8]) -> Result<usize, Violation> {
        self.0.lock().requests.extend(bytes);
        Ok(bytes.len())
    }

    #[expect(clippy::unnecessary_wraps, reason = "as the real one")]
    pub(super) fn receive(&mut self, into: &mut [u8]) -> Result<usize, Violation> {
        let answers = &mut self.0.lock().answers;
        let count = into.len().min(answers.len());
        into.iter_mut().zip(answers.drain(..count)).for_each(|(into, byte)| *into = byte);
        Ok(count)
    }

    pub(super) fn health(&self) -> Result<(), Violation> {
        if self.0.lock().has_given_up { Err(Violation::GivenUp(RingError::COMM)) } else { Ok(()) }
    }

    pub(super) const fn can_reconnect(&self) -> bool {
        true
    }

    pub(super) fn ask_to_reconnect(&self) {
        self.0.lock().is_asked_to_begin_anew = true;
    }

    pub(super) fn is_connected(&self) -> bool {
        !self.0.lock().is_asked_to_begin_anew
    }

    pub(super) const fn restart(&mut self) {}
}
