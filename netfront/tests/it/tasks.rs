//! An interface for tasks.

use std::cell::{Cell, RefCell};
use std::collections::VecDeque;
use std::future::{Future, poll_fn};
use std::pin::Pin;
use std::rc::Rc;
use std::sync::atomic::Ordering;
use std::sync::{Arc, mpsc};
use std::task::{Context, Poll, Wake, Waker};
use std::time::Duration;

use xen_netfront::{AsyncInterface, Carrier, Ended, Event, Netfront, Options, RING_SLOTS, SendError};
use xen_sim::netback::{Carrier as Link, Fault, Packet, Restart, Which};
use xen_sim::{Domain, When};
use xen_xenbus::bus::{End, Vanished};

use crate::common::{SECOND, packet};
use crate::perils::MS;
use crate::shared::{NUMBER, Shared};
use crate::world::{Flag, World, poll_once};

/// What one task has for another.
#[derive(Default)]
struct Basket(RefCell<(VecDeque<Vec<u8>>, Option<Waker>)>);

impl Basket {
    fn put(&self, data: Vec<u8>) {
        let mut basket = self.0.borrow_mut();
        basket.0.push_back(data);
        let _: Option<()> = basket.1.take().map(Waker::wake);
    }

    async fn take(&self) -> Vec<u8> {
        poll_fn(|context| {
            let mut basket = self.0.borrow_mut();
            basket.1 = Some(context.waker().clone());
            basket.0.pop_front().map_or(Poll::Pending, Poll::Ready)
        })
        .await
    }
}

#[test]
fn a_reader_and_a_writer_play_ping_pong() {
    let mut world = World::new(Options::DEFAULT);
    let (reader, writer, basket) = (world.interface.clone(), world.interface.clone(), Rc::<Basket>::default());
    let from = Rc::clone(&basket);
    world.spawn(async move {
        loop {
            basket.put(reader.receive().await.unwrap());
        }
    });
    world.spawn(async move {
        loop {
            writer.send(&from.take().await).await.unwrap();
        }
    });
    for number in 0..200 {
        world.come(packet(100, number));
        world.until(|world| world.shared.back().port().waiting() > 0);
        assert_eq!(world.sent(), [packet(100, number)]);
    }
}

#[test]
fn what_a_task_sends_comes_whole_and_what_is_too_long_is_said_to_be() {
    let mut world = World::new(Options::DEFAULT);
    let sent = world.ask(async |interface| {
        interface.send(&packet(1514, 1)).await?;
        let len = interface.send_with(|room| room.consume(60, |into| into.fill(7))).await.map(|()| 60)?;
        interface.send_to_cut_with(|_| ()).await?;
        assert_eq!(interface.send(&[0; 13]).await, Err(SendError::BadLength { len: 13, most: 1518 }));
        assert_eq!(interface.send(&[0; 1519]).await, Err(SendError::BadLength { len: 1519, most: 1518 }));
        Ok::<_, SendError>(len)
    });
    assert_eq!(world.answer(&sent), Ok(60));
    world.turns(3);
    assert_eq!(world.sent(), [packet(1514, 1), vec![7; 60]]);
    let refused = world.interface.with(|interface| interface.statistics().sent.refused);
    assert_eq!(refused, Some(0), "nothing of it got so far");
}

#[test]
fn each_packet_goes_to_one_of_several_readers_and_none_is_lost() {
    let mut world = World::new(Options::DEFAULT);
    let came = Rc::new(RefCell::new(Vec::new()));
    for reader in 0..5 {
        let (interface, came) = (world.interface.clone(), Rc::clone(&came));
        world.spawn(async move {
            loop {
                let data = interface.receive().await.unwrap();
                came.borrow_mut().push((reader, data));
            }
        });
    }
    for number in 0..1000 {
        world.come(packet(100, number));
        if number % 7 == 0 {
            world.turn();
        }
    }
    world.until(|_| came.borrow().len() == 1000);
    let data: Vec<_> = came.take().into_iter().map(|(_, data)| data).collect();
    assert!(data.into_iter().eq((0..1000).map(|number| packet(100, number))), "in their order");
}

