//! A TCP/IP stack on the guest's first network interface.

use alloc::boxed::Box;
use alloc::format;
use alloc::string::String;
use core::error::Error;
use core::fmt;
use core::time::Duration;

use smoltcp::iface::{Config, Interface, PollIngressSingleResult, SocketHandle, SocketSet};
use smoltcp::socket::dhcpv4;
use smoltcp::time::Instant;
use smoltcp::wire::{EthernetAddress, HardwareAddress, IpCidr, Ipv4Address, Ipv4Cidr};
use xen_rt::netfront::{Event, Interfaces, Netfront, Options, announcement};
use xen_rt::xenbus::Store;
use xen_rt::xenbus::control::{Command, Epoch, Ready, Resumable as _};
use xen_rt::{CommandLine, Guest, Suspended, Xen, println};

use crate::Requests;

/// How long an interface may take to come.
const PATIENCE: Duration = Duration::from_secs(60);
/// How long xenstore may take to come to rest before a suspend.
const REST: Duration = Duration::from_secs(10);
/// How often is looked whether the interface has come to rest.
const TICK: Duration = Duration::from_millis(10);
/// How long the guest sleeps where nothing is to be done.
const LONG: Duration = Duration::from_secs(60);

/// The guest's first network interface, a stack on it, and what the toolstack asks for.
///
/// The address is the command line's, `ip=10.0.0.15/24 gw=10.0.0.1`; without one it is asked for by DHCP.
pub struct Network<'a> {
    guest: &'a Guest,
    store: Store<Xen>,
    requests: Requests,
    interfaces: Interfaces<Xen>,
    number: u32,
    stack: Interface,
    sockets: SocketSet<'static>,
    dhcp: Option<SocketHandle>,
    /// Bytes of a packet at most, as the stack knows it.
    mtu: u16,
    addresses: Option<Addresses>,
}

/// What a turn was about.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Turn {
    /// There may be something to do.
    Work,
    /// The guest is asked to end.
    End,
}

impl<'a> Network<'a> {
    /// Waits for an interface, and makes a stack on it.
    ///
    /// # Errors
    ///
    /// There is no xenstore, no interface came, or the command line has a word for addresses that is none.
    pub fn up(guest: &'a Guest, options: Options) -> Result<Self, Box<dyn Error>> {
        let addresses = Addresses::read(guest.boot().command_line)?;
        let store = guest.store().ok_or("there is no xenstore here: start the guest as a domU, without --direct")?;
        let requests = Requests::new(&store)?;
        let mut interfaces = Interfaces::new(&store, options)?;
        println!("waiting up to {} s for a network interface", PATIENCE.as_secs());
        let number = connect(&store, &mut interfaces)?;
        let interface = interfaces.get_mut(number).ok_or("the interface went away at once")?;
        let stack = Interface::new(config(interface), interface, instant(store.now()));
        let mut sockets = SocketSet::new(alloc::vec![]);
        let dhcp = addresses.is_none().then(|| sockets.add(dhcpv4::Socket::new()));
        let mtu = mtu(interface);
        let mut network =
            Self { guest, store, requests, interfaces, number, stack, sockets, dhcp, mtu, addresses: None };
        if addresses.is_some() {
            network.set_addresses(addresses);
        }
        Ok(network)
    }

