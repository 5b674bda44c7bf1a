//! A console page in plain memory, and a console daemon that is as alive as the test wants.

#![allow(dead_code, reason = "each test program uses its part")]

use std::cell::{Cell, RefCell};
use std::mem::offset_of;
use std::ptr::NonNull;
use std::rc::Rc;
use std::sync::atomic::{AtomicU32, Ordering::Relaxed};

use xen_console::{Console, Notify, Patience};
use xen_hypercall::abi::io::console::Interface;
use xen_shared_ring::{ByteRing, Consumer, Producer, SharedMem};

pub(crate) const IN_CONS: usize = 3072;
pub(crate) const IN_PROD: usize = 3076;
pub(crate) const OUT_CONS: usize = 3080;
pub(crate) const OUT_PROD: usize = 3084;
pub(crate) const CONNECTION: usize = 3088;

/// More turns than any test grants, so that one which waits for ever ends.
const FUEL: usize = 100_000;

/// What surrounds one console: its page, its daemon, and the kernel that lets the daemon run.
pub(crate) struct World {
    page: Vec<AtomicU32>,
    daemon: RefCell<Option<Daemon>>,
    /// How many bytes the daemon reads each time that it may run.
    pub(crate) appetite: Cell<usize>,
    pub(crate) notified: Cell<usize>,
    pub(crate) relaxed: Cell<usize>,
    /// All that the daemon has read.
    pub(crate) log: RefCell<Vec<u8>>,
}

struct Daemon {
    output: Consumer,
    input: Producer,
}

/// The guest's way to the world.
#[derive(Clone)]
pub(crate) struct Link(Rc<World>);

impl Notify for Link {
    fn notify(&self) {
        self.0.notified.set(self.0.notified.get() + 1);
    }

    fn relax(&self) {
        self.0.relaxed.set(self.0.relaxed.get() + 1);
        assert!(self.0.relaxed.get() < FUEL, "held up for ever");
        if self.0.appetite.get() > 0 {
            self.0.read(self.0.appetite.get());
        }
    }
}

impl World {
    /// A zeroed page, except that all indices are `start`, and a daemon without appetite.
    pub(crate) fn new(start: u32) -> Rc<Self> {
        let page = (0..1024).map(|_| AtomicU32::new(0)).collect();
        let (daemon, log) = (RefCell::new(None), RefCell::default());
        let [appetite, notified, relaxed] = [0; 3].map(Cell::new);
        let world = Rc::new(Self { page, daemon, appetite, notified, relaxed, log });
        for index in [IN_CONS, IN_PROD, OUT_CONS, OUT_PROD] {
            world.poke(index, start);
        }
        let output = Consumer::attach(world.ring(1024, 2048, OUT_CONS, OUT_PROD));
        let input = Producer::attach(world.ring(0, 1024, IN_CONS, IN_PROD));
        *world.daemon.borrow_mut() = Some(Daemon { output, input });
        world
    }

    /// The guest's console; the caller keeps the world for longer.
    pub(crate) fn console(self: &Rc<Self>, patience: u32) -> Console<Link> {
        let mut console = Console::attach(self.part(0, 4096), Link(self.clone())).unwrap();
        console.output.set_patience(Patience(patience));
        console.input.set_patience(Patience(patience));
        console
    }

    pub(crate) fn poke(&self, offset: usize, value: u32) {
        self.page[offset / 4].store(value, Relaxed);
    }

    pub(crate) fn peek(&self, offset: usize) -> u32 {
        self.page[offset / 4].load(Relaxed)
    }

    /// The daemon reads up to `count` bytes of output.
    pub(crate) fn read(&self, count: usize) {
        let mut bytes = vec![0; count];
        let count = self.daemon().output.read(&mut bytes).unwrap();
        self.log.borrow_mut().extend(&bytes[..count]);
    }

    /// The daemon types, as far as there is room.
    pub(crate) fn type_in(&self, bytes: &[u8]) -> usize {
        self.daemon().input.write(bytes).unwrap()
    }

    /// What the daemon has read, as text.
    pub(crate) fn text(&self) -> String {
        String::from_utf8(self.log.borrow().clone()).unwrap()
    }

    fn daemon(&self) -> std::cell::RefMut<'_, Daemon> {
        std::cell::RefMut::map(self.daemon.borrow_mut(), |daemon| daemon.as_mut().unwrap())
    }

    fn ring(&self, start: usize, size: usize, consumed: usize, produced: usize) -> ByteRing {
        ByteRing::new(self.part(start, size), self.part(consumed, 4), self.part(produced, 4)).unwrap()
    }

    fn part(&self, offset: usize, len: usize) -> SharedMem {
        let page: NonNull<u8> = NonNull::from(&self.page[..]).cast();
        let start = page.map_addr(|start| start.checked_add(offset).unwrap());
        // SAFETY: a part of a page of atomics, which outlives the daemon, and which the console's own link keeps alive.
        unsafe { SharedMem::new(start, len) }
    }
}

// The numbers that the tests use are those of the layout.
const _: () = assert!(
    offset_of!(Interface, in_cons) == IN_CONS
        && offset_of!(Interface, in_prod) == IN_PROD
        && offset_of!(Interface, out_cons) == OUT_CONS
        && offset_of!(Interface, out_prod) == OUT_PROD
        && size_of::<Interface>() == CONNECTION
);
