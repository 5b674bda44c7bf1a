//! The server: the network's stack, the connections, and what drives them.

use alloc::vec;
use alloc::vec::Vec;
use core::time::Duration;

use smoltcp::iface::{Config, Interface, PollIngressSingleResult, PollResult, SocketHandle, SocketSet};
use smoltcp::phy::Device;
use smoltcp::socket::{dhcpv4, tcp};
use smoltcp::time::Instant;
use smoltcp::wire::{EthernetAddress, HardwareAddress, IpCidr, Ipv4Address, Ipv4Cidr};

use crate::address::Address;
use crate::connection::{Connection, Turn};
use crate::figures::Figures;
use crate::files::Files;
use crate::site::{Counts, Site};

/// So many packets are taken at a time; then the connections have their turn.
const BURST: usize = 64;
/// How often the sockets send in one turn at most.
const ROUNDS: usize = 16;
/// Bytes that a socket takes at most before they are looked at.
const RECEIVE: usize = 2 << 10;
/// Bytes that are under way to a client at most.
const SEND: usize = 8 << 10;
/// How long the device is left alone that has no room.
const BREATH: Duration = Duration::from_millis(1);
/// How many sockets are to be free for the next clients: one in so many, up to [`MOST_SPARE`].
const SPARE_ONE_IN: usize = 4;
const MOST_SPARE: usize = 4;

/// How the server is set up.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Options {
    /// The port, which is not 0.
    pub port: u16,
    /// How many connections there are at a time, in 10 KiB of memory each.
    pub connections: usize,
    /// What nobody can guess: the numbers that begin connections come from it.
    pub seed: u64,
}

impl Options {
    /// Port 80, 64 connections.
    pub const DEFAULT: Self = Self { port: 80, connections: 64, seed: 0 };

    /// With so many connections.
    #[must_use]
    pub const fn with_connections(self, connections: usize) -> Self {
        Self { connections, ..self }
    }

    /// With a seed.
    #[must_use]
    pub const fn with_seed(self, seed: u64) -> Self {
        Self { seed, ..self }
    }
}

/// An HTTP server on a network device. Everything that it does is done by [`poll`](Self::poll).
pub struct Web<F: Files, G> {
    interface: Interface,
    sockets: SocketSet<'static>,
    dhcp: Option<SocketHandle>,
    connections: Vec<Connection<F::File>>,
    site: Site<F, G>,
    port: u16,
    /// There is more to do at once.
    turn: Turn,
}

impl<F: Files, G> Web<F, G> {
    /// A server that nobody reaches before it is polled. `mac` is the device's address.
    #[must_use]
    pub fn new<D: Device>(
        device: &mut D,
        mac: [u8; 6],
        address: Address,
        files: F,
        figures: G,
        options: Options,
    ) -> Self
    where
        G: Figures<D>,
    {
        let mut config = Config::new(HardwareAddress::Ethernet(EthernetAddress(mac)));
        config.random_seed = options.seed;
        let mut interface = Interface::new(config, device, Instant::ZERO);
        let mut sockets = SocketSet::new(Vec::new());
        let connections = (0..options.connections).map(|_| Connection::new(sockets.add(socket()))).collect();
        let dhcp = match address {
            Address::Dhcp => Some(sockets.add(dhcpv4::Socket::new())),
            Address::Static { address, gateway } => {
                set_address(&mut interface, Some(address), gateway);
                None
            }
        };
        let site = Site::new(files, figures);
        Self { interface, sockets, dhcp, connections, site, port: options.port, turn: Turn::Done }
    }

    /// The address, once there is one.
    #[must_use]
    pub fn address(&self) -> Option<Ipv4Address> {
        self.interface.ipv4_addr()
    }

    /// What was done so far.
    #[must_use]
    pub const fn counts(&self) -> Counts {
        self.site.counts
    }

    /// The device is connected, for the first time or again, maybe to another network: its address is this one now.
    pub fn connected(&mut self, mac: [u8; 6]) {
        self.interface.set_hardware_addr(HardwareAddress::Ethernet(EthernetAddress(mac)));
        if let Some(dhcp) = self.dhcp {
            self.sockets.get_mut::<dhcpv4::Socket<'_>>(dhcp).reset();
        }
    }