    /// What the sockets are.
    pub const fn sockets(&mut self) -> &mut SocketSet<'static> {
        &mut self.sockets
    }

    /// The interface.
    #[must_use]
    pub fn interface(&self) -> Option<&Netfront<Xen>> {
        self.interfaces.get(self.number)
    }

    /// What time it is, for sockets.
    #[must_use]
    pub fn now(&self) -> Instant {
        instant(self.store.now())
    }

    /// Sleeps until something may have happened, and does what is to be done: events, packets, requests of the toolstack's. `seen`
    /// gets each packet that has come, before the stack does.
    ///
    /// # Errors
    ///
    /// The interface is gone, or xenstore is.
    pub fn turn(&mut self, mut seen: impl FnMut(&[u8])) -> Result<Turn, Box<dyn Error>> {
        self.take_events()?;
        self.take_packets(&mut seen);
        self.ask_for_address();
        self.requests.listen();
        match self.requests.command()? {
            None => {}
            Some(Command::Suspend) => self.suspend()?,
            Some(_) => return Ok(Turn::End),
        }
        Ok(Turn::Work)
    }

    /// Sends what sockets have, and sleeps until something may have happened.
    ///
    /// # Errors
    ///
    /// Xen does not let the guest wait.
    pub fn rest(&mut self) -> Result<(), Box<dyn Error>> {
        let now = self.store.now();
        self.give();
        // What the stack would send has to wait while there is nobody to take it.
        let is_up = self.interface().and_then(Netfront::link).is_some();
        let next = is_up.then(|| self.stack.poll_at(instant(now), &self.sockets).map(duration)).flatten();
        let dues = [next, self.requests.next_deadline(), Some(now + LONG)];
        self.interfaces.wait(dues.into_iter().flatten().min().unwrap_or(now))?;
        Ok(())
    }

    fn take_events(&mut self) -> Result<(), Box<dyn Error>> {
        while let Some((number, event)) = self.interfaces.poll(self.store.now()) {
            if number != self.number {
                continue;
            }
            println!("interface: {}", Words(&event));
            match event {
                Event::Ended(end) => return Err(format!("the interface is gone: {end:?}").into()),
                Event::Connected => {
                    self.fit_stack();
                    self.announce();
                }
                Event::LinkUp => self.announce(),
                _ => {}
            }
        }
        Ok(())
    }

    /// A stack asks once how long packets may be: where that has changed it is made anew. Sockets and their connections stay.
    fn fit_stack(&mut self) {
        let Some(interface) = self.interfaces.get_mut(self.number) else { return };
        let mtu = mtu(interface);
        if core::mem::replace(&mut self.mtu, mtu) != mtu {
            self.stack = Interface::new(config(interface), interface, instant(self.store.now()));
            self.set_addresses(self.addresses);
        }
    }

    /// Tells other hosts where the address is now.
    fn announce(&mut self) {
        let (Some(interface), Some(own)) = (self.interfaces.get_mut(self.number), self.stack.ipv4_addr()) else {
            return;
        };
        let Some(mac) = interface.link().map(|link| link.mac()) else { return };
        self.stack.set_hardware_addr(HardwareAddress::Ethernet(EthernetAddress(mac)));
        let packet = announcement(mac, own.octets());
        if let Some(room) = interface.transmit() {
            room.consume(packet.len(), |into| into.copy_from_slice(&packet));
        }
    }

    /// Hands what has come to the stack.
    fn take_packets(&mut self, seen: &mut impl FnMut(&[u8])) {
        let Some(interface) = self.interfaces.get_mut(self.number) else { return };
        let now = instant(self.store.now());
        while let Some(packet) = interface.receive() {
            seen(packet.bytes());
            let taken = self.stack.poll_ingress_single(now, interface, &mut self.sockets);
            if taken == PollIngressSingleResult::None {
                // There is no room to answer.
                break;
            }
        }
        self.give();
    }

    /// Has the stack send what it has.
    fn give(&mut self) {
        let Some(interface) = self.interfaces.get_mut(self.number) else { return };
        let now = instant(self.store.now());
        self.stack.poll_maintenance(now);
        self.stack.poll_egress(now, interface, &mut self.sockets);
        interface.flush_notifications();
    }

    fn ask_for_address(&mut self) {
        let Some(handle) = self.dhcp else { return };
        match self.sockets.get_mut::<dhcpv4::Socket<'_>>(handle).poll() {
            None => {}
            Some(dhcpv4::Event::Deconfigured) => self.set_addresses(None),
            Some(dhcpv4::Event::Configured(lease)) => {
                let addresses = Addresses { own: lease.address, gateway: lease.router };
                self.set_addresses(Some(addresses));
            }
        }
    }

    fn set_addresses(&mut self, addresses: Option<Addresses>) {
        self.addresses = addresses;
        let own = addresses.map(|addresses| addresses.own);
        self.stack.update_ip_addrs(|addresses| {
            addresses.clear();
            // There is room for one at least.
            let _ = own.map(|own| addresses.push(IpCidr::Ipv4(own)));
        });
        self.stack.routes_mut().remove_default_ipv4_route();
        if let Some(gateway) = addresses.and_then(|addresses| addresses.gateway) {
            let _ = self.stack.routes_mut().add_default_ipv4_route(gateway);
        }
        match own {
            Some(own) => println!("address: {own}"),
            None => println!("no address yet: asking by DHCP"),
        }
        self.announce();
    }

    /// What was sent goes out; the guest is suspended; the interface is another one then, which is found and goes on.
    fn suspend(&mut self) -> Result<(), Box<dyn Error>> {
        while self.interfaces.prepare(self.store.now()) == Ready::NotYet {
            self.interfaces.wait(self.store.now() + TICK)?;
            self.requests.listen();
        }
        let suspended = self.guest.suspend(REST);
        let now = self.store.now();
        match suspended {
            Ok(Suspended::Resumed) => {
                self.interfaces.resumed(Epoch(self.store.epoch().into()), now);
                println!("resumed");
            }
            not => {
                self.interfaces.cancelled(now);
                println!("not suspended: {not:?}");
            }
        }
        Ok(())
    }
}

