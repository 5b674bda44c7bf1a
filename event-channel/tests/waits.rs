//! Waiting, in each way.

// Under Miri each machine takes seconds to make; `storm` goes through the same code there.
#![cfg(not(any(loom, miri)))]

mod common;

use std::future::Future;
use std::iter;
use std::pin::pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};
use std::task::{Context, Poll, Wake, Waker};
use std::time::Duration;

use common::{ABIS, Pair, ms};
use xen_event_channel::{
    BURST, Channel, Events, Found, SPURIOUS_IN_A_ROW, Settled, Upcalls, WaitError, Waited, wait_any,
};
use xen_hypercall::Errno;
use xen_hypercall::abi::event_channel;
use xen_hypercall::abi::sched::Command;
use xen_hypercall::abi::{Number, VcpuId, Virq};
use xen_sim::{Domain, EventFault, Target, When};

type Wait = fn(&Channel<Domain>, u32, Duration, &Domain) -> Result<Waited, WaitError>;

/// The ways to sleep.
const WAITS: [Wait; 3] = [
    |channel, seen, deadline, guest| channel.wait_poll(seen, deadline, || guest.now()),
    |channel, seen, deadline, guest| channel.wait_block(seen, deadline, || guest.now()),
    |channel, seen, deadline, guest| {
        let found = wait_any(guest, iter::once((channel, seen)), deadline, || guest.now())?;
        Ok(if found { Waited::Counted(channel.count()) } else { Waited::TimedOut })
    },
];

/// A pair whose guest has a timer, as a block needs it to have a deadline.
fn with_timer(abi: xen_event_channel::Preference) -> (Pair, Channel<Domain>) {
    let pair = Pair::new(abi);
    let timer = Channel::virq(&pair.guest, Virq::TIMER, VcpuId(0)).unwrap();
    (pair, timer)
}

#[test]
fn an_event_that_came_before_the_wait_ends_it_at_once() {
    for (abi, wait) in ABIS.into_iter().flat_map(|abi| WAITS.map(|wait| (abi, wait))) {
        let (pair, _timer) = with_timer(abi);
        let seen = pair.ours.count();
        pair.signal(1);
        let before = pair.machine.now();
        let waited = wait(&pair.ours, seen, before + ms(500), &pair.guest);
        assert_eq!(waited, Ok(Waited::Counted(seen + 1)), "{abi:?}");
        assert!(pair.machine.now() < before + ms(1));
    }
}

#[test]
fn a_wait_without_an_event_ends_at_its_deadline() {
    for (abi, wait) in ABIS.into_iter().flat_map(|abi| WAITS.map(|wait| (abi, wait))) {
        let (pair, _timer) = with_timer(abi);
        let deadline = pair.machine.now() + ms(500);
        assert_eq!(wait(&pair.ours, pair.ours.count(), deadline, &pair.guest), Ok(Waited::TimedOut), "{abi:?}");
        let late = pair.machine.now() - deadline;
        assert!(late < ms(1), "{abi:?}: {late:?} late");
    }
}

/// Work that two domains pass to and fro: each look comes after the count was noted.
#[test]
fn an_event_from_another_domain_ends_a_wait() {
    const ROUNDS: u32 = 20;
    let cases = ABIS.into_iter().flat_map(|abi| WAITS.map(|wait| (abi, wait)));
    for (seed, (abi, wait)) in (1..10).flat_map(|seed| cases.clone().map(move |case| (seed, case))) {
        let pair = Pair::with_seed(abi, seed);
        let _timer = Channel::virq(&pair.guest, Virq::TIMER, VcpuId(0)).unwrap();
        let (ours, theirs, ball) = (&pair.ours, &pair.theirs, &AtomicU32::new(0));
        let play = |channel: &Channel<Domain>, turn: u32, wait: Wait, domain: &Domain| {
            loop {
                let seen = channel.count();
                let now = ball.load(Ordering::Relaxed);
                if now % 2 == turn {
                    ball.store(now + 1, Ordering::Relaxed);
                    channel.notify().unwrap();
                    let _ = channel.settle(Found::Work, domain.now()).unwrap();
                }
                if now + 1 >= 2 * ROUNDS {
                    return;
                }
                let waited = wait(channel, seen, domain.now() + ms(5000), domain);
                assert!(matches!(waited, Ok(Waited::Counted(_))), "{abi:?}, seed {seed}: {waited:?} at {now}");
            }
        };
        let run = pair.machine.run(|scope| {
            scope.spawn(&pair.guest, move |guest| play(ours, 0, wait, guest));
            scope.spawn(&pair.peer, move |peer| play(theirs, 1, WAITS[0], peer));
        });
        assert_eq!(run, Ok(()));
        assert!(ball.load(Ordering::Relaxed) >= 2 * ROUNDS - 1);
    }
}

