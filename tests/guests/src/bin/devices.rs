//! Block devices that come and go, with a driver that only prints.
//!
//! The driver grants a ring and opens a channel as the backend wants it, and never sends a request. `xl shutdown` ends the guest,
//! which then counts what it has left: grants in its table, ports that Xen knows of, and watches.
//!
//! `control=leak` on the command line keeps ring and channel of each connection, and `control=deaf` does not listen to a device
//! that is connected.

#![no_std]
#![no_main]

extern crate alloc;

use alloc::string::{String, ToString};
use alloc::vec::Vec;
use core::time::Duration;

use test_guests::{Holdings, ensure, failed};
use xen_hypercall::abi::DomId;
use xen_rt::event_channel::Channel;
use xen_rt::grant_table::{Account, Grant, GrantTable, Limits as GrantLimits, Memory as _, Page};
use xen_rt::xenbus::Store;
use xen_rt::xenbus::bus::{
    Attempt, Change, Device, End, Enumerator, Event, Frontend, Keys, Limits, Offer, State, Step, TooLate, Vanished,
};
use xen_rt::xenbus::control::{Inbox, Request};
use xen_rt::xenbus::store::{StoreError, Watch};
use xen_rt::{ExitCode, Guest, Xen, entry, println};

/// How often pages in quarantine are looked after.
const REAP: Duration = Duration::from_millis(100);

/// How long the guest sleeps where nothing is to be done.
const LONG: Duration = Duration::from_secs(3600);

#[entry]
fn main(guest: Guest) -> ExitCode {
    match run(&guest) {
        Ok(()) => ExitCode::SUCCESS,
        Err(what) => {
            println!("not ok: {what}");
            ExitCode::FAILURE
        }
    }
}

/// What the command line asks to be wrong, so that a test must notice it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Control {
    None,
    Leak,
    Deaf,
}

/// All devices, and what is watched for them.
struct Devices {
    xen: Xen,
    store: Store<Xen>,
    control: Control,
    enumerator: Enumerator,
    watch: Watch<Xen>,
    all: Vec<Disk>,
    connections: u32,
    /// Requests to xenstore of the connection that needed the fewest, and the most.
    requests: Option<(u32, u32)>,
    kept: Vec<Connection>,
}

/// One device, with its driver.
struct Disk {
    front: Frontend,
    state: Watch<Xen>,
    connection: Option<Connection>,
    came: Duration,
    /// Requests to xenstore so far, for this device alone.
    requests: u32,
}

/// What a connection uses.
struct Connection {
    ring: Grant<Xen>,
    channel: Channel<Xen>,
}

fn run(guest: &Guest) -> Result<(), String> {
    let store = guest.store().ok_or("there is no xenstore")?;
    let inbox = Inbox::shutdown();
    let requests = store.watch(inbox.path()).wait().map_err(failed("watch"))?;
    let mut devices = Devices::new(guest, &store)?;
    // The first account lengthens the table for good.
    drop(Account::open(guest.xen(), DomId(0), GrantLimits::exactly(1)).map_err(failed("account"))?);
    let before = Holdings::count(&guest.xen(), &store);
    println!("ready with {before:?}");
    let mut shutdown = (requests, inbox);
    while !is_asked_to_end(&store, &mut shutdown)? {
        devices.step()?;
        let until = [devices.next_deadline(), shutdown.1.next_deadline().unwrap_or(LONG)].into_iter().min();
        store.wait_for_changes(until.unwrap_or(LONG)).map_err(tell)?;
    }
    let (fewest, most) = devices.requests.unwrap_or_default();
    println!("{} connections; requests to Connected: {fewest} at least, {most} at most", devices.connections);
    let left = devices.all.len();
    let after = Holdings::count(&guest.xen(), &store);
    println!("going down with {after:?}");
    ensure(left == 0, "there are devices left")?;
    ensure(after == before, "grants, ports or watches leaked")
}