#[test]
fn more_writers_than_there_is_room_for_take_turns() {
    let mut world = World::new(Options { transmit_pages: 20, ..Options::DEFAULT });
    let left = Rc::new(Cell::new(100));
    for number in 0..100 {
        let (interface, left) = (world.interface.clone(), Rc::clone(&left));
        world.spawn(async move {
            interface.send(&packet(100, number)).await.unwrap();
            left.set(left.get() - 1);
        });
    }
    world.run_tasks();
    assert!((80..100).contains(&left.get()), "the others wait: {}", left.get());
    world.until(|_| left.get() == 0);
    world.turns(3);
    let mut sent = world.sent();
    let mut all: Vec<_> = (0..100).map(|number| packet(100, number)).collect();
    sent.sort();
    all.sort();
    assert_eq!(sent, all);
}

/// A future that is dropped has taken no packet, has sent none, and leaves nobody behind who would be woken.
#[test]
fn a_future_that_is_dropped_forgets_that_anybody_waits_and_nothing_else() {
    let mut world = World::new(Options::DEFAULT);
    let flag = Arc::<Flag>::default();
    let waker = Waker::from(Arc::clone(&flag));
    for _ in 0..1000 {
        let mut futures = [Box::pin(world.interface.receive()), Box::pin(world.interface.receive())];
        for future in &mut futures {
            assert!(future.as_mut().poll(&mut Context::from_waker(&waker)).is_pending());
        }
        assert_eq!(Arc::strong_count(&flag), 4, "each has one place, and no more");
        assert!(futures[0].as_mut().poll(&mut Context::from_waker(&waker)).is_pending());
        assert_eq!(Arc::strong_count(&flag), 4);
    }
    assert_eq!(Arc::strong_count(&flag), 2);
    let interface = world.interface.clone();
    let mut woken = Box::pin(interface.receive());
    assert!(woken.as_mut().poll(&mut Context::from_waker(&waker)).is_pending());
    world.come(packet(100, 1));
    world.turns(3);
    assert_eq!(flag.wakes.load(Ordering::Relaxed), 1, "it is woken once, and is there no more");
    drop(woken);
    // One that was never polled has sent nothing.
    drop(world.interface.send(&packet(60, 1)));
    let came = world.ask(async |interface| interface.receive().await);
    assert_eq!(world.answer(&came), Ok(packet(100, 1)), "the packet stays for the next one");
    assert_eq!(world.sent(), Vec::<Vec<u8>>::new());
}

#[test]
fn a_reader_that_leaves_a_packet_finds_it_again() {
    let mut world = World::new(Options::DEFAULT);
    world.come(packet(100, 1));
    let seen = world.ask(async |interface| interface.receive_with(|packet| packet.bytes().to_vec()).await);
    assert_eq!(world.answer(&seen), Ok(packet(100, 1)));
    let taken = world.ask(async |interface| interface.receive().await);
    assert_eq!(world.answer(&taken), Ok(packet(100, 1)));
}

#[test]
fn tasks_wait_while_the_backend_restarts_and_go_on() {
    for how in [Restart::Orderly, Restart::Abrupt] {
        let mut world = World::new(Options::DEFAULT);
        let came = world.ask(async |interface| interface.receive().await);
        world.turn();
        world.shared.back().control().restart(how);
        world.until(|world| world.shared.interfaces.link(NUMBER).is_none());
        let sent = world.ask(async |interface| interface.send(&packet(60, 1)).await);
        world.turn();
        assert!(sent.borrow().is_none(), "there is no connection");
        assert_eq!(world.answer(&sent), Ok(()));
        world.come(packet(100, 2));
        assert_eq!(world.answer(&came), Ok(packet(100, 2)));
        world.turns(3);
        assert_eq!(world.sent(), [packet(60, 1)]);
    }
}