/// An event in each step of a wait, between the look and the sleep above all.
#[test]
fn an_event_just_before_the_sleep_ends_it() {
    for (abi, wait) in ABIS.into_iter().flat_map(|abi| WAITS.map(|wait| (abi, wait))) {
        for delay in 0..6 {
            let (pair, _timer) = with_timer(abi);
            pair.machine.faults().disturb_events(&pair.guest, When::Nth(1), EventFault::Delay(delay));
            let (seen, before) = (pair.ours.count(), pair.machine.now());
            pair.signal(1);
            let waited = wait(&pair.ours, seen, before + ms(500), &pair.guest);
            assert_eq!(waited, Ok(Waited::Counted(seen + 1)), "{abi:?}, {delay} steps later");
            assert!(pair.machine.now() < before + ms(1), "{abi:?}, {delay} steps later: slept over");
        }
    }
}

/// Other channels' events end the sleep, and are no reason to end the wait.
#[test]
fn events_of_others_are_served_and_slept_over() {
    for (abi, wait) in ABIS.into_iter().flat_map(|abi| WAITS.map(|wait| (abi, wait))) {
        let (pair, timer) = with_timer(abi);
        let (ours, theirs) = common::connect(&pair.guest, &pair.peer);
        let ticks = timer.count();
        theirs.notify().unwrap();
        let deadline = pair.machine.now() + ms(500);
        assert_eq!(wait(&pair.ours, pair.ours.count(), deadline, &pair.guest), Ok(Waited::TimedOut), "{abi:?}");
        assert!(pair.machine.now() >= deadline);
        assert!(timer.count() >= ticks && ours.count() > 0);
    }
}

#[test]
fn a_wait_for_any_of_two_ends_for_either() {
    for abi in ABIS {
        let pair = Pair::new(abi);
        let (other, theirs) = common::connect(&pair.guest, &pair.peer);
        let both = |seen: [u32; 2]| [(&pair.ours, seen[0]), (&other, seen[1])].into_iter();
        let wait = |seen, time| wait_any(&pair.guest, both(seen), pair.machine.now() + time, || pair.guest.now());
        let mut seen = [pair.ours.count(), other.count()];
        assert_eq!(wait(seen, ms(5)), Ok(false), "{abi:?}");
        pair.signal(1);
        assert_eq!(wait(seen, ms(500)), Ok(true));
        seen[0] = pair.ours.count();
        pair.machine.faults().disturb_events(&pair.guest, When::Nth(1), EventFault::Delay(4));
        theirs.notify().unwrap();
        let before = pair.machine.now();
        assert_eq!(wait(seen, ms(500)), Ok(true));
        assert!(other.count() > seen[1] && pair.machine.now() < before + ms(1), "{abi:?}: slept over");
    }
}

#[test]
fn a_wait_leaves_upcalls_as_they_were() {
    for wait in WAITS {
        let (pair, _timer) = with_timer(ABIS[0]);
        for before in [Upcalls::Held, Upcalls::Open] {
            pair.guest.hold_upcalls();
            if before == Upcalls::Open {
                pair.guest.release_upcalls();
            }
            let deadline = pair.machine.now() + ms(5);
            assert_eq!(wait(&pair.ours, pair.ours.count(), deadline, &pair.guest), Ok(Waited::TimedOut));
            assert_eq!(pair.guest.hold_upcalls(), before);
            pair.guest.release_upcalls();
        }
    }
}

