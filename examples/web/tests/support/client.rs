//! A machine that connects to the server: as often, as fast and as politely as a test wants.

use std::collections::HashMap;
use std::time::Duration;

use smoltcp::iface::{Config, Interface, SocketHandle, SocketSet};
use smoltcp::socket::tcp::{Socket, SocketBuffer, State};
use smoltcp::time::Instant;
use smoltcp::wire::{EthernetAddress, IpAddress, IpCidr};

use super::dhcp::Dhcp;
use super::wire::Port;
use super::{CLIENT, SERVER};

/// A connection.
pub(crate) type Peer = SocketHandle;

/// How a client treats what it is sent.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) enum Manners {
    /// It takes everything at once.
    Keen,
    /// It takes nothing, until it is told to.
    Stuck,
}

/// What belongs to a connection.
struct Talk {
    manners: Manners,
    to_say: Vec<u8>,
    heard: Vec<u8>,
}

pub(crate) struct Client {
    pub(crate) interface: Interface,
    pub(crate) sockets: SocketSet<'static>,
    pub(crate) port: Port,
    pub(crate) dhcp: Option<Dhcp>,
    peers: HashMap<Peer, Talk>,
    aborted: Vec<Peer>,
    next_port: u16,
}

impl Client {
    pub(crate) fn new(mut port: Port) -> Self {
        let mut config = Config::new(EthernetAddress([2, 0, 0, 0, 0, 1]).into());
        config.random_seed = 1;
        let mut interface = Interface::new(config, &mut port, Instant::ZERO);
        let [a, b, c, d] = CLIENT;
        interface.update_ip_addrs(|all| all.push(IpCidr::new(IpAddress::v4(a, b, c, d), 24)).expect("there is room"));
        Self {
            interface,
            sockets: SocketSet::new(Vec::new()),
            port,
            dhcp: None,
            peers: HashMap::new(),
            aborted: Vec::new(),
            next_port: 49_152,
        }
    }

    /// Gives the server its address, for so many seconds at a time.
    pub(crate) fn give_addresses(&mut self, lease: u32) {
        self.dhcp = Some(Dhcp::new(&mut self.sockets, lease));
    }

    /// Forgets who has which address.
    pub(crate) fn forget_neighbours(&mut self) {
        // It does so where its own address changes.
        self.interface.update_ip_addrs(|_| {});
    }

    pub(crate) fn connect(&mut self) -> Peer {
        self.connect_with(Manners::Keen, 64 << 10)
    }

    /// `window`: what it takes without being asked.
    pub(crate) fn connect_with(&mut self, manners: Manners, window: usize) -> Peer {
        let mut socket = Socket::new(SocketBuffer::new(vec![0; window]), SocketBuffer::new(vec![0; 32 << 10]));
        socket.set_nagle_enabled(false);
        let [a, b, c, d] = SERVER;
        let port = self.next_port;
        self.next_port = if port == u16::MAX { 49_152 } else { port + 1 };
        socket.connect(self.interface.context(), (IpAddress::v4(a, b, c, d), 80), port).expect("it is a new socket");
        let peer = self.sockets.add(socket);
        self.peers.insert(peer, Talk { manners, to_say: Vec::new(), heard: Vec::new() });
        peer
    }

    pub(crate) fn say(&mut self, peer: Peer, bytes: &[u8]) {
        self.of(peer).to_say.extend_from_slice(bytes);
    }

    /// What has been heard and not been taken yet.
    pub(crate) fn heard(&mut self, peer: Peer) -> &mut Vec<u8> {
        &mut self.of(peer).heard
    }

    /// Takes as much as there is, up to a number of bytes.
    pub(crate) fn take(&mut self, peer: Peer, most: usize) -> usize {
        let mut bytes = vec![0; most];
        let count = self.socket(peer).recv_slice(&mut bytes).unwrap_or(0);
        self.of(peer).heard.extend_from_slice(&bytes[..count]);
        count
    }

    pub(crate) fn state(&mut self, peer: Peer) -> State {
        self.socket(peer).state()
    }

    /// Whether the server can still say something, or has.
    pub(crate) fn is_connected(&mut self, peer: Peer) -> bool {
        matches!(self.state(peer), State::Established | State::FinWait1 | State::FinWait2)
    }

    /// Says that nothing more comes.
    pub(crate) fn close(&mut self, peer: Peer) {
        self.socket(peer).close();
    }

    /// Breaks a connection off, and forgets it once the server has been told.
    pub(crate) fn abort(&mut self, peer: Peer) {
        self.socket(peer).abort();
        self.peers.remove(&peer);
        self.aborted.push(peer);
    }

    /// Forgets a connection without a word.
    pub(crate) fn vanish(&mut self, peer: Peer) {
        self.sockets.remove(peer);
        self.peers.remove(&peer);
    }

    pub(crate) fn poll(&mut self, now: Duration) {
        self.interface.poll(instant(now), &mut self.port, &mut self.sockets);
        if let Some(dhcp) = &mut self.dhcp {
            dhcp.poll(&mut self.sockets);
        }
        let peers: Vec<Peer> = self.peers.keys().copied().collect();
        for peer in peers {
            self.talk(peer);
        }
        for peer in self
            .aborted
            .extract_if(.., |peer| self.sockets.get::<Socket>(*peer).remote_endpoint().is_none())
            .collect::<Vec<_>>()
        {
            self.sockets.remove(peer);
        }
        self.interface.poll(instant(now), &mut self.port, &mut self.sockets);
    }

    pub(crate) fn next_deadline(&mut self, now: Duration) -> Duration {
        let delay = self.interface.poll_delay(instant(now), &self.sockets);
        delay.map_or(Duration::MAX, |delay| now + Duration::from(delay))
    }

    fn talk(&mut self, peer: Peer) {
        let state = self.peers.get_mut(&peer).expect("it is known");
        let socket = self.sockets.get_mut::<Socket>(peer);
        if socket.can_send() {
            let count = socket.send_slice(&state.to_say).unwrap_or(0);
            state.to_say.drain(..count);
        }
        while state.manners == Manners::Keen && socket.can_recv() {
            let heard = &mut state.heard;
            let _ = socket.recv(|bytes| {
                heard.extend_from_slice(bytes);
                (bytes.len(), ())
            });
        }
    }

    fn socket(&mut self, peer: Peer) -> &mut Socket<'static> {
        self.sockets.get_mut(peer)
    }

    fn of(&mut self, peer: Peer) -> &mut Talk {
        self.peers.get_mut(&peer).expect("it is known")
    }
}

pub(crate) fn instant(time: Duration) -> Instant {
    Instant::from_micros(time.as_micros() as i64)
}
