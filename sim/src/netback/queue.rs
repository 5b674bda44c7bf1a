//! One queue: a ring each way.

use std::sync::Arc;
use std::time::Duration;

use xen_event_channel::Channel;
use xen_grant_table::Mapping;
use xen_hypercall::abi::Port;
use xen_hypercall::abi::grant_table::GrantRef;
use xen_shared_ring::OnePage;

use super::engine::Engine;
use super::receive::{Receiver, RxRing};
use super::transmit::{Transmitter, TxRing};
use crate::Domain;

/// A queue that is connected.
pub(super) struct Queue {
    pub(super) transmit: Transmitter,
    pub(super) receive: Receiver,
}

/// What the front has written about one queue.
pub(super) struct Address {
    pub(super) tx_ring: GrantRef,
    pub(super) rx_ring: GrantRef,
    pub(super) tx_port: Port,
    /// Its own, where event channels are split.
    pub(super) rx_port: Option<Port>,
}

impl Queue {
    /// Maps rings, binds ports.
    pub(super) fn attach(address: &Address, engine: &Engine) -> Result<Self, String> {
        let tx = TxRing::attach(map(address.tx_ring, engine)?, OnePage).map_err(|_| "the ring has no room")?;
        let rx = RxRing::attach(map(address.rx_ring, engine)?, OnePage).map_err(|_| "the ring has no room")?;
        if let Some(violation) = tx.violation().or_else(|| rx.violation()) {
            return Err(violation.to_string());
        }
        let tx_channel = bind(address.tx_port, engine)?;
        let rx_channel = address.rx_port.map_or_else(|| Ok(Arc::clone(&tx_channel)), |port| bind(port, engine))?;
        let transmit = Transmitter::new(tx, address.tx_ring, tx_channel);
        Ok(Self { transmit, receive: Receiver::new(rx, address.rx_ring, rx_channel) })
    }

    /// Does what can be done now; says whether there was anything.
    pub(super) fn work(&mut self, engine: &mut Engine) -> bool {
        engine.is_enabled() && self.transmit.work(engine) | self.receive.work(engine)
    }

    pub(super) fn due(&self) -> Option<Duration> {
        [self.transmit.due(), self.receive.due()].into_iter().flatten().min()
    }

    pub(super) fn go_on(&mut self, engine: &Engine) {
        self.transmit.go_on();
        self.receive.go_on(engine);
    }

    /// Signals the front so often, for no reason, on each channel.
    pub(super) fn storm(&self, events: u32) {
        self.transmit.ear.storm(events);
        if self.receive.ear.channel().port() != self.transmit.ear.channel().port() {
            self.receive.ear.storm(events);
        }
    }

    /// Ends the connection.
    pub(super) fn close(self, engine: &mut Engine) {
        self.transmit.close(engine);
        self.receive.close(engine);
    }
}

pub(super) fn map(gref: GrantRef, engine: &Engine) -> Result<Mapping<Domain>, String> {
    let mapped = Mapping::map(engine.domain.clone(), engine.front, &[gref]);
    mapped.map_err(|error| format!("mapping shared-frame {}: {error}", gref.0))
}

pub(super) fn bind(port: Port, engine: &Engine) -> Result<Arc<Channel<Domain>>, String> {
    let channel = Channel::interdomain(&engine.domain, engine.front, port);
    channel.map(Arc::new).map_err(|error| format!("binding port {}: {error}", port.0))
}