#[test]
fn tasks_go_on_with_the_device_that_comes_in_time_and_hear_of_the_end_otherwise() {
    let mut world = World::new(Options { hold: 5 * SECOND, ..Options::DEFAULT });
    let came = world.ask(async |interface| interface.receive().await);
    world.turn();
    world.shared.unplug();
    world.until(|world| world.events.iter().any(|(_, event)| matches!(event, Event::Detached(_))));
    world.shared.plug();
    let connected = world.ask(async |interface| interface.connected().await);
    world.answer(&connected).unwrap();
    world.come(packet(100, 2));
    assert_eq!(world.answer(&came), Ok(packet(100, 2)));

    world.shared.back().control().on(Which::Transmit, When::Always, Fault::Hang);
    let reader = world.ask(async |interface| interface.receive().await);
    let link = world.ask(async |interface| interface.until(|_| None::<()>).await);
    let writer = world.ask(async |interface| {
        loop {
            if let Err(error) = interface.send(&packet(60, 1)).await {
                return error;
            }
        }
    });
    world.turns(5);
    world.shared.unplug();
    let end = End::Vanished(Vanished::Unplugged);
    assert_eq!(world.answer(&reader), Err(Ended(end)));
    assert_eq!((world.answer(&writer), world.answer(&link)), (SendError::Ended(end), Err(Ended(end))));
    assert_eq!(Ended(end).to_string(), "the network interface has vanished");
    // This handle is of no use any more, whatever comes.
    let next = AsyncInterface::new(&world.shared.interfaces, NUMBER);
    world.shared.plug();
    let before = std::mem::replace(&mut world.interface, next);
    let connected = world.ask(async |interface| interface.connected().await);
    world.answer(&connected).unwrap();
    assert!(before.with(|_| ()).is_none() && world.interface.with(|_| ()).is_some());
    assert_eq!(poll_once(&mut Box::pin(before.receive())), Poll::Ready(Err(Ended(end))));
    assert_eq!(poll_once(&mut Box::pin(before.connected())), Poll::Ready(Err(Ended(end))));
}

#[test]
fn a_task_may_wait_for_an_interface_that_comes_later_and_for_its_link() {
    let mut world = World::of(Shared::unplugged(Options::DEFAULT));
    let came = world.ask(async |interface| interface.receive().await);
    let connected = world.ask(async |interface| interface.connected().await);
    world.turns(5);
    assert!(came.borrow().is_none() && connected.borrow().is_none());
    world.shared.plug();
    let link = world.answer(&connected).unwrap();
    assert_eq!(link.mac(), [0, 0x16, 0x3e, 0, 0, NUMBER as u8 + 1]);
    world.shared.back().control().set_carrier(Link::Down);
    world.until(|world| world.events.contains(&(NUMBER, Event::LinkDown)));
    let up = world.ask(async |interface| interface.link_up().await);
    world.turns(5);
    assert!(up.borrow().is_none());
    world.shared.back().control().set_carrier(Link::Up);
    assert_eq!(world.answer(&up).map(|link| link.carrier()), Ok(Carrier::Up));
    world.interface.with(Netfront::close);
    assert_eq!(world.answer(&came), Err(Ended(End::Closed)));
}

/// Where nobody waits for packets, those that come are no reason to poll again and again. (As hc_033.)
#[test]
fn hc_033_a_packet_that_no_task_waits_for_costs_no_processor() {
    let mut world = World::new(Options::DEFAULT);
    let came = world.ask(async |interface| interface.receive().await);
    world.come(packet(100, 0));
    assert_eq!(world.answer(&came), Ok(packet(100, 0)));
    // The reader is busy with something else, for which it waits in vain.
    world.shared.back().control().on(Which::Transmit, When::Always, Fault::Hang);
    let came = world.ask(async |interface| {
        for number in 0..300 {
            interface.send(&packet(60, number)).await?;
        }
        Ok::<_, SendError>(interface.receive().await?)
    });
    world.turns(5);
    (0..10).for_each(|number| world.come(packet(100, number)));
    world.turns(5);
    let (end, mut waits) = (world.shared.now() + SECOND / 2, 0);
    while world.shared.now() < end && waits < 2000 {
        world.run_tasks();
        let _ = world.shared.turn(SECOND);
        waits += 1;
    }
    assert!(waits < 50, "{waits}");
    // As soon as it waits again, they are there.
    world.shared.back().control().clear();
    world.shared.back().control().go_on();
    assert_eq!(world.answer(&came), Ok(packet(100, 0)));
}

/// A task that has sent its packets in a row goes on at once, and not when something happens.
#[test]
fn a_task_whose_turn_is_over_goes_on_at_once() {
    let mut world = World::new(Options { transmit_pages: 200, ..Options::DEFAULT });
    let send = async |interface: AsyncInterface<Domain>| {
        for number in 0..150 {
            interface.send(&packet(60, number)).await.unwrap();
        }
    };
    let first = world.ask(send);
    world.run_tasks();
    assert!(first.borrow().is_some());
    world.interface.with(Netfront::flush_notifications);
    let back = world.shared.back.as_mut().unwrap();
    while back.port().waiting() < 150 {
        back.step();
    }
    let second = world.ask(send);
    world.run_tasks();
    assert!(second.borrow().is_none(), "together they are more than a ring holds");
    assert!(world.interface.with(|interface| interface.transmit().is_some()).unwrap(), "it is not for want of room");
    let start = world.shared.now();
    world.shared.interfaces.wait(start + SECOND).unwrap();
    assert!(world.shared.now() - start < MS, "{:?}", world.shared.now() - start);
    assert!(world.shared.interfaces.poll(start).is_none());
    world.run_tasks();
    assert!(second.borrow().is_some());
}

