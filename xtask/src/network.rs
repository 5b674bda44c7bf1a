//! What a guest's network interface is connected to: addresses, and the ways in and out.
//!
//! The guest's interface is on a bridge of domain 0's. So is, where a guest has a [`Network`], a card of QEMU's user network, which
//! needs no root: it takes connections on this machine's 127.0.0.1 and passes them on to the guest.

use std::collections::BTreeSet;
use std::fmt;
use std::io::ErrorKind;
use std::net::{Ipv4Addr, TcpListener, UdpSocket};
use std::str::FromStr;

use anyhow::{Context as _, Result, anyhow, bail, ensure};

use crate::boot::GuestSpec;

/// The network of all: one that guests, documents and scripts can know by heart.
const NETWORK: &str = "10.0.0.0/24";
/// Domain 0 on its bridge `br0` (`dom0/init.sh`), there with or without a network of QEMU's. It is the guest's gateway.
pub const DOM0: Ipv4Addr = Ipv4Addr::new(10, 0, 0, 1);
/// QEMU, from where forwarded connections come: the second address, as QEMU has it by default.
pub const HOST: Ipv4Addr = Ipv4Addr::new(10, 0, 0, 2);
/// The name server that QEMU plays.
pub const DNS: Ipv4Addr = Ipv4Addr::new(10, 0, 0, 3);
/// The guest. It is also the first address that QEMU's DHCP gives, so that a guest that asks for its address has the same one as
/// one that is told, and forwards lead to both.
pub const GUEST: Ipv4Addr = Ipv4Addr::new(10, 0, 0, 15);
/// The guest's hardware address: of Xen's range, with the last number of its address. It is always the same, as is the
/// address, so that nobody's ARP table is wrong when one guest follows another.
pub const GUEST_MAC: &str = "00:16:3e:00:00:0f";

/// A guest's interface on domain 0's bridge, with QEMU's user network behind it, which gives addresses by DHCP.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Network {
    /// Ports of this machine that lead to the guest.
    pub forwards: Vec<Forward>,
    /// Whether the guest reaches more than domain 0.
    pub outside: Outside,
}

/// Whether a guest reaches this machine and what lies beyond.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum Outside {
    /// No: only those who connect to it have an answer.
    #[default]
    Closed,
    /// Yes, this machine's own services on 127.0.0.1 included (as 10.0.0.2).
    Open,
}

/// A port of this machine's 127.0.0.1 that leads to one of the guest's.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct Forward {
    /// TCP or UDP.
    pub protocol: Protocol,
    /// The port of this machine; 0 is for one that is free.
    pub host: u16,
    /// The guest's port.
    pub guest: u16,
}

/// What is forwarded.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Protocol {
    /// Connections.
    Tcp,
    /// Datagrams.
    Udp,
}

impl Network {
    /// Returns the same with ports that are known and free, as far as one can tell beforehand.
    ///
    /// # Errors
    ///
    /// When a port is in use, is not for this user, or leads to two places.
    pub fn with_free_ports(mut self) -> Result<Self> {
        for forward in &mut self.forwards {
            *forward = forward.with_free_port()?;
        }
        ensure_one_way(&self.forwards)?;
        Ok(self)
    }

    /// Returns the words that tell a guest its address, as far as its command line does not.
    #[must_use]
    pub fn arguments(&self, known: &str) -> String {
        let tells = |key: &str| known.split_whitespace().any(|word| word.starts_with(key));
        if tells("ip=") {
            return String::new();
        }
        let name_server = if self.outside == Outside::Open { format!(" dns={DNS}") } else { String::new() };
        format!("ip={GUEST}/24 gw={DOM0}{name_server}")
    }

    /// Returns the line of the guest's xl configuration.
    pub(crate) fn config() -> String {
        format!("vif = [\"mac={GUEST_MAC},bridge=br0\"]")
    }
}

impl Forward {
    /// Returns a forward of TCP connections from a port that is free now.
    ///
    /// # Errors
    ///
    /// When there is none.
    pub fn to_tcp(guest: u16) -> Result<Self> {
        Self { protocol: Protocol::Tcp, host: 0, guest }.with_free_port()
    }

