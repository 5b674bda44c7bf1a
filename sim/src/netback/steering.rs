//! Hashes of packets, and which queue they lead to.

use xen_hypercall::abi::io::netif::{CtrlStatus, HashAlgorithm, HashTypes};

use super::offload::{ETH_IPV4, ETH_IPV6, TCP};
use super::packet::{ETH_HLEN, Hash, Packet};

/// Bytes of the longest key, as Linux's backend has it.
pub(super) const KEY: usize = 40;

/// Over what hashes can be made.
const KNOWN: HashTypes = HashTypes::IPV4.union(HashTypes::IPV4_TCP).union(HashTypes::IPV6).union(HashTypes::IPV6_TCP);

/// How the front wants its packets spread over queues.
#[derive(Debug, Default)]
pub(super) struct Steering {
    algorithm: HashAlgorithm,
    types: HashTypes,
    key: Key,
    mapping: Vec<u32>,
}

#[derive(Debug)]
struct Key([u8; KEY]);

impl Default for Key {
    fn default() -> Self {
        Self([0; KEY])
    }
}

impl Steering {
    /// The hash that the front wants to be told, and the queue that a packet goes to.
    pub(super) fn steer(&self, packet: &Packet, queues: usize) -> (Option<Hash>, usize) {
        if self.algorithm == HashAlgorithm::NONE || self.types.is_empty() {
            return (None, own_choice(packet) as usize % queues);
        }
        let hash = packet.hash.or_else(|| self.hash(&packet.data));
        let value = hash.map_or(0, |hash| hash.value) as usize;
        let queue = match self.mapping.len() {
            0 => value % queues,
            entries => self.mapping[value % entries] as usize % queues,
        };
        (hash, queue)
    }

    fn hash(&self, data: &[u8]) -> Option<Hash> {
        let flow = Flow::of(data)?;
        let (plain, with_ports) = match flow.version {
            4 => (HashTypes::IPV4, HashTypes::IPV4_TCP),
            _ => (HashTypes::IPV6, HashTypes::IPV6_TCP),
        };
        let (kind, bytes) = match flow.ports {
            Some(ports) if self.types.contains(with_ports) => (with_ports, [flow.addresses, ports].concat()),
            _ if self.types.contains(plain) => (plain, flow.addresses.to_vec()),
            _ => return None,
        };
        let (kind, algorithm) = (kind.bits().trailing_zeros() as u8, HashAlgorithm::TOEPLITZ.0 as u8);
        Some(Hash { kind, algorithm, value: toeplitz(&self.key.0, &bytes) })
    }
}

/// What the front asks for on its control ring.
impl Steering {
    pub(super) const fn set_algorithm(&mut self, algorithm: HashAlgorithm) -> CtrlStatus {
        if !matches!(algorithm, HashAlgorithm::NONE | HashAlgorithm::TOEPLITZ) {
            return CtrlStatus::INVALID_PARAMETER;
        }
        self.algorithm = algorithm;
        CtrlStatus::SUCCESS
    }

    pub(super) fn types(&self) -> Result<HashTypes, CtrlStatus> {
        if self.algorithm == HashAlgorithm::NONE { Err(CtrlStatus::NOT_SUPPORTED) } else { Ok(KNOWN) }
    }

    pub(super) fn set_types(&mut self, types: HashTypes) -> CtrlStatus {
        if self.algorithm == HashAlgorithm::NONE || !KNOWN.contains(types) {
            return CtrlStatus::INVALID_PARAMETER;
        }
        self.types = types;
        CtrlStatus::SUCCESS
    }

    /// Sets the key; what is missing of it is zeros.
    pub(super) fn set_key(&mut self, key: &[u8]) {
        self.key = Key::default();
        self.key.0.iter_mut().zip(key).for_each(|(to, from)| *to = *from);
    }

    pub(super) fn set_mapping_size(&mut self, entries: usize, most: usize) -> CtrlStatus {
        if entries > most {
            return CtrlStatus::INVALID_PARAMETER;
        }
        self.mapping = vec![0; entries];
        CtrlStatus::SUCCESS
    }

    pub(super) fn set_mapping(&mut self, first: usize, entries: &[u32], queues: usize) -> CtrlStatus {
        let known = |queue: &u32| (*queue as usize) < queues;
        let end = first.saturating_add(entries.len());
        let place = self.mapping.get_mut(first..end).filter(|_| entries.iter().all(known));
        let Some(place) = place else { return CtrlStatus::INVALID_PARAMETER };
        place.copy_from_slice(entries);
        CtrlStatus::SUCCESS
    }
}

/// Toeplitz's hash, as netif.h describes it.
fn toeplitz(key: &[u8], bytes: &[u8]) -> u32 {
    let bit = |index: usize| key.get(index / 8).is_some_and(|byte| byte << (index % 8) & 0x80 != 0);
    let window = |from: usize| (from..from + 32).fold(0, |word, index| word << 1 | u32::from(bit(index)));
    let set = (0..bytes.len() * 8).filter(|index| bytes[index / 8] << (index % 8) & 0x80 != 0);
    set.fold(0, |hash, index| hash ^ window(index))
}

