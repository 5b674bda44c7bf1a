//! A disk for tasks.

use std::cell::Cell;
use std::future::Future;
use std::rc::Rc;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::task::{Context, Waker};
use std::time::Duration;

use xen_blkfront::{Discard, Event, Flushed, IoError, Options, Rejection, Sector512, Vanishing};
use xen_sim::When;
use xen_sim::blkback::{Fault, Options as Offer, Restart, Which};
use xen_xenbus::bus::{End, Enumerator, Vanished};

use crate::common::contents;
use crate::drivers;
use crate::world::{Flag, World, once, run};

const SECOND: Duration = Duration::from_secs(1);
const MILLISECOND: Duration = Duration::from_millis(1);

#[test]
fn requests_are_awaited() {
    run(1, Options::DEFAULT, Offer::DEFAULT, async |world| {
        let disk = &world.disk;
        let (result, buffer) = disk.write_from(Sector512(8), world.filled(8192, 7)).await;
        assert_eq!((result, buffer.len()), (Ok(()), 8192));
        let (result, buffer) = disk.read_into(Sector512(8), world.filled(8192, 0)).await;
        assert_eq!((result, contents(&buffer)), (Ok(()), vec![7; 8192]));
        let data: Vec<u8> = (0..3 << 20).map(|index: u32| (index / 5) as u8).collect();
        disk.write(Sector512(64), &data).await.unwrap();
        disk.write_barrier(Sector512(0), &[1; 512]).await.unwrap();
        let mut read = vec![0; data.len()];
        disk.read(Sector512(64), &mut read).await.unwrap();
        assert!(read == data);
        assert_eq!(disk.flush().await, Ok(Flushed::Durable));
        disk.discard(Sector512(8), 8, Discard::Plain).await.unwrap();
        let (result, buffer) = disk.read_into(Sector512(u64::MAX), world.filled(512, 0)).await;
        assert!(matches!(result, Err(IoError::Rejected(Rejection::BeyondEnd { .. }))));
        assert_eq!(buffer.len(), 512, "it comes back");
        assert!(matches!(disk.event().await, Event::Connected));
        assert_eq!(disk.pending(), 0);
    });
}

#[test]
fn more_tasks_than_there_is_room_for_take_turns() {
    let offer = Offer { latency: MILLISECOND..9 * MILLISECOND, ..Offer::DEFAULT };
    let (_, rig) = run(2, Options { depth: 4, ..Options::DEFAULT }, offer, async |world| {
        let left = Rc::new(Cell::new(40));
        for number in 0..40_u64 {
            let (disk, left) = (world.disk.clone(), Rc::clone(&left));
            world.spawn(async move {
                disk.write(Sector512(16 * number), &[number as u8; 4096]).await.unwrap();
                left.set(left.get() - 1);
            });
        }
        while left.get() > 0 {
            // Takes turns with the others.
            assert_eq!(world.disk.flush().await, Ok(Flushed::Durable));
        }
        assert_eq!(world.disk.pending(), 0);
    });
    for number in 0..40_u64 {
        assert_eq!(rig.on_disk(16 * number, 4096), vec![number as u8; 4096]);
    }
}

#[test]
fn a_future_that_is_dropped_forgets_interest_and_nothing_else() {
    let offer = Offer { latency: 20 * MILLISECOND..30 * MILLISECOND, ..Offer::DEFAULT };
    let (_, rig) = run(3, Options::DEFAULT, offer, async |world| {
        let disk = &world.disk;
        let mut task = Box::pin(disk.write_from(Sector512(0), world.filled(1 << 20, 5)));
        assert!(once(&mut task).await.is_pending());
        drop(task);
        assert_eq!(disk.pending(), 1, "it goes on");
        assert_eq!(disk.flush().await, Ok(Flushed::Durable));
        assert_eq!(disk.pending(), 0);
        // One that was never polled was never sent.
        drop(disk.write(Sector512(0), &[6; 512]));
        let mut read = [0; 512];
        disk.read(Sector512(0), &mut read).await.unwrap();
        assert_eq!(read, [5; 512]);
        // As often as there is memory for a few times only.
        for _ in 0..40 {
            let mut task = Box::pin(disk.write_from(Sector512(0), world.filled(1 << 20, 5)));
            assert!(once(&mut task).await.is_pending());
            drop(task);
            disk.flush().await.unwrap();
        }
        disk.close();
        while !matches!(disk.event().await, Event::Ended(End::Closed)) {}
    });
    drivers::assert_given_back(&rig.machine, &rig.guest);
}