    /// It is QEMU that takes the port, a little later: another program can be quicker, and then QEMU says so.
    fn with_free_port(self) -> Result<Self> {
        let wanted = (Ipv4Addr::LOCALHOST, self.host);
        let address = match self.protocol {
            Protocol::Tcp => TcpListener::bind(wanted).and_then(|listener| listener.local_addr()),
            Protocol::Udp => UdpSocket::bind(wanted).and_then(|socket| socket.local_addr()),
        };
        let address = address.map_err(|error| anyhow!(self.explain(&error)))?;
        Ok(Self { host: address.port(), ..self })
    }

    fn explain(self, error: &std::io::Error) -> String {
        let Self { protocol, host, guest } = self;
        let free = format!("--forward 0:{guest} takes one that is free");
        match error.kind() {
            ErrorKind::AddrInUse => format!("{protocol} port {host} of this machine is in use: {free}"),
            ErrorKind::PermissionDenied => format!("{protocol} port {host} of this machine is only for root: {free}"),
            _ => format!("cannot use {protocol} port {host} of this machine ({error})"),
        }
    }
}

impl FromStr for Forward {
    type Err = anyhow::Error;

    /// Reads `HOST:GUEST`, with `/udp` behind it for datagrams.
    fn from_str(text: &str) -> Result<Self> {
        let (ports, protocol) = match text.split_once('/') {
            None => (text, Protocol::Tcp),
            Some((ports, "tcp")) => (ports, Protocol::Tcp),
            Some((ports, "udp")) => (ports, Protocol::Udp),
            Some((_, other)) => bail!("it is tcp or udp that is forwarded, not {other}"),
        };
        let (host, guest) = ports.split_once(':').context("it is a port of this machine, a colon, and the guest's")?;
        let port = |text: &str| text.parse::<u16>().with_context(|| format!("{text:?} is no port"));
        let forward = Self { protocol, host: port(host)?, guest: port(guest)? };
        ensure!(forward.guest != 0, "the guest has no port 0");
        Ok(forward)
    }
}

impl fmt::Display for Forward {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { protocol, host, guest } = self;
        write!(f, "{}:{host} leads to {protocol} port {guest} of the guest", Ipv4Addr::LOCALHOST)
    }
}

impl fmt::Display for Protocol {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Tcp => "TCP",
            Self::Udp => "UDP",
        })
    }
}

/// What QEMU connects to domain 0's bridge, for all guests of a boot.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Uplink {
    forwards: BTreeSet<Forward>,
    outside: Outside,
}

impl Uplink {
    /// Adds up what guests want; nothing, if none of them has a network.
    pub(crate) fn of(guests: &[GuestSpec]) -> Result<Option<Self>> {
        let mut uplink = None;
        for network in guests.iter().filter_map(|guest| guest.network.as_ref()) {
            let all = uplink.get_or_insert(Self { forwards: BTreeSet::new(), outside: Outside::Closed });
            all.forwards.extend(&network.forwards);
            if network.outside == Outside::Open {
                all.outside = Outside::Open;
            }
        }
        if let Some(uplink) = &uplink {
            ensure_one_way(&uplink.forwards)?;
        }
        Ok(uplink)
    }

    /// Returns the word for domain 0's init.
    pub(crate) const fn word(&self) -> &'static str {
        match self.outside {
            Outside::Closed => "closed",
            Outside::Open => "open",
        }
    }

    /// Returns the words for QEMU. The card is virtio's, whose bus driver domain 0 has for its port in any case.
    pub(crate) fn arguments(&self) -> [String; 4] {
        let restrict = if self.outside == Outside::Closed { "on" } else { "off" };
        let mut user = format!("user,id=uplink,net={NETWORK},host={HOST},dns={DNS},dhcpstart={GUEST}");
        // QEMU's router advertisements would be packets that nobody has asked for.
        user += &format!(",ipv6=off,restrict={restrict}");
        for Forward { protocol, host, guest } in &self.forwards {
            let protocol = protocol.to_string().to_lowercase();
            user += &format!(",hostfwd={protocol}:{}:{host}-{GUEST}:{guest}", Ipv4Addr::LOCALHOST);
        }
        let card = "virtio-net-pci,netdev=uplink,romfile=".to_owned();
        ["-netdev".to_owned(), user, "-device".to_owned(), card]
    }
}

