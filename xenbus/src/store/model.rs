//! For model checking only: a daemon at the other end of a store's ring.

use alloc::sync::Arc;
use alloc::vec::Vec;

use xen_event_channel::Channel;
use zerocopy::{FromBytes, IntoBytes};

use super::core::Core;
use super::ring::{Lines, Ring};
use super::{Mutex, Platform, Quiet, Shared, Store, Transaction};
use crate::wire::Header;

/// What xenstored has of a domain's connection. Each method is one step: the store's lock is held for it.
#[derive(Debug)]
pub struct Daemon<P: Platform> {
    store: Store<P>,
    lines: Arc<spin::Mutex<Lines>>,
}

impl<P: Platform> Daemon<P> {
    /// A daemon, and the store of the domain that is connected to it.
    pub fn connect(platform: P, channel: Channel<P>) -> (Self, Store<P>) {
        let lines = Arc::new(spin::Mutex::new(Lines::default()));
        let core = Core::new(Ring(Arc::clone(&lines)), channel, 1);
        let store =
            Store { shared: Arc::new(Shared { platform, core: Mutex::new(core) }), transaction: Transaction::NONE };
        (Self { store: store.clone(), lines }, store)
    }

    /// Takes the oldest request.
    #[must_use]
    pub fn take(&self) -> Option<(Header, Vec<u8>)> {
        self.with(|lines| {
            let requests = &mut lines.requests;
            let header: Vec<u8> = requests.drain(..requests.len().min(size_of::<Header>())).collect();
            let header = Header::read_from_bytes(&header).ok()?;
            Some((header, requests.drain(..header.len as usize).collect()))
        })
    }

    /// Sends a message.
    pub fn send(&self, header: Header, payload: &[u8]) {
        let header = Header { len: payload.len() as u32, ..header };
        self.with(|lines| lines.answers.extend(header.as_bytes().iter().chain(payload)));
    }

    /// Gives the connection up.
    pub fn give_up(&self) {
        self.with(|lines| lines.has_given_up = true);
    }

    /// Begins anew where it was asked to, and says whether it was.
    #[must_use]
    pub fn begin_anew(&self) -> bool {
        self.with(|lines| {
            let asked = lines.is_asked_to_begin_anew;
            if asked {
                *lines = Lines::default();
            }
            asked
        })
    }

    /// Resumes the domain at another daemon, and returns that.
    #[must_use]
    pub fn resume(quiet: Quiet<P>, channel: Channel<P>) -> Self {
        let lines = Arc::new(spin::Mutex::new(Lines::default()));
        let store = quiet.store();
        quiet.go_on(Ring(Arc::clone(&lines)), channel);
        Self { store, lines }
    }

    fn with<T>(&self, step: impl FnOnce(&mut Lines) -> T) -> T {
        let _core = self.store.core();
        step(&mut self.lines.lock())
    }
}
