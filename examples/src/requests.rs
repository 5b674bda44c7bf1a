//! What the toolstack asks of the guest.

use alloc::vec::Vec;
use core::time::Duration;

use xen_rt::Xen;
use xen_rt::xenbus::Store;
use xen_rt::xenbus::control::{Command, Inbox, Request, advertise};
use xen_rt::xenbus::store::{Call, StoreError, Watch};

/// The node for requests.
#[derive(Debug)]
pub struct Requests {
    store: Store<Xen>,
    watch: Watch<Xen>,
    inbox: Inbox,
    /// Whether there is a request was asked.
    asked: Option<Call<Xen, Vec<u8>>>,
}

impl Requests {
    /// Watches the node, and says that the guest heeds `xl shutdown` and `xl save`.
    ///
    /// # Errors
    ///
    /// Xenstore's.
    pub fn new(store: &Store<Xen>) -> Result<Self, StoreError> {
        let inbox = Inbox::shutdown();
        for (name, error) in advertise(store, &[Command::PowerOff, Command::Suspend]) {
            log::warn!("cannot tell the tools of {name}: {error}");
        }
        Ok(Self { store: store.clone(), watch: store.watch(inbox.path()).wait()?, inbox, asked: None })
    }

    /// Takes note of what was heard. Until then a wait does not wait.
    pub fn listen(&mut self) {
        if self.watch.take() {
            self.inbox.look_again();
        }
    }

    /// What is asked for, if anything. Waits for xenstore only where there is something.
    ///
    /// # Errors
    ///
    /// Xenstore's.
    pub fn command(&mut self) -> Result<Option<Command>, StoreError> {
        if self.asked.is_none() && self.inbox.poll(self.store.now()) {
            self.asked = Some(self.store.read(self.inbox.path()));
        }
        let Some(answer) = self.asked.as_mut().and_then(Call::try_wait) else { return Ok(None) };
        self.asked = None;
        match answer {
            Ok(value) if !value.is_empty() => {}
            Err(error) if !error.is_missing() => return Err(error),
            _ => return Ok(None),
        }
        match self.store.transaction(|t| self.inbox.take(t))? {
            Some(Request::Command(command)) => Ok(Some(command)),
            _ => Ok(None),
        }
    }

    /// When to ask at the latest.
    #[must_use]
    pub fn next_deadline(&self) -> Option<Duration> {
        // An answer ends a wait by itself.
        if self.asked.is_some() { None } else { self.inbox.next_deadline() }
    }
}