fn ensure_one_way<'a>(forwards: impl IntoIterator<Item = &'a Forward>) -> Result<()> {
    let mut seen = BTreeSet::new();
    for forward in forwards {
        let new = seen.insert((forward.protocol, forward.host));
        ensure!(new, "{} port {} of this machine leads to two places", forward.protocol, forward.host);
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn forward(host: u16, guest: u16) -> Forward {
        Forward { protocol: Protocol::Tcp, host, guest }
    }

    fn guest(forwards: &[Forward], outside: Outside) -> GuestSpec {
        let network = Some(Network { forwards: forwards.to_vec(), outside });
        GuestSpec { network, ..GuestSpec::new("a", "/elf") }
    }

    #[test]
    fn forwards_are_read_as_docker_has_them() {
        assert_eq!("8080:80".parse::<Forward>().unwrap(), forward(8080, 80));
        assert_eq!("0:80/tcp".parse::<Forward>().unwrap(), forward(0, 80));
        assert_eq!(
            "53:5353/udp".parse::<Forward>().unwrap().to_string(),
            "127.0.0.1:53 leads to UDP port 5353 of the guest"
        );
        for wrong in ["80", "a:80", "80:0", "80:65536", "80:80/sctp", "127.0.0.1:80:80", ""] {
            assert!(wrong.parse::<Forward>().is_err(), "{wrong:?}");
        }
    }

    #[test]
    fn a_port_that_is_in_use_is_told_before_the_boot() {
        let taken = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).unwrap();
        let port = taken.local_addr().unwrap().port();
        let network = |host| Network { forwards: vec![forward(host, 80)], ..Network::default() }.with_free_ports();
        let error = network(port).unwrap_err().to_string();
        assert_eq!(error, format!("TCP port {port} of this machine is in use: --forward 0:80 takes one that is free"));
        let free = network(0).unwrap().forwards[0];
        assert!(free.host != 0 && free.host != port && free.guest == 80, "{free:?}");
    }

    #[test]
    fn a_port_leads_to_one_place() {
        let (one, other) = (forward(8080, 80), forward(8080, 81));
        assert!(Uplink::of(&[guest(&[one], Outside::Closed), guest(&[one], Outside::Closed)]).is_ok());
        let error = Uplink::of(&[guest(&[one], Outside::Closed), guest(&[other], Outside::Closed)]).unwrap_err();
        assert_eq!(error.to_string(), "TCP port 8080 of this machine leads to two places");
        let udp = Forward { protocol: Protocol::Udp, ..other };
        assert!(Uplink::of(&[guest(&[one, udp], Outside::Closed)]).is_ok());
    }

    #[test]
    fn a_machine_has_what_all_its_guests_want() {
        let none = GuestSpec::new("a", "/elf");
        assert_eq!(Uplink::of(std::slice::from_ref(&none)).unwrap(), None);
        let closed = guest(&[forward(8080, 80)], Outside::Closed);
        let words = Uplink::of(&[none, closed.clone()]).unwrap().unwrap().arguments();
        assert!(words[1].ends_with(",restrict=on,hostfwd=tcp:127.0.0.1:8080-10.0.0.15:80"), "{}", words[1]);
        let both = Uplink::of(&[closed, guest(&[], Outside::Open)]).unwrap().unwrap();
        assert!(both.arguments()[1].contains(",restrict=off,hostfwd="), "{both:?}");
        assert_eq!(both.word(), "open");
    }

    #[test]
    fn a_guest_is_told_its_address_unless_it_knows_one() {
        let network = Network::default();
        assert_eq!(network.arguments("a b"), "ip=10.0.0.15/24 gw=10.0.0.1");
        assert_eq!(network.arguments("a ip=dhcp"), "");
        assert_eq!(network.arguments("zip=1"), "ip=10.0.0.15/24 gw=10.0.0.1");
        let open = Network { outside: Outside::Open, ..network };
        assert_eq!(open.arguments(""), "ip=10.0.0.15/24 gw=10.0.0.1 dns=10.0.0.3");
    }

    #[test]
    fn scripts_have_the_same_addresses() {
        let init = include_str!("dom0/init.sh");
        assert!(init.contains(&format!("ip addr add {DOM0}/24 dev br0")) && init.contains(&format!("via {HOST}\n")));
        assert!(include_str!("dom0/networks.sh").contains(&format!("guest_address={GUEST}\n")));
        assert!(GUEST_MAC.ends_with(&format!(":{:02x}", GUEST.octets()[3])));
    }
}