fn is_asked_to_end(store: &Store<Xen>, (watch, inbox): &mut (Watch<Xen>, Inbox)) -> Result<bool, String> {
    if watch.take() {
        inbox.look_again();
    }
    if !inbox.poll(store.now()) {
        return Ok(false);
    }
    let request = store.transaction(|t| inbox.take(t)).map_err(tell)?;
    Ok(matches!(request, Some(Request::Command(_))))
}

fn tell(error: StoreError) -> String {
    error.to_string()
}

impl Control {
    fn of(guest: &Guest) -> Self {
        match guest.boot().command_line.value("control") {
            Some("leak") => Self::Leak,
            Some("deaf") => Self::Deaf,
            _ => Self::None,
        }
    }
}

impl Devices {
    fn new(guest: &Guest, store: &Store<Xen>) -> Result<Self, String> {
        let watch = store.watch("device").wait().map_err(tell)?;
        Ok(Self {
            xen: guest.xen(),
            store: store.clone(),
            control: Control::of(guest),
            enumerator: Enumerator::new(),
            watch,
            all: Vec::new(),
            connections: 0,
            requests: None,
            kept: Vec::new(),
        })
    }

    fn step(&mut self) -> Result<(), String> {
        if self.watch.take() {
            self.enumerate()?;
        }
        for mut disk in core::mem::take(&mut self.all) {
            match self.drive(&mut disk)? {
                None => self.all.push(disk),
                Some(end) => self.ended(&disk, end)?,
            }
        }
        let reaped = GrantTable::reap(&self.xen, 16).freed;
        if reaped > 0 {
            println!("{reaped} page came back from quarantine");
        }
        Ok(())
    }

    fn enumerate(&mut self) -> Result<(), String> {
        let before = self.store.statistics().requests;
        let changes = self.enumerator.look(&self.store).map_err(tell)?;
        println!("a look at all devices took {} requests", self.store.statistics().requests - before);
        for change in changes {
            match change {
                Change::Added(device) => self.add(device)?,
                Change::Removed(device) => self.look_again(&device),
                Change::Replaced { old, new } => {
                    self.look_again(&old);
                    self.add(new)?;
                }
                other => println!("device: {other:?}"),
            }
        }
        Ok(())
    }

    fn add(&mut self, device: Device) -> Result<(), String> {
        println!("{device} came, with {}", device.backend().path);
        let (came, before) = (self.store.now(), self.store.statistics().requests);
        let state = self.store.watch(&device.backend_key("state")).wait().map_err(tell)?;
        let requests = self.store.statistics().requests - before;
        let front = Frontend::new(device, Limits::DEFAULT);
        self.all.push(Disk { front, state, connection: None, came, requests });
        Ok(())
    }

    fn look_again(&mut self, device: &Device) {
        self.all.iter_mut().filter(|disk| disk.front.device() == device).for_each(|disk| disk.front.look_again());
    }

    /// Does all that is to be done for a device now.
    fn drive(&mut self, disk: &mut Disk) -> Result<Option<End>, String> {
        let changed = disk.state.take();
        if self.control == Control::Deaf && disk.front.is_connected() {
            return Ok(None);
        }
        if changed {
            disk.front.look_again();
        }
        let was_connected = disk.is_done();
        let before = self.store.statistics().requests;
        let end = loop {
            match disk.front.drive(&self.store) {
                Step::Tell(event) => self.tell(disk, event)?,
                Step::Ended(end) => break Some(end),
                _ => break None,
            }
        };
        disk.requests += self.store.statistics().requests - before;
        if disk.is_done() && !was_connected {
            self.connected(disk);
        }
        Ok(end)
    }

    fn connected(&mut self, disk: &Disk) {
        let time = (self.store.now() - disk.came).as_millis();
        println!("{} connected after {} xenstore requests and {time} ms", disk.front.device(), disk.requests);
        self.connections += 1;
        let (fewest, most) = self.requests.unwrap_or((disk.requests, disk.requests));
        self.requests = Some((fewest.min(disk.requests), most.max(disk.requests)));
    }

    fn ended(&mut self, disk: &Disk, end: End) -> Result<(), String> {
        println!("{} ended: {end:?}", disk.front.device());
        ensure(disk.connection.is_none(), "it was not told to release what it used")?;
        if end == End::Vanished(Vanished::Replaced) {
            self.enumerator.forget(disk.front.device());
            self.enumerate()?;
        }
        Ok(())
    }