#[test]
fn a_future_that_is_dropped_leaves_nobody_behind_who_would_be_woken() {
    run(7, Options { depth: 1, ..Options::DEFAULT }, Offer::DEFAULT, async |world| {
        world.control.on(Which::All, When::Always, Fault::Hang);
        let mut first = Box::pin(world.disk.flush());
        assert!(once(&mut first).await.is_pending());
        while once(&mut Box::pin(world.disk.event())).await.is_ready() {}
        let flag = Arc::new(Flag(AtomicBool::new(false)));
        let waker = Waker::from(Arc::clone(&flag));
        for _ in 0..100 {
            let (mut event, mut write) = (Box::pin(world.disk.event()), Box::pin(world.disk.flush()));
            for _ in 0..2 {
                assert!(event.as_mut().poll(&mut Context::from_waker(&waker)).is_pending());
                assert!(write.as_mut().poll(&mut Context::from_waker(&waker)).is_pending());
            }
            assert_eq!(Arc::strong_count(&flag), 4, "each has one place, and no more");
        }
        assert_eq!(Arc::strong_count(&flag), 2);
    });
}

#[test]
fn a_request_without_an_answer_is_given_up() {
    let options = Options { patience: 2 * SECOND, depth: 128, ..Options::DEFAULT };
    run(4, options, Offer::DEFAULT, async |world| {
        world.control.on(Which::All, When::Always, Fault::Hang);
        let left = Rc::new(Cell::new(100));
        for number in 0..100 {
            let (disk, left) = (world.disk.clone(), Rc::clone(&left));
            world.spawn(async move {
                assert_eq!(disk.write(Sector512(16 * number), &[1; 512]).await, Err(IoError::Abandoned));
                left.set(left.get() - 1);
            });
        }
        let since = world.store.now();
        assert_eq!(world.disk.flush().await, Err(IoError::Abandoned));
        let took = world.store.now() - since;
        assert!((2 * SECOND..3 * SECOND).contains(&took), "{took:?}");
        world.control.clear();
        world.control.go_on();
        while left.get() > 0 {
            let _ = world.disk.read(Sector512(0), &mut [0; 512]).await;
        }
        assert_eq!(world.disk.flush().await, Ok(Flushed::Durable), "it lives");
    });
}

#[test]
fn tasks_go_on_when_the_backend_restarts() {
    for seed in 10..14 {
        let options = Options { journal: 1 << 20, ..Options::DEFAULT };
        let offer = Offer { latency: MILLISECOND..3 * MILLISECOND, ..Offer::DEFAULT };
        let (connections, _) = run(seed, options, offer, async move |world| {
            for round in 0..30_u8 {
                if round % 10 == 5 {
                    world.control.restart(Restart::Orderly);
                }
                world.disk.write(Sector512(8 * u64::from(round)), &[round; 4096]).await.unwrap();
            }
            assert_eq!(world.disk.flush().await, Ok(Flushed::Durable));
            world.disk.statistics().connections
        });
        assert!(connections > 1, "seed {seed}: {connections}");
    }
}