    /// Takes packets, answers, and sends; never waits for anything but files. `now` never goes back.
    pub fn poll<D: Device>(&mut self, device: &mut D, now: Duration)
    where
        G: Figures<D>,
    {
        self.site.sample(device, now);
        self.turn = self.receive(device, now);
        self.transmit(device, now);
        self.take_lease();
        self.serve(device, now);
        self.make_room(now);
        self.transmit(device, now);
    }

    /// When to poll at the latest: `now` where there is more to do.
    #[must_use]
    pub fn next_deadline(&mut self, now: Duration) -> Duration {
        if self.turn == Turn::More {
            return now;
        }
        // All that could be sent was sent: what is to go at once waits for the device, which has an event then.
        let delay = self.interface.poll_delay(instant(now), &self.sockets);
        let network = delay.map(|delay| now + Duration::from(delay).max(BREATH));
        let limits = self.connections.iter().map(Connection::limit);
        limits.chain(network).fold(self.site.next_sample(), Duration::min).max(now)
    }

    fn receive<D: Device>(&mut self, device: &mut D, now: Duration) -> Turn {
        for _ in 0..BURST {
            if self.interface.poll_ingress_single(instant(now), device, &mut self.sockets)
                == PollIngressSingleResult::None
            {
                return Turn::Done;
            }
        }
        Turn::More
    }

    fn transmit<D: Device>(&mut self, device: &mut D, now: Duration) {
        for _ in 0..ROUNDS {
            if self.interface.poll_egress(instant(now), device, &mut self.sockets) == PollResult::None {
                return;
            }
        }
        self.turn = Turn::More;
    }

    /// Goes along with what DHCP says.
    fn take_lease(&mut self) {
        let Some(dhcp) = self.dhcp else { return };
        match self.sockets.get_mut::<dhcpv4::Socket<'_>>(dhcp).poll() {
            Some(dhcpv4::Event::Configured(lease)) => {
                set_address(&mut self.interface, Some(lease.address), lease.router);
            }
            Some(dhcpv4::Event::Deconfigured) => set_address(&mut self.interface, None, None),
            None => {}
        }
    }

    fn serve<D: Device>(&mut self, device: &D, now: Duration)
    where
        G: Figures<D>,
    {
        for connection in &mut self.connections {
            connection.follow(self.sockets.get_mut(connection.handle), &mut self.site, self.port, now);
        }
        self.site.counts.open = self.connections.iter().filter(|connection| connection.is_open()).count() as u64;
        for connection in &mut self.connections {
            let socket = self.sockets.get_mut(connection.handle);
            if connection.turn(socket, &mut self.site, device, now) == Turn::More {
                self.turn = Turn::More;
            }
        }
    }

    /// Ends connections whose clients have done nothing for longest, where too few sockets are left for others.
    fn make_room(&mut self, now: Duration) {
        let spare = (self.connections.len() / SPARE_ONE_IN).clamp(1, MOST_SPARE);
        let free = self.connections.iter().filter(|connection| connection.is_free(now)).count();
        for _ in free..spare {
            let ranked = self.connections.iter_mut().filter_map(|one| Some((one.rank(now)?, one)));
            let Some((_, connection)) = ranked.min_by_key(|(rank, _)| *rank) else { return };
            self.site.counts.cut += 1;
            connection.evict(self.sockets.get_mut(connection.handle), now);
        }
    }
}

impl<F: Files, G> core::fmt::Debug for Web<F, G> {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        f.debug_struct("Web").field("address", &self.address()).field("counts", &self.counts()).finish_non_exhaustive()
    }
}

fn socket() -> tcp::Socket<'static> {
    let buffer = |size| tcp::SocketBuffer::new(vec![0; size]);
    let mut socket = tcp::Socket::new(buffer(RECEIVE), buffer(SEND));
    // Answers are written whole, and nobody is to wait for their last piece.
    socket.set_nagle_enabled(false);
    socket
}

fn set_address(interface: &mut Interface, address: Option<Ipv4Cidr>, gateway: Option<Ipv4Address>) {
    interface.update_ip_addrs(|addresses| {
        addresses.clear();
        // There is room for more than one.
        addresses.extend(address.map(IpCidr::Ipv4));
    });
    interface.routes_mut().remove_default_ipv4_route();
    if let Some(gateway) = gateway {
        // There is room for it: the old one is gone.
        let _ = interface.routes_mut().add_default_ipv4_route(gateway);
    }
}

fn instant(time: Duration) -> Instant {
    Instant::from_micros(i64::try_from(time.as_micros()).unwrap_or(i64::MAX))
}