/// Waits for the first interface, and until it is connected.
fn connect(store: &Store<Xen>, interfaces: &mut Interfaces<Xen>) -> Result<u32, Box<dyn Error>> {
    let (until, mut trouble) = (store.now() + PATIENCE, String::new());
    while store.now() < until {
        while let Some((number, event)) = interfaces.poll(store.now()) {
            match event {
                Event::Connected => {
                    let link = interfaces.get(number).and_then(Netfront::link).map(|link| format!("{link}"));
                    println!("interface {number}: {}", link.unwrap_or_default());
                    return Ok(number);
                }
                Event::Trouble(error) => trouble = format!(": {error}"),
                _ => {}
            }
        }
        interfaces.wait(until)?;
    }
    Err(format!("no network interface came{trouble}; give one: --config 'vif=[\"bridge=br0\"]'").into())
}

fn config(interface: &Netfront<Xen>) -> Config {
    let mac = interface.link().map_or([2, 0, 0, 0, 0, 1], |link| link.mac());
    Config::new(HardwareAddress::Ethernet(EthernetAddress(mac)))
}

fn mtu(interface: &Netfront<Xen>) -> u16 {
    interface.link().map_or(1500, |link| link.mtu())
}

fn instant(time: Duration) -> Instant {
    Instant::from_micros(time.as_micros() as i64)
}

fn duration(instant: Instant) -> Duration {
    Duration::from_micros(instant.total_micros().max(0).cast_unsigned())
}

/// Whom the guest is, and who is asked for the rest.
#[derive(Clone, Copy)]
struct Addresses {
    own: Ipv4Cidr,
    gateway: Option<Ipv4Address>,
}

impl Addresses {
    fn read(line: CommandLine) -> Result<Option<Self>, String> {
        let word = |key: &str| line.words().find_map(|word| word.strip_prefix(key)?.strip_prefix('='));
        let Some(own) = word("ip").filter(|own| *own != "dhcp") else { return Ok(None) };
        let wrong = |text: &str| format!("what is {text:?}? There are ip=10.0.0.15/24, ip=dhcp and gw=10.0.0.1");
        let gateway = match word("gw") {
            Some(text) => Some(text.parse().map_err(|_| wrong(text))?),
            None => None,
        };
        Ok(Some(Self { own: own.parse().map_err(|_| wrong(own))?, gateway }))
    }
}

/// An event, in words.
struct Words<'a>(&'a Event);

impl fmt::Display for Words<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.0 {
            Event::Connected => f.write_str("connected"),
            Event::Disconnected => f.write_str("disconnected"),
            Event::LinkUp => f.write_str("the link is up"),
            Event::LinkDown => f.write_str("the link is down"),
            Event::Stalled => f.write_str("the backend takes nothing"),
            Event::Detached(end) => write!(f, "detached ({end:?})"),
            Event::Trouble(error) => write!(f, "{error}"),
            Event::Ended(end) => write!(f, "ended ({end:?})"),
            other => write!(f, "{other:?}"),
        }
    }
}

impl fmt::Debug for Network<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Network").field("interfaces", &self.interfaces).finish_non_exhaustive()
    }
}
