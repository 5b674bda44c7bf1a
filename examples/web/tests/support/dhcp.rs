//! Who gives addresses to machines that ask.

use smoltcp::iface::{SocketHandle, SocketSet};
use smoltcp::socket::udp::{PacketBuffer, PacketMetadata, Socket};
use smoltcp::wire::{DhcpMessageType, DhcpPacket, DhcpRepr, Ipv4Address};

use super::{CLIENT, SERVER};

/// A server for one address.
pub(crate) struct Dhcp {
    socket: SocketHandle,
    /// For how long an address is given, in seconds.
    pub(crate) lease: u32,
    pub(crate) mood: Mood,
    /// How often an address was given or confirmed.
    pub(crate) given: usize,
}

#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) enum Mood {
    Helpful,
    Silent,
}

impl Dhcp {
    pub(crate) fn new(sockets: &mut SocketSet<'static>, lease: u32) -> Self {
        let buffer = || PacketBuffer::new(vec![PacketMetadata::EMPTY; 8], vec![0; 8192]);
        let mut socket = Socket::new(buffer(), buffer());
        socket.bind(67).expect("it is a new socket");
        Self { socket: sockets.add(socket), lease, mood: Mood::Helpful, given: 0 }
    }

    pub(crate) fn poll(&mut self, sockets: &mut SocketSet<'static>) {
        let socket = sockets.get_mut::<Socket>(self.socket);
        while let Ok((bytes, _)) = socket.recv() {
            let packet = DhcpPacket::new_checked(bytes).expect("it is a packet of DHCP");
            let asked = DhcpRepr::parse(&packet).expect("it can be understood");
            let answer = self.answer(&asked);
            if self.mood == Mood::Helpful {
                let mut bytes = vec![0; answer.buffer_len()];
                answer.emit(&mut DhcpPacket::new_unchecked(&mut bytes[..])).expect("there is room");
                socket.send_slice(&bytes, (Ipv4Address::BROADCAST, 68)).expect("there is room");
            }
        }
    }

    fn answer(&mut self, asked: &DhcpRepr<'_>) -> DhcpRepr<'static> {
        let message_type = match asked.message_type {
            DhcpMessageType::Discover => DhcpMessageType::Offer,
            _ => {
                self.given += usize::from(self.mood == Mood::Helpful);
                DhcpMessageType::Ack
            }
        };
        DhcpRepr {
            message_type,
            transaction_id: asked.transaction_id,
            secs: 0,
            client_hardware_address: asked.client_hardware_address,
            client_ip: Ipv4Address::UNSPECIFIED,
            your_ip: SERVER.into(),
            server_ip: CLIENT.into(),
            router: Some(CLIENT.into()),
            subnet_mask: Some(Ipv4Address::new(255, 255, 255, 0)),
            relay_agent_ip: Ipv4Address::UNSPECIFIED,
            broadcast: true,
            requested_ip: None,
            client_identifier: None,
            server_identifier: Some(CLIENT.into()),
            parameter_request_list: None,
            dns_servers: None,
            max_size: None,
            lease_duration: Some(self.lease),
            renew_duration: None,
            rebind_duration: None,
            additional_options: &[],
        }
    }
}
