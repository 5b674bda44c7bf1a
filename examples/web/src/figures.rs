//! What the kernel tells of itself.

use core::time::Duration;

/// Where figures come from.
///
/// Every function from the network device to a [`Snapshot`] is one. It is called once a second, and for each request for figures.
pub trait Figures<D> {
    /// The figures as they are now.
    fn read(&mut self, device: &D) -> Snapshot;
}

impl<D, F: FnMut(&D) -> Snapshot> Figures<D> for F {
    fn read(&mut self, device: &D) -> Snapshot {
        self(device)
    }
}

/// The figures at one time. What counts, counts since the kernel was started.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Snapshot {
    /// The time since 1970, where the kernel knows it.
    pub wall: Option<Duration>,
    /// Bytes of memory.
    pub memory: Level,
    /// Calls of the hypervisor.
    pub hypercalls: u64,
    /// Events that were sent, and that have come.
    pub events: u64,
    /// Pages that are granted to other domains.
    pub grants: Level,
    /// Slots of the ring by which packets are sent.
    pub ring: Level,
    /// What has come by the network.
    pub received: Traffic,
    /// What has gone by the network.
    pub sent: Traffic,
}

/// How much of something is in use.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Level {
    /// In use.
    pub used: u64,
    /// There are.
    pub of: u64,
}

/// What went one way.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Traffic {
    /// Packets.
    pub packets: u64,
    /// Their bytes.
    pub bytes: u64,
}
