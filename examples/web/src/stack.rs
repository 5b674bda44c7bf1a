//! What drives smoltcp on a network device: packets, and the address.

use alloc::vec::Vec;
use core::time::Duration;

use smoltcp::iface::{Config, Interface, PollIngressSingleResult, PollResult, SocketHandle, SocketSet};
use smoltcp::phy::Device;
use smoltcp::socket::dhcpv4;
use smoltcp::time::Instant;
use smoltcp::wire::{EthernetAddress, HardwareAddress, IpCidr, Ipv4Address, Ipv4Cidr};

use crate::address::Address;

/// How long the device is left alone that has no room.
const BREATH: Duration = Duration::from_millis(1);

/// A TCP/IP stack on one network device, which is the same in each call. Time is an argument, and never goes back.
pub struct Stack {
    interface: Interface,
    /// Bytes of a packet at most, as the stack knows it.
    most: usize,
    seed: u64,
    own: Option<Ipv4Cidr>,
    gateway: Option<Ipv4Address>,
    /// What is on it.
    pub sockets: SocketSet<'static>,
    dhcp: Option<SocketHandle>,
}

/// What became of the address.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Lease {
    /// It is this one now.
    Is(Ipv4Cidr),
    /// It is gone.
    Ended,
}

impl Stack {
    /// So many packets are taken in one turn at most.
    pub const BURST: usize = 64;

    /// A stack. `mac` is the device's address, and `seed` what nobody can guess: the numbers that begin connections come from it.
    #[must_use]
    pub fn new<D: Device>(device: &mut D, mac: [u8; 6], address: Address, seed: u64) -> Self {
        let interface = interface(device, mac, seed);
        let most = device.capabilities().max_transmission_unit;
        let mut stack =
            Self { interface, most, seed, own: None, gateway: None, sockets: SocketSet::new(Vec::new()), dhcp: None };
        match address {
            Address::Dhcp => stack.dhcp = Some(stack.sockets.add(dhcpv4::Socket::new())),
            Address::Static { address, gateway } => stack.set_address(Some(address), gateway),
        }
        stack
    }

    /// The address, once there is one.
    #[must_use]
    pub fn address(&self) -> Option<Ipv4Address> {
        self.interface.ipv4_addr()
    }

    /// The device is connected again, maybe with another address of its own, and another MTU. The stack's address, its sockets and
    /// their connections stay.
    pub fn connected<D: Device>(&mut self, device: &mut D, mac: [u8; 6]) {
        let most = device.capabilities().max_transmission_unit;
        if core::mem::replace(&mut self.most, most) == most {
            self.interface.set_hardware_addr(hardware(mac));
            return;
        }
        // It is asked once how long packets may be.
        self.interface = interface(device, mac, self.seed.wrapping_add(1));
        self.set_address(self.own, self.gateway);
    }

    /// Takes packets, but not for ever: a turn has an end, however fast they come.
    pub fn receive<D: Device>(&mut self, device: &mut D, now: Duration) {
        for _ in 0..Self::BURST {
            if self.receive_one(device, now) == PollIngressSingleResult::None {
                return;
            }
        }
    }

    /// Takes one packet, if there is one, and room to answer it.
    pub fn receive_one<D: Device>(&mut self, device: &mut D, now: Duration) -> PollIngressSingleResult {
        self.interface.poll_ingress_single(instant(now), device, &mut self.sockets)
    }

    /// Sends what the sockets have, as far as there is room for it.
    pub fn transmit<D: Device>(&mut self, device: &mut D, now: Duration) {
        self.interface.poll_maintenance(instant(now));
        // It ends: there is no more than what the sockets hold.
        while self.interface.poll_egress(instant(now), device, &mut self.sockets) != PollResult::None {}
    }

    /// Goes along with what DHCP says.
    pub fn take_lease(&mut self) -> Option<Lease> {
        let lease = match self.sockets.get_mut::<dhcpv4::Socket<'_>>(self.dhcp?).poll()? {
            dhcpv4::Event::Configured(lease) => Some((lease.address, lease.router)),
            dhcpv4::Event::Deconfigured => None,
        };
        self.set_address(lease.map(|(address, _)| address), lease.and_then(|(_, gateway)| gateway));
        Some(lease.map_or(Lease::Ended, |(address, _)| Lease::Is(address)))
    }

    /// When there is something to do, if no packet comes before. To be asked for after [`transmit`](Self::transmit).
    #[must_use]
    pub fn next_deadline(&mut self, now: Duration) -> Option<Duration> {
        // All that there was room for was sent: what is to go at once waits for the device, which has an event then.
        let delay = self.interface.poll_delay(instant(now), &self.sockets)?;
        Some(now + Duration::from(delay).max(BREATH))
    }

    fn set_address(&mut self, address: Option<Ipv4Cidr>, gateway: Option<Ipv4Address>) {
        (self.own, self.gateway) = (address, gateway);
        self.interface.update_ip_addrs(|addresses| {
            addresses.clear();
            // There is room for more than one.
            addresses.extend(address.map(IpCidr::Ipv4));
        });
        self.interface.routes_mut().remove_default_ipv4_route();
        if let Some(gateway) = gateway {
            // There is room for it: the old one is gone.
            let _ = self.interface.routes_mut().add_default_ipv4_route(gateway);
        }
    }
}

impl core::fmt::Debug for Stack {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        f.debug_struct("Stack").field("address", &self.address()).finish_non_exhaustive()
    }
}

fn interface<D: Device>(device: &mut D, mac: [u8; 6], seed: u64) -> Interface {
    let mut config = Config::new(hardware(mac));
    config.random_seed = seed;
    Interface::new(config, device, Instant::ZERO)
}

const fn hardware(mac: [u8; 6]) -> HardwareAddress {
    HardwareAddress::Ethernet(EthernetAddress(mac))
}

fn instant(time: Duration) -> Instant {
    Instant::from_micros(i64::try_from(time.as_micros()).unwrap_or(i64::MAX))
}
