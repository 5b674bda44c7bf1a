//! One queue: a ring each way.

use std::sync::Arc;
use std::time::Duration;

use xen_hypercall::abi::Port;
use xen_hypercall::abi::grant_table::GrantRef;

use super::engine::Engine;
use super::line::{Line, bind};
use super::receive::Receiver;
use super::transmit::Transmitter;

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
        let tx_channel = bind(address.tx_port, engine)?;
        let rx_channel = address.rx_port.map_or_else(|| Ok(Arc::clone(&tx_channel)), |port| bind(port, engine))?;
        let transmit = Transmitter::new(Line::attach(address.tx_ring, tx_channel, engine)?);
        Ok(Self { transmit, receive: Receiver::new(Line::attach(address.rx_ring, rx_channel, engine)?) })
    }

    /// Does what can be done now; says whether there was anything.
    pub(super) fn work(&mut self, engine: &mut Engine) -> bool {
        self.transmit.work(engine) | self.receive.work(engine)
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
        let [tx, rx] = [&self.transmit.line.ear, &self.receive.line.ear];
        tx.storm(events);
        if rx.channel().port() != tx.channel().port() {
            rx.storm(events);
        }
    }

    /// Ends the connection.
    pub(super) fn close(self, engine: &mut Engine) {
        self.transmit.close(engine);
        self.receive.close(engine);
    }
}
