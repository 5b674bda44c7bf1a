//! One ring with the front: its page, its channel, and how the front is signalled.

use std::sync::Arc;

use xen_event_channel::Channel;
use xen_grant_table::Mapping;
use xen_hypercall::abi::Port;
use xen_hypercall::abi::grant_table::GrantRef;
use xen_shared_ring::{BackRing, OnePage, Prefix, Protocol};

use super::Notify;
use super::engine::Engine;
use crate::Domain;
use crate::backend::{Bell, Ear, Mapped};

pub(super) struct Line<P: Protocol> {
    pub(super) ring: BackRing<P, Mapping<Domain>>,
    /// The ring's page, as the front named it.
    pub(super) gref: GrantRef,
    pub(super) ear: Ear,
    bell: Bell,
}

impl<P: Protocol> Line<P> {
    /// Maps a ring that the front has named.
    pub(super) fn attach(gref: GrantRef, channel: Arc<Channel<Domain>>, engine: &Engine) -> Result<Self, String> {
        let mapped = Mapping::map(engine.domain.clone(), engine.front, &[gref]);
        let region = mapped.map_err(|error| format!("mapping shared-frame {}: {error}", gref.0))?;
        let ring = BackRing::attach(region, OnePage).map_err(|_| "the ring has no room")?;
        match ring.violation() {
            Some(violation) => Err(violation.to_string()),
            None => Ok(Self { ring, gref, ear: Ear::new(channel), bell: Bell::default() }),
        }
    }

    /// Puts an answer into the ring. There is room for each request that was taken; more are a script's, and are cut off.
    pub(super) fn push<T: Prefix<P::Response>>(&mut self, response: T, engine: &mut Engine) {
        engine.statistics.responses += u64::from(self.ring.push(response).is_ok());
    }

    /// Something is answered: the front is shown it at once, where each answer is published alone.
    pub(super) fn answered(&mut self, engine: &mut Engine) {
        if engine.options.notify == Notify::EachAnswer {
            self.show(engine);
        }
    }

    /// Shows the front the answers.
    pub(super) fn show(&mut self, engine: &mut Engine) {
        let signalled = self.bell.show(&mut self.ring, engine.options.notify, &self.ear);
        engine.statistics.notifications += u64::from(signalled);
    }

    /// Ends the connection. What else is mapped goes with the ring.
    pub(super) fn close(self, pages: &mut Vec<Mapped>, engine: &mut Engine) {
        let Self { ring, ear, .. } = self;
        drop(ear);
        engine.part(pages, ring.into_region());
    }
}

/// Binds a port that the front has named.
pub(super) fn bind(port: Port, engine: &Engine) -> Result<Arc<Channel<Domain>>, String> {
    let channel = Channel::interdomain(&engine.domain, engine.front, port);
    channel.map(Arc::new).map_err(|error| format!("binding port {}: {error}", port.0))
}
