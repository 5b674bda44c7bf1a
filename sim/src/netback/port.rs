//! Wires, and a switch that they end in.

use std::collections::{HashMap, VecDeque};
use std::fmt;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, Weak};

use super::packet::{Mac, Packet, is_group};

/// One end of a wire: what is sent at one end is received at the other, or goes through a [`Switch`].
///
/// A backend has one end of its own, and [gives](super::Netback::port) the other to whoever asks.
#[derive(Clone)]
pub struct Port {
    wire: Arc<Mutex<Wire>>,
    side: usize,
}

#[derive(Default)]
struct Wire {
    ends: [End; 2],
}

#[derive(Default)]
struct End {
    /// What came here and was not received yet.
    queue: VecDeque<Packet>,
    /// Where it goes in place of that.
    switch: Option<(Weak<Mutex<Table>>, usize)>,
    lost: u64,
}

/// How many packets a wire holds, each way.
const CAPACITY: usize = 4096;

impl Port {
    /// Both ends of a wire.
    #[must_use]
    pub fn pair() -> (Self, Self) {
        let wire = Arc::new(Mutex::new(Wire::default()));
        (Self { wire: Arc::clone(&wire), side: 0 }, Self { wire, side: 1 })
    }

    /// Sends a packet to the other end.
    pub fn send(&self, packet: Packet) {
        let mut wire = self.lock();
        let end = &mut wire.ends[1 - self.side];
        let switch = end.switch.as_ref().and_then(|(table, number)| Some((table.upgrade()?, *number)));
        if let Some((table, number)) = switch {
            drop(wire);
            Switch(table).forward(number, packet);
        } else if end.queue.len() < CAPACITY {
            end.queue.push_back(packet);
        } else {
            end.lost += 1;
        }
    }

    /// Receives a packet from the other end. There is none where a switch has them.
    #[must_use]
    pub fn receive(&self) -> Option<Packet> {
        self.lock().ends[self.side].queue.pop_front()
    }

    /// How many packets wait here.
    #[must_use]
    pub fn waiting(&self) -> usize {
        self.lock().ends[self.side].queue.len()
    }

    /// How many packets to here were lost since nobody took them.
    #[must_use]
    pub fn lost(&self) -> u64 {
        self.lock().ends[self.side].lost
    }

    fn lock(&self) -> MutexGuard<'_, Wire> {
        self.wire.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl fmt::Debug for Port {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Port").field("side", &self.side).field("waiting", &self.waiting()).finish_non_exhaustive()
    }
}

/// A switch: it learns who is where, and floods what is for a group or for somebody unknown.
///
/// It works while a packet is sent, so that it needs no program. Ports end in it as long as it is kept.
#[derive(Clone, Debug, Default)]
pub struct Switch(Arc<Mutex<Table>>);

#[derive(Debug, Default)]
struct Table {
    ports: Vec<Port>,
    learned: HashMap<Mac, usize>,
    forwarded: u64,
    flooded: u64,
}

impl Switch {
    /// A switch without ports.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// Plugs the end of a wire in; what waits there goes nowhere.
    pub fn plug(&self, port: Port) {
        let mut table = self.lock();
        let number = table.ports.len();
        let mut wire = port.lock();
        let end = &mut wire.ends[port.side];
        end.switch = Some((Arc::downgrade(&self.0), number));
        end.queue.clear();
        drop(wire);
        table.ports.push(port);
    }

    /// How many packets went to one port, and how many to all.
    #[must_use]
    pub fn counts(&self) -> (u64, u64) {
        let table = self.lock();
        (table.forwarded, table.flooded)
    }

    fn forward(&self, from: usize, packet: Packet) {
        // A hash is between one front and its backend.
        let packet = Packet { hash: None, ..packet };
        // A switch that a port leads to must not be locked meanwhile.
        for port in self.route(from, &packet) {
            port.send(packet.clone());
        }
    }

    fn route(&self, from: usize, packet: &Packet) -> Vec<Port> {
        let (source, destination) = (packet.source(), packet.destination());
        let mut table = self.lock();
        if !is_group(source) {
            table.learned.insert(source, from);
        }
        let known = table.learned.get(&destination).copied().filter(|_| !is_group(destination));
        if known.is_some() {
            table.forwarded += 1;
        } else {
            table.flooded += 1;
        }
        let others = table.ports.iter().enumerate().filter(|(number, _)| *number != from);
        others.filter(|(number, _)| known.is_none_or(|known| known == *number)).map(|(_, port)| port.clone()).collect()
    }

    fn lock(&self) -> MutexGuard<'_, Table> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::netback::Hash;

    fn packet(to: u8, from: u8) -> Packet {
        let mac = |last| [if last == 255 { 1 } else { 2 }, 0, 0, 0, 0, last];
        Packet::new([mac(to), mac(from)].concat())
    }

    #[test]
    fn a_wire_has_two_ends() {
        let (one, other) = Port::pair();
        one.send(packet(2, 1));
        assert_eq!((one.receive(), other.waiting()), (None, 1));
        assert_eq!(other.receive(), Some(packet(2, 1)));
        other.send(packet(1, 2));
        assert_eq!((other.receive(), one.receive()), (None, Some(packet(1, 2))));
        (0..=CAPACITY).for_each(|_| one.send(packet(2, 1)));
        assert_eq!((other.waiting(), other.lost()), (CAPACITY, 1));
    }

    #[test]
    fn a_switch_learns_and_floods() {
        let switch = Switch::new();
        let stations: Vec<Port> = (0..3)
            .map(|_| {
                let (station, end) = Port::pair();
                switch.plug(end);
                station
            })
            .collect();
        let waiting = || stations.iter().map(Port::waiting).collect::<Vec<_>>();
        stations[0].send(packet(2, 1));
        assert_eq!(waiting(), [0, 1, 1], "nobody knows where 2 is");
        let hash = Some(Hash { kind: 0, algorithm: 1, value: 3 });
        stations[1].send(Packet { hash, ..packet(1, 2) });
        assert_eq!(waiting(), [1, 1, 1]);
        assert_eq!(stations[0].receive(), Some(packet(1, 2)), "nobody else's hash");
        stations[0].send(packet(2, 1));
        assert_eq!(waiting(), [0, 2, 1]);
        stations[2].send(packet(255, 3));
        assert_eq!(waiting(), [1, 3, 1], "a group");
        assert_eq!(switch.counts(), (2, 2));
        drop(switch);
        stations[0].send(packet(2, 1));
        assert_eq!(waiting(), [1, 3, 1]);
    }
}