    fn tell(&mut self, disk: &mut Disk, event: Event) -> Result<(), String> {
        let (device, now) = (disk.front.device().clone(), self.store.now());
        let too_late = match event {
            Event::Connect(attempt) => self.connect(disk, attempt)?,
            Event::Complete(attempt) => {
                self.print_keys(&device)?;
                disk.front.ready(attempt, now)
            }
            Event::Review(_) => {
                println!("{device} may have changed");
                Ok(())
            }
            Event::Stop(why, _) => {
                println!("{device} closing: {why:?}");
                disk.front.stopped(now)
            }
            Event::Release(manner) => {
                println!("{device} closed: {manner:?}");
                self.release(disk);
                disk.front.released(now)
            }
            Event::Trouble(error) => {
                println!("trouble: {error}");
                Ok(())
            }
        };
        too_late.or_else(|error| {
            println!("{device}: {error}");
            Ok(())
        })
    }

    fn connect(&self, disk: &mut Disk, attempt: Attempt) -> Result<Result<(), TooLate>, String> {
        let connection = Connection::open(&self.xen, disk.front.device().backend().domain)?;
        let (ring, port) = (connection.ring.gref().0, connection.channel.port().0);
        println!("{} connecting: ring-ref {ring}, event-channel {port}", disk.front.device());
        let offer = Offer::initialised().with("ring-ref", ring).with("event-channel", port);
        disk.connection = Some(connection);
        Ok(disk.front.offer(attempt, offer.with("protocol", "x86_64-abi"), self.store.now()))
    }

    /// What the backend has said about the disk.
    fn print_keys(&self, device: &Device) -> Result<(), String> {
        const NAMES: &[&str] = &["sectors", "sector-size", "info", "feature-persistent", "feature-flush-cache"];
        let directory = &device.backend().path;
        let keys = self.store.transaction(|t| Keys::read(t, directory, NAMES)).map_err(tell)?;
        println!(
            "{device}: sectors {:?}, sector-size {:?}, info {:?}",
            keys.u64(NAMES[0]),
            keys.u32(NAMES[1]),
            keys.u32(NAMES[2])
        );
        println!("{device}: persistent {:?}, flush {:?}", keys.flag(NAMES[3]), keys.flag(NAMES[4]));
        Ok(())
    }

    fn release(&mut self, disk: &mut Disk) {
        let Some(connection) = disk.connection.take() else { return };
        if self.control == Control::Leak {
            return self.kept.push(connection);
        }
        let Connection { ring, channel } = connection;
        match ring.revoke() {
            Ok(_) => println!("{} has its page back", disk.front.device()),
            // Dropped, it goes to quarantine.
            Err(_) => println!("{} has its page in quarantine: the backend still maps it", disk.front.device()),
        }
        match channel.close() {
            Ok(()) => println!("{} has its port back", disk.front.device()),
            Err(error) => println!("{}: the port is not closed: {error}", disk.front.device()),
        }
    }

    fn next_deadline(&self) -> Duration {
        let reap = (self.xen.grant_table().statistics().quarantined > 0).then(|| self.store.now() + REAP);
        let fronts = self.all.iter().filter_map(|disk| disk.front.next_deadline());
        fronts.chain(reap).min().unwrap_or(LONG)
    }
}

impl Disk {
    /// Whether the device is connected, and our half's state says so.
    fn is_done(&self) -> bool {
        self.front.is_connected() && self.front.state() == State::CONNECTED
    }
}

impl Connection {
    fn open(xen: &Xen, backend: DomId) -> Result<Self, String> {
        let account = Account::open(*xen, backend, GrantLimits::exactly(1)).map_err(failed("no account"))?;
        let page = Page::alloc(*xen).ok_or("no page")?;
        let ring = page.grant_zeroed(&account).map_err(failed("not granted"))?;
        let channel = Channel::unbound(xen, backend).map_err(failed("no port"))?;
        Ok(Self { ring, channel })
    }
}