/// A reader that looked at a packet and left it, and another one that waits: the packet is there.
#[test]
fn a_packet_that_a_reader_left_ends_the_sleep() {
    let mut world = World::new(Options::DEFAULT);
    let came = world.ask(async |interface| interface.receive().await);
    world.turns(2);
    world.come(packet(100, 1));
    world.shared.back.as_mut().unwrap().step();
    assert_eq!(world.interface.with(|interface| interface.receive().map(|packet| packet.len())), Some(Some(100)));
    let start = world.shared.now();
    world.shared.interfaces.wait(start + SECOND).unwrap();
    assert!(world.shared.now() - start < MS, "{:?}", world.shared.now() - start);
    assert_eq!(world.answer(&came), Ok(packet(100, 1)));
}

/// A task is woken when there is what it waits for, and not whenever the loop polls.
#[test]
fn a_task_is_not_woken_for_what_others_wait_for() {
    let mut world = World::new(Options::DEFAULT);
    let reader = world.interface.clone();
    let reads = world.spawn(async move { while reader.receive().await.is_ok() {} });
    let waiter = world.interface.clone();
    let waits = world.spawn(async move {
        let _ = waiter.until(|_| None::<()>).await;
    });
    world.turns(1);
    let wakes = |flag: &Flag| flag.wakes.swap(0, Ordering::Relaxed);
    wakes(&reads);
    wakes(&waits);
    world.turns(50);
    assert_eq!((wakes(&reads), wakes(&waits)), (0, 0));
    world.come(packet(100, 1));
    world.turns(10);
    assert_eq!((wakes(&reads), wakes(&waits)), (1, 0));
    world.shared.back().control().set_carrier(Link::Down);
    world.turns(50);
    assert_eq!((wakes(&reads), wakes(&waits)), (0, 1));
}

/// Packets come as fast as they are read: the backend is beside the guest.
#[test]
fn hc_006_packets_without_end_do_not_keep_a_task_from_the_loop() {
    let mut world = World::new(Options::DEFAULT);
    let mut back = world.shared.back.take().expect("there is a backend");
    let total = Rc::new(Cell::new(0));
    let (interface, count) = (world.interface.clone(), Rc::clone(&total));
    world.spawn(async move {
        while count.get() < 3000 {
            back.push_packet(Packet::new(packet(100, count.get())));
            back.step();
            assert_eq!(interface.receive().await, Ok(packet(100, count.get())));
            count.set(count.get() + 1);
        }
    });
    while total.get() < 3000 {
        let before = total.get();
        world.turn();
        assert!(total.get() - before <= RING_SLOTS as usize, "{} in one call", total.get() - before);
    }
}

/// What tasks are made of: the last waker's end is the task's end.
struct Owner(
    #[expect(dead_code, reason = "it is held")] Pin<Box<dyn Future<Output = Result<Vec<u8>, Ended>> + Send + Sync>>,
);

impl Wake for Owner {
    fn wake(self: Arc<Self>) {}
}

#[test]
fn a_waker_that_goes_may_take_a_task_along_that_waits_itself() {
    let (done, is_done) = mpsc::channel();
    std::thread::spawn(move || {
        let mut world = World::new(Options::DEFAULT);
        let waker = || {
            let interface = world.interface.clone();
            let mut task = Box::pin(async move { interface.receive().await });
            assert!(poll_once(&mut task).is_pending());
            Waker::from(Arc::new(Owner(task)))
        };
        let mut future = Box::pin(world.interface.receive());
        assert!(future.as_mut().poll(&mut Context::from_waker(&waker())).is_pending());
        assert!(poll_once(&mut future).is_pending(), "it has another one now");
        assert!(future.as_mut().poll(&mut Context::from_waker(&waker())).is_pending());
        drop(future);
        let interface = world.interface.clone();
        let mut future = Box::pin(interface.receive());
        assert!(future.as_mut().poll(&mut Context::from_waker(&waker())).is_pending());
        world.come(packet(100, 1));
        world.turns(3);
        done.send(()).unwrap();
    });
    is_done.recv_timeout(Duration::from_secs(20)).expect("it ends");
}
