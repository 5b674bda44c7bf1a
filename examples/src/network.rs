//! A TCP/IP stack on the guest's first network interface.

use alloc::boxed::Box;
use alloc::format;
use alloc::string::String;
use core::error::Error;
use core::fmt;
use core::time::Duration;

use smoltcp::iface::{PollIngressSingleResult, SocketSet};
use smoltcp::time::Instant;
use xen_rt::netfront::{Event, Interfaces, Netfront, Options, announcement};
use xen_rt::xenbus::Store;
use xen_rt::xenbus::control::{Command, Epoch, Ready, Resumable as _};
use xen_rt::{Guest, Suspended, Xen, println};
use xen_web_example::{Address, Lease, Stack};

use crate::Requests;

/// How long an interface may take to come.
const PATIENCE: Duration = Duration::from_secs(30);
/// How long xenstore may take to come to rest before a suspend.
const REST: Duration = Duration::from_secs(10);
/// How often is looked whether the interface has come to rest.
const TICK: Duration = Duration::from_millis(10);
/// The address of an interface that went away before it told its own.
const UNKNOWN: [u8; 6] = [2, 0, 0, 0, 0, 1];
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
    stack: Stack,
    was_resumed: bool,
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
        let line = guest.boot().command_line;
        let address = Address::read(line.value("ip"), line.value("gw"))?;
        let store = guest.store().ok_or("there is no xenstore here: start the guest as a domU, without --direct")?;
        let requests = Requests::new(&store)?;
        let mut interfaces = Interfaces::new(&store, options)?;
        println!("waiting up to {} s for a network interface", PATIENCE.as_secs());
        let number = connect(&store, &mut interfaces)?;
        let interface = interfaces.get_mut(number).ok_or("the interface went away at once")?;
        let mac = interface.link().map_or(UNKNOWN, |link| link.mac());
        let stack = Stack::new(interface, mac, address, seed(guest));
        let mut network = Self { guest, store, requests, interfaces, number, stack, was_resumed: false };
        match address {
            Address::Static { address, .. } => println!("address: {address}"),
            Address::Dhcp => println!("no address yet: asking by DHCP"),
        }
        network.announce();
        Ok(network)
    }

    /// What the sockets are.
    pub const fn sockets(&mut self) -> &mut SocketSet<'static> {
        &mut self.stack.sockets
    }

    /// The sockets, and the interface that they are on.
    pub fn parts(&mut self) -> (&mut SocketSet<'static>, Option<&Netfront<Xen>>) {
        (&mut self.stack.sockets, self.interfaces.get(self.number))
    }

    /// The interface.
    #[must_use]
    pub fn interface(&self) -> Option<&Netfront<Xen>> {
        self.interfaces.get(self.number)
    }

    /// The interface, for packets past the stack.
    pub fn interface_mut(&mut self) -> Option<&mut Netfront<Xen>> {
        self.interfaces.get_mut(self.number)
    }

    /// Whether the guest was suspended and resumed since this was asked last: all other devices are others then.
    pub const fn was_resumed(&mut self) -> bool {
        core::mem::replace(&mut self.was_resumed, false)
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
        self.take_lease();
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
        self.rest_until(self.store.now() + LONG)
    }

    /// As [`rest`](Self::rest), and no longer than until a time.
    ///
    /// # Errors
    ///
    /// Xen does not let the guest wait.
    pub fn rest_until(&mut self, due: Duration) -> Result<(), Box<dyn Error>> {
        let now = self.store.now();
        self.give();
        // What the stack would send has to wait while there is nobody to take it.
        let is_up = self.interface().and_then(Netfront::link).is_some();
        let next = is_up.then(|| self.stack.next_deadline(now)).flatten();
        let dues = [next, self.requests.next_deadline(), Some(due)];
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

    /// The interface may have another address and another MTU.
    fn fit_stack(&mut self) {
        let Some(interface) = self.interfaces.get_mut(self.number) else { return };
        if let Some(mac) = interface.link().map(|link| link.mac()) {
            self.stack.connected(interface, mac);
        }
    }

    /// Tells other hosts where the address is now.
    fn announce(&mut self) {
        let (Some(interface), Some(own)) = (self.interfaces.get_mut(self.number), self.stack.address()) else {
            return;
        };
        let Some(mac) = interface.link().map(|link| link.mac()) else { return };
        let packet = announcement(mac, own.octets());
        if let Some(room) = interface.transmit() {
            room.consume(packet.len(), |into| into.copy_from_slice(&packet));
        }
    }

    /// Hands what has come to the stack, but not for ever.
    fn take_packets(&mut self, seen: &mut impl FnMut(&[u8])) {
        let Some(interface) = self.interfaces.get_mut(self.number) else { return };
        let now = self.store.now();
        for _ in 0..Stack::BURST {
            let Some(packet) = interface.receive() else { break };
            seen(packet.bytes());
            if self.stack.receive_one(interface, now) == PollIngressSingleResult::None {
                // There is no room to answer.
                break;
            }
        }
        self.give();
    }

    /// Has the stack send what it has.
    fn give(&mut self) {
        let Some(interface) = self.interfaces.get_mut(self.number) else { return };
        self.stack.transmit(interface, self.store.now());
        interface.flush_notifications();
    }

    fn take_lease(&mut self) {
        match self.stack.take_lease() {
            None => {}
            Some(Lease::Ended) => println!("no address any more: asking by DHCP"),
            Some(Lease::Is(address)) => {
                println!("address: {address}");
                self.announce();
            }
        }
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
                self.was_resumed = true;
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

/// What others cannot guess easily: when this is, in nanoseconds.
fn seed(guest: &Guest) -> u64 {
    let clock = guest.clock();
    clock.wall().unwrap_or_default().saturating_add(clock.now()).as_nanos() as u64
}

fn instant(time: Duration) -> Instant {
    Instant::from_micros(time.as_micros() as i64)
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