/// A wait lifts the mask of a storm at once, and that of a hold when its time has come.
#[test]
fn a_wait_gets_the_event_behind_a_hold() {
    for (abi, wait) in ABIS.into_iter().flat_map(|abi| WAITS.map(|wait| (abi, wait))) {
        let (pair, _timer) = with_timer(abi);
        pair.signal(2 * BURST);
        let seen = pair.ours.count();
        let waited = wait(&pair.ours, seen, pair.machine.now() + ms(500), &pair.guest);
        assert_eq!(waited, Ok(Waited::Counted(seen + 1)), "{abi:?}: behind the storm's mask");

        pair.settle(Found::Work);
        let mut settled = Settled::Open;
        for _ in 0..=SPURIOUS_IN_A_ROW {
            pair.signal(1);
            settled = pair.settle(Found::Nothing);
        }
        let Settled::Held(end) = settled else { panic!("{abi:?}: not held") };
        let seen = pair.ours.count();
        pair.signal(1);
        let calls = || pair.machine.trace().count(Number::SCHED_OP, None);
        let before = calls();
        let waited = wait(&pair.ours, seen, pair.machine.now() + ms(500), &pair.guest);
        assert_eq!(waited, Ok(Waited::Counted(seen + 1)), "{abi:?}: behind the hold");
        assert!(calls() - before < 5, "{abi:?}: it sleeps {} times", calls() - before);
        assert!(pair.machine.now() >= end && pair.machine.now() < end + ms(1), "{abi:?}: not before its end");
    }
}

/// The owner's mask is not a hold: a wait sleeps behind it until its deadline, and no settling ends it.
#[test]
fn a_wait_sleeps_behind_the_owners_mask() {
    for (abi, wait) in ABIS.into_iter().flat_map(|abi| WAITS.map(|wait| (abi, wait))) {
        let (pair, _timer) = with_timer(abi);
        pair.signal(2 * BURST);
        pair.ours.mask().unwrap();
        assert_eq!(pair.settle(Found::Work), Settled::Open);
        let seen = pair.ours.count();
        pair.signal(1);
        let calls = || pair.machine.trace().count(Number::SCHED_OP, None);
        let (before, deadline) = (calls(), pair.machine.now() + ms(50));
        assert_eq!(wait(&pair.ours, seen, deadline, &pair.guest), Ok(Waited::TimedOut), "{abi:?}");
        assert!(calls() - before < 5, "{abi:?}: it sleeps {} times", calls() - before);
        pair.ours.unmask().unwrap();
        assert_eq!(wait(&pair.ours, seen, deadline + ms(50), &pair.guest), Ok(Waited::Counted(seen + 1)), "{abi:?}");
    }
}

/// A mask that its channel has closed with is not the next channel's.
#[test]
fn the_owners_mask_goes_with_the_owner() {
    for abi in ABIS {
        let pair = Pair::new(abi);
        pair.ours.mask().unwrap();
        drop(pair.ours);
        let (next, peers) = common::connect(&pair.guest, &pair.peer);
        let seen = next.count();
        (0..2 * BURST).for_each(|_| peers.notify().unwrap());
        assert_eq!(next.settle(Found::Work, pair.machine.now()), Ok(Settled::Open));
        assert_eq!(next.count(), seen + BURST + 3, "{abi:?}: a settling ends the storm's hold");
    }
}

#[test]
fn hc_172_a_refused_sleep_is_an_error_and_leaves_upcalls_open() {
    let targets = [Target::sched(Command::POLL), Target::sched(Command::BLOCK)];
    for (wait, target) in WAITS.into_iter().zip(targets) {
        for target in [target, Target::number(Number::SET_TIMER_OP)] {
            let (pair, _timer) = with_timer(ABIS[0]);
            pair.machine.faults().fail(target, When::Always, Errno::FAULT);
            let waited = wait(&pair.ours, pair.ours.count(), pair.machine.now() + ms(5), &pair.guest);
            // A poll sets no timer.
            assert!(matches!(waited, Err(WaitError::Refused(Errno::FAULT)) | Ok(Waited::TimedOut)), "{waited:?}");
            assert_eq!(pair.guest.hold_upcalls(), Upcalls::Open);
        }
    }
}

