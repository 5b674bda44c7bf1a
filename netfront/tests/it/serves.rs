//! Interfaces that a task serves, beside the one that serves the store.

use std::cell::{Cell, RefCell};
use std::rc::Rc;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use xen_hypercall::sched;
use xen_netfront::{AsyncInterface, Carrier, Event, Options};
use xen_sim::netback::{Carrier as Link, Fault, Which};
use xen_sim::{Domain, When};

use crate::common::{SECOND, packet};
use crate::perils::MS;
use crate::shared::{NUMBER, Shared};
use crate::world::{Answer, Flag, World};

/// A guest whose loop knows of nothing but tasks and times.
struct Served {
    world: World,
    server: Arc<Flag>,
    told: Rc<RefCell<Vec<(u32, Event)>>>,
}

impl Served {
    fn new() -> Self {
        Self::of(Shared::new(Options::DEFAULT))
    }

    fn of(shared: Shared) -> Self {
        let mut world = World::of(shared);
        let (store, interfaces) = (world.shared.store.clone(), world.shared.interfaces.clone());
        let told = Rc::<RefCell<Vec<_>>>::default();
        world.spawn(async move { panic!("the store: {:?}", store.serve().await) });
        let heed = Rc::clone(&told);
        let server = world.spawn(async move {
            interfaces.serve(|number, event| heed.borrow_mut().push((number, event))).await;
        });
        Self { world, server, told }
    }

    /// Upcalls run in the sleep: they wake tasks. What came before it is not heard by it.
    fn turn(&mut self) {
        let Self { world, .. } = self;
        world.run_tasks();
        let shared = &mut world.shared;
        if let Some(back) = &mut shared.back {
            let _ = back.step();
        }
        let (store, interfaces) = (shared.store.next_deadline(), shared.interfaces.next_deadline());
        let until = [store, interfaces].into_iter().flatten().fold(shared.now() + MS, Duration::min);
        let _ = sched::poll(shared.store.platform(), &[], Some(until));
        let now = shared.now();
        if store.is_some_and(|time| time <= now) {
            shared.store.poll();
        }
        if interfaces.is_some_and(|time| time <= now) {
            shared.interfaces.look_again();
        }
    }

    #[track_caller]
    fn within(&mut self, time: Duration, done: impl Fn(&Self) -> bool) {
        let end = self.world.shared.now() + time;
        while !done(self) {
            assert!(self.world.shared.now() < end, "not within {time:?}: {:?}", self.told);
            self.turn();
        }
    }

    fn ask<T: 'static>(&mut self, task: impl AsyncFnOnce(AsyncInterface<Domain>) -> T + 'static) -> Answer<T> {
        self.world.ask(task)
    }

    fn wakes(&self) -> usize {
        self.server.wakes.swap(0, Ordering::Relaxed)
    }
}

/// Long before the watchdog would look.
const SOON: Duration = Duration::from_millis(20);

#[test]
fn what_comes_and_goes_does_so_at_once() {
    let mut served = Served::new();
    for number in 0..100 {
        let answered = served.ask(async |interface| {
            let packet = interface.receive().await.unwrap();
            interface.send(&packet).await.unwrap();
        });
        served.turn();
        served.world.come(packet(100, number));
        served.within(SOON, |_| answered.borrow().is_some());
        served.within(SOON, |served| served.world.shared.back().port().waiting() > 0);
        assert_eq!(served.world.sent(), [packet(100, number)]);
    }
    assert!(served.told.borrow().is_empty());
}

#[test]
fn an_interface_that_comes_and_its_link_are_told_of() {
    let mut served = Served::of(Shared::unplugged(Options::DEFAULT));
    served.within(SECOND, |served| served.world.shared.now() > MS * 100);
    served.world.shared.plug();
    served.within(SECOND, |served| served.told.borrow().contains(&(NUMBER, Event::Connected)));
    let down = served.ask(async |interface| {
        interface.until(|interface| interface.link().filter(|link| link.carrier() == Carrier::Down).map(drop)).await
    });
    served.turn();
    served.world.shared.back().control().set_carrier(Link::Down);
    served.within(SOON, |_| *down.borrow() == Some(Ok(())));
    assert!(served.told.borrow().contains(&(NUMBER, Event::LinkDown)));
    served.world.shared.unplug();
    served.within(SECOND, |served| served.told.borrow().iter().any(|(_, event)| matches!(event, Event::Detached(_))));
}

/// As hc_033 of the tasks: a packet that nobody waits for, and one that is waited for only afterwards.
#[test]
fn hc_033_a_packet_that_no_task_waits_for_costs_no_processor_and_is_there_later() {
    let mut served = Served::new();
    let first = served.ask(async |interface| interface.receive().await.unwrap());
    served.world.come(packet(100, 0));
    served.within(SOON, |_| first.borrow().is_some());
    (1..4).for_each(|number| served.world.come(packet(100, number)));
    (0..20).for_each(|_| served.turn());
    served.wakes();
    let end = served.world.shared.now() + SECOND / 2;
    served.within(SECOND, |served| served.world.shared.now() >= end);
    let wakes = served.wakes();
    assert!(wakes < 50, "{wakes}");
    let later = served.ask(async |interface| {
        for number in 1..4 {
            assert_eq!(interface.receive().await.unwrap(), packet(100, number));
        }
        interface.receive().await.unwrap()
    });
    (0..5).for_each(|_| served.turn());
    served.world.come(packet(100, 4));
    served.within(SOON, |_| *later.borrow() == Some(packet(100, 4)));
}

/// Sends so many packets that the backend does not answer, and says how many had room.
fn hung(served: &mut Served, packets: usize) -> usize {
    // The first answer of all is signalled in any case.
    let first = served.ask(async |interface| interface.send(&packet(60, 0)).await);
    (0..20).for_each(|_| served.turn());
    assert_eq!(first.take(), Some(Ok(())));
    served.world.shared.back().control().on(Which::Transmit, When::Always, Fault::Hang);
    let sent = Rc::new(Cell::new(0));
    let count = Rc::clone(&sent);
    let _ = served.ask(async move |interface| {
        while count.get() < packets {
            interface.send(&packet(60, 1)).await.unwrap();
            count.set(count.get() + 1);
        }
    });
    (0..20).for_each(|_| served.turn());
    sent.get()
}

/// Nobody but the one who comes last wants room: it is to be heard of when there is some.
#[test]
fn who_finds_no_room_has_it_as_soon_as_there_is_some() {
    let all = hung(&mut Served::new(), 1000);
    let mut served = Served::new();
    assert_eq!(hung(&mut served, all), all);
    let last = served.ask(async |interface| interface.send(&packet(60, 2)).await);
    served.turn();
    assert!(last.borrow().is_none());
    served.world.shared.back().control().clear();
    served.world.shared.back().control().go_on();
    served.within(SOON, |_| *last.borrow() == Some(Ok(())));
}