/// Has the domain migrated three times while tasks write. The disk follows its device by itself, or is given the next one.
fn migrations(seed: u64, follows: bool) {
    let offer = Offer { latency: MILLISECOND..20 * MILLISECOND, ..Offer::DEFAULT };
    let (connections, rig) = run(seed, Options::DEFAULT, offer, async move |world| {
        world.store.platform().migrate_on_suspend();
        let mut enumerator = Enumerator::new();
        enumerator.look_async(&world.store).await.unwrap();
        if follows {
            follow(&world);
        }
        for round in 1..=3_u8 {
            let left = Rc::new(Cell::new(40));
            for block in 0..40 {
                let (disk, left) = (world.disk.clone(), Rc::clone(&left));
                world.spawn(async move {
                    disk.write(Sector512(16 * block), &[round; 4096]).await.unwrap();
                    left.set(left.get() - 1);
                });
            }
            world.suspend.set(true);
            while !matches!(world.disk.event().await, Event::Detached(End::Suspended)) {}
            if !follows {
                enumerator.resumed();
                reattach(&world, &mut enumerator).await;
            }
            while left.get() > 0 {
                assert_eq!(world.disk.flush().await, Ok(Flushed::Durable));
            }
        }
        world.disk.statistics().connections
    });
    assert_eq!(connections, 4);
    for block in 0..40 {
        assert_eq!(rig.on_disk(16 * block, 4096), vec![3; 4096], "seed {seed}, block {block}");
    }
}

/// Looks for the device until it is there, and has the disk go on with it.
async fn reattach(world: &World, enumerator: &mut Enumerator) {
    loop {
        let changes = enumerator.look_async(&world.store).await.unwrap_or_default();
        if let Some(device) = changes.into_iter().find_map(drivers::found) {
            return world.disk.reattach(device).await.unwrap();
        }
    }
}

#[test]
fn tasks_go_on_after_each_migration() {
    (0..4).for_each(|seed| migrations(seed, false));
}

#[test]
fn a_disk_that_follows_its_device_goes_on_after_each_migration() {
    (0..4).for_each(|seed| migrations(seed, true));
}

/// As with all disks. It is found again and again, and each time nobody is behind it.
#[test]
fn a_device_without_a_backend_is_looked_for_ever_less_often() {
    let options = Options { vanished: Vanishing::Hold(20 * SECOND), ..Options::DEFAULT };
    run(6, options, Offer::DEFAULT, async |world| {
        follow(&world);
        world.dies.store(true, Ordering::Release);
        let (since, before) = (world.store.now(), world.store.statistics().requests);
        while !matches!(world.disk.event().await, Event::Ended(End::Vanished(_))) {}
        let took = world.store.now() - since;
        assert!((20 * SECOND..31 * SECOND).contains(&took), "{took:?}");
        let requests = world.store.statistics().requests - before;
        assert!(requests < 600, "{requests} requests to xenstore");
    });
}

fn follow(world: &World) {
    let disk = world.disk.clone();
    world.spawn(async move { drop(disk.follow().await) });
}

#[test]
fn the_end_of_a_disk_is_the_end_of_those_who_wait_for_it() {
    let options = Options { vanished: Vanishing::Fail, ..Options::DEFAULT };
    let offer = Offer { latency: SECOND..2 * SECOND, ..Offer::DEFAULT };
    run(5, options, offer, async |world| {
        let mut task = Box::pin(world.disk.write(Sector512(0), &[1; 512]));
        assert!(once(&mut task).await.is_pending());
        world.store.remove(world.disk.device().path()).await.unwrap();
        assert_eq!(task.await, Err(IoError::OutcomeUnknown));
        assert_eq!(world.disk.connected().await, None);
        while !matches!(world.disk.event().await, Event::Ended(End::Vanished(Vanished::Unplugged))) {}
        assert_eq!(world.disk.serve().await, End::Vanished(Vanished::Unplugged));
        assert_eq!(world.disk.flush().await, Err(IoError::Rejected(Rejection::NotConnected)));
    });
}