#[derive(Default)]
struct Count(AtomicU32);

impl Wake for Count {
    fn wake(self: Arc<Self>) {
        self.0.fetch_add(1, Ordering::Relaxed);
    }
}

#[test]
fn a_task_is_woken_once_for_each_time_that_it_asks() {
    for abi in ABIS {
        let pair = Pair::new(abi);
        let count = Arc::new(Count::default());
        let waker = Waker::from(Arc::clone(&count));
        let mut context = Context::from_waker(&waker);
        let woken = || count.0.load(Ordering::Relaxed);
        for round in 1..=3 {
            let seen = pair.ours.count();
            let mut event = pin!(pair.ours.event(seen));
            assert!(event.as_mut().poll(&mut context).is_pending());
            assert_eq!(woken(), round - 1);
            pair.signal(3);
            assert_eq!(woken(), round, "{abi:?}");
            assert_eq!(event.as_mut().poll(&mut context), Poll::Ready(Ok(seen + 3)));
        }
    }
}

#[test]
fn a_task_that_asks_too_late_is_answered_at_once() {
    let pair = Pair::new(ABIS[0]);
    let seen = pair.ours.count();
    pair.signal(1);
    let polled = pair.ours.poll_event(&mut Context::from_waker(Waker::noop()), seen);
    assert_eq!(polled, Poll::Ready(Ok(seen + 1)));
}

/// A storm calls a waiting task: it has to settle, or the port stays masked.
#[test]
fn a_storm_wakes_who_waits() {
    for abi in ABIS {
        let pair = Pair::new(abi);
        let count = Arc::new(Count::default());
        let waker = Waker::from(Arc::clone(&count));
        pair.signal(BURST);
        let seen = pair.ours.count();
        assert!(pair.ours.poll_event(&mut Context::from_waker(&waker), seen).is_pending());
        pair.signal(BURST);
        assert_eq!(count.0.load(Ordering::Relaxed), 1, "{abi:?}");
        assert!(pair.ours.count() > seen);
    }
}

/// A task that never settles loses nothing but time: asking for the next event ends the hold.
#[test]
fn hc_090_a_task_that_does_not_settle_gets_every_event() {
    for abi in ABIS {
        let pair = Pair::new(abi);
        let count = Arc::new(Count::default());
        let waker = Waker::from(Arc::clone(&count));
        let mut context = Context::from_waker(&waker);
        for n in 1..=3 * BURST {
            let before = count.0.load(Ordering::Relaxed);
            // The storm's own count is one to look at as well.
            while pair.ours.poll_event(&mut context, pair.ours.count()).is_ready() {}
            pair.signal(1);
            assert_eq!(count.0.load(Ordering::Relaxed), before + 1, "{abi:?}: woken for event {n}");
        }
        assert!(pair.ours.statistics().storms >= 2, "{abi:?}");
    }
}

#[test]
fn hc_172_a_task_is_told_that_its_hold_does_not_end() {
    let pair = Pair::new(ABIS[0]);
    pair.signal(2 * BURST);
    pair.machine.faults().fail(Target::event_channel(event_channel::Command::UNMASK), When::Nth(1), Errno::NOMEM);
    let poll = || pair.ours.poll_event(&mut Context::from_waker(Waker::noop()), pair.ours.count());
    assert_eq!(poll(), Poll::Ready(Err(WaitError::Refused(Errno::NOMEM))));
    assert_eq!(poll(), Poll::Pending);
    let seen = pair.ours.count();
    pair.signal(1);
    assert_eq!(pair.ours.count(), seen + 1);
}

/// Without an upcall handler, as in early boot.
#[test]
fn a_poll_needs_no_upcalls() {
    for abi in ABIS {
        let pair = Pair::new(abi);
        pair.guest.set_upcall(|_, _| panic!("no upcall is wanted"));
        assert_eq!(pair.guest.hold_upcalls(), Upcalls::Open);
        let seen = pair.ours.count();
        pair.signal(1);
        let waited = pair.ours.wait_poll(seen, pair.machine.now() + ms(5), || pair.guest.now());
        assert_eq!(waited, Ok(Waited::Counted(seen + 1)), "{abi:?}");
    }
}