/// What a backend chooses by that is free to choose: packets of one flow stay in order.
fn own_choice(packet: &Packet) -> u32 {
    /// Any key: no front knows it.
    const KEY: [u8; 40] = [0x6d; 40];
    let Some(flow) = Flow::of(&packet.data) else { return 0 };
    toeplitz(&KEY, &[flow.addresses, flow.ports.unwrap_or_default()].concat())
}

/// The parts of a packet that say which flow it is of.
struct Flow<'a> {
    version: u8,
    addresses: &'a [u8],
    /// Of TCP only.
    ports: Option<&'a [u8]>,
}

impl<'a> Flow<'a> {
    fn of(data: &'a [u8]) -> Option<Self> {
        let packet = data.get(ETH_HLEN..)?;
        match *data.get(12..)?.first_chunk()? {
            ETH_IPV4 => Self::of_ipv4(packet),
            ETH_IPV6 => Self::of_ipv6(packet),
            _ => None,
        }
    }

    fn of_ipv4(packet: &'a [u8]) -> Option<Self> {
        let (addresses, header) = (packet.get(12..20)?, usize::from(packet[0] & 0xf) * 4);
        let is_fragment = (packet[6] & 0x3f, packet[7]) != (0, 0);
        let is_tcp = packet[9] == TCP && !is_fragment;
        Some(Self { version: 4, addresses, ports: packet.get(header..header + 4).filter(|_| is_tcp) })
    }

    fn of_ipv6(packet: &'a [u8]) -> Option<Self> {
        let addresses = packet.get(8..40)?;
        Some(Self { version: 6, addresses, ports: packet.get(40..44).filter(|_| packet[6] == TCP) })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The key and the flows that are commonly used to verify this hash.
    const KNOWN: [u8; 40] = [
        0x6d, 0x5a, 0x56, 0xda, 0x25, 0x5b, 0x0e, 0xc2, 0x41, 0x67, 0x25, 0x3d, 0x43, 0xa3, 0x8f, 0xb0, 0xd0, 0xca,
        0x2b, 0xcb, 0xae, 0x7b, 0x30, 0xb4, 0x77, 0xcb, 0x2d, 0xa3, 0x80, 0x30, 0xf2, 0x0c, 0x6a, 0x42, 0xb7, 0x3b,
        0xbe, 0xac, 0x01, 0xfa,
    ];

    fn tcp(source: [u8; 4], from: u16, destination: [u8; 4], to: u16) -> Packet {
        let mut data = vec![0; 12];
        data.extend([0x08, 0x00, 0x45, 0, 0, 40, 0, 0, 0, 0, 64, TCP, 0, 0]);
        data.extend([source, destination].concat());
        data.extend([from.to_be_bytes(), to.to_be_bytes()].concat());
        Packet::new(data)
    }

    fn steering(types: HashTypes) -> Steering {
        let mut steering = Steering::default();
        assert_eq!(steering.set_algorithm(HashAlgorithm::TOEPLITZ), CtrlStatus::SUCCESS);
        assert_eq!(steering.set_types(types), CtrlStatus::SUCCESS);
        steering.set_key(&KNOWN);
        steering
    }

    #[test]
    fn known_hashes() {
        let packet = tcp([66, 9, 149, 187], 2794, [161, 142, 100, 80], 1766);
        let hash = |types| steering(types).steer(&packet, 1).0.map(|hash| hash.value);
        assert_eq!(hash(HashTypes::IPV4), Some(0x323e_8fc2));
        assert_eq!(hash(HashTypes::IPV4 | HashTypes::IPV4_TCP), Some(0x51cc_c178));
        assert_eq!(hash(HashTypes::IPV6), None);
    }

    #[test]
    fn a_hash_leads_to_a_queue() {
        let mut steering = steering(HashTypes::IPV4);
        let packet = tcp([66, 9, 149, 187], 2794, [161, 142, 100, 80], 1766);
        assert_eq!(steering.steer(&packet, 3).1, 0x323e_8fc2 % 3);
        assert_eq!(steering.set_mapping_size(129, 128), CtrlStatus::INVALID_PARAMETER);
        assert_eq!(steering.set_mapping_size(4, 128), CtrlStatus::SUCCESS);
        assert_eq!(steering.set_mapping(2, &[1, 3], 3), CtrlStatus::INVALID_PARAMETER);
        assert_eq!(steering.set_mapping(3, &[1, 2], 3), CtrlStatus::INVALID_PARAMETER);
        assert_eq!(steering.set_mapping(2, &[1, 2], 3), CtrlStatus::SUCCESS);
        assert_eq!(steering.steer(&packet, 3).1, 1);
        assert_eq!(steering.steer(&Packet::new([0; 14]), 3), (None, 0));
    }

    #[test]
    fn without_hashes_a_flow_stays_in_its_queue() {
        let steering = Steering::default();
        let queues: Vec<usize> =
            (0..64).map(|port| steering.steer(&tcp([1, 2, 3, 4], port, [5, 6, 7, 8], 80), 4).1).collect();
        assert!((0..4).all(|queue| queues.contains(&queue)), "{queues:?}");
        let same = tcp([1, 2, 3, 4], 5, [5, 6, 7, 8], 80);
        assert_eq!(steering.steer(&same, 4), steering.steer(&same, 4));
    }
}
