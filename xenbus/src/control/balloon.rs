//! Giving memory back, and taking it again.

use core::time::Duration;

use xen_hypercall::{Balloon, Errno};

use crate::bus::Backoff;

/// How many pages a poll moves at most: 1 MiB.
pub const STEP: usize = 256;

/// Brings what a kernel holds to what the tools ask for.
///
/// Each poll moves [`STEP`] pages at most, so that others run in between. Where nothing moves, because the kernel's memory is in use
/// or the machine's is, it is tried again after a pause, which grows from 10 ms to 10 s. There is no limit to how long that goes on:
/// the target is a wish, and nothing depends on it. A target below the floor, or below what the kernel can do without, is met as
/// far as possible.
#[derive(Debug)]
pub struct BalloonDriver {
    floor: usize,
    target: Option<usize>,
    backoff: Backoff,
    /// From when on to try, if there is something to do.
    next: Option<Duration>,
}

/// What a poll did, and what is left to do.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Progress {
    /// What the kernel holds now, in pages.
    pub held: usize,
    /// What it should hold, within what it can.
    pub goal: usize,
    /// What came of it.
    pub outcome: Outcome,
}

/// What came of a poll.
#[non_exhaustive]
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Outcome {
    /// The kernel holds what it should.
    Reached,
    /// Some pages moved. More are to follow.
    Moved,
    /// None moved. It is tried again later.
    Stuck,
    /// Xen refused. It is tried again later.
    Refused(Errno),
    /// It was not yet time to try again, or there is no target.
    Resting,
}

impl BalloonDriver {
    /// A driver that leaves the kernel `floor` pages at least, and has no target.
    #[must_use]
    pub const fn new(floor: usize) -> Self {
        Self { floor, target: None, backoff: Backoff::new(), next: None }
    }

    /// What the tools ask for now, in pages, as [`MemoryTarget::pages`](super::MemoryTarget::pages) tells it. None leaves everything
    /// as it is.
    pub fn set_target(&mut self, pages: Option<usize>) {
        if self.target != pages {
            (self.target, self.backoff) = (pages, Backoff::new());
            self.next = pages.map(|_| Duration::ZERO);
        }
    }

    /// Moves some pages, if it is time.
    pub fn poll<B: Balloon>(&mut self, balloon: &B, now: Duration) -> Progress {
        let goal = self.goal(balloon);
        let outcome = match self.next {
            Some(next) if now >= next => self.step(balloon, goal, now),
            _ => Outcome::Resting,
        };
        Progress { held: balloon.held(), goal, outcome }
    }

    /// When to poll, if there is something to do; a time that has passed says that others may run first, and then at once.
    #[must_use]
    pub const fn next_deadline(&self) -> Option<Duration> {
        self.next
    }

    fn goal<B: Balloon>(&self, balloon: &B) -> usize {
        let target = self.target.unwrap_or_else(|| balloon.held());
        target.max(self.floor).max(balloon.least()).min(balloon.most())
    }

    fn step<B: Balloon>(&mut self, balloon: &B, goal: usize, now: Duration) -> Outcome {
        let held = balloon.held();
        let moved = if held > goal {
            Ok(balloon.give_up((held - goal).min(STEP)))
        } else if held < goal {
            balloon.take_back((goal - held).min(STEP))
        } else {
            return self.rest(balloon, now);
        };
        let outcome = match moved {
            Ok(0) => Outcome::Stuck,
            Ok(_) => Outcome::Moved,
            Err(errno) => Outcome::Refused(errno),
        };
        self.next = Some(if outcome == Outcome::Moved {
            self.backoff = Backoff::new();
            now
        } else {
            now.saturating_add(self.backoff.next_pause())
        });
        outcome
    }

    /// The goal is reached; but the kernel may be able to do with less later on, where it could not now.
    fn rest<B: Balloon>(&mut self, balloon: &B, now: Duration) -> Outcome {
        let further = self.target.is_some_and(|target| balloon.held() > target.max(self.floor));
        self.next = further.then(|| now.saturating_add(self.backoff.next_pause()));
        Outcome::Reached
    }
}

#[cfg(test)]
mod tests {
    use core::cell::Cell;

    use proptest::prelude::*;

    use super::*;

    /// Memory of which some is in use, on a machine that has some to give.
    #[derive(Debug)]
    struct Memory {
        held: Cell<usize>,
        used: Cell<usize>,
        spare: Cell<usize>,
        largest: Cell<usize>,
    }

    const MOST: usize = 10_000;

    impl Memory {
        fn new(used: usize) -> Self {
            Self { held: Cell::new(MOST), used: Cell::new(used), spare: Cell::new(0), largest: Cell::new(0) }
        }
    }

    impl Balloon for Memory {
        fn held(&self) -> usize {
            self.held.get()
        }

        fn most(&self) -> usize {
            MOST
        }

        fn least(&self) -> usize {
            self.used.get()
        }

        fn give_up(&self, pages: usize) -> usize {
            self.largest.set(self.largest.get().max(pages));
            let given = pages.min(self.held.get() - self.used.get());
            self.held.set(self.held.get() - given);
            self.spare.set(self.spare.get() + given);
            given
        }

        fn take_back(&self, pages: usize) -> Result<usize, Errno> {
            self.largest.set(self.largest.get().max(pages));
            let taken = pages.min(self.spare.get());
            if taken == 0 {
                return Err(Errno::NOMEM);
            }
            self.spare.set(self.spare.get() - taken);
            self.held.set(self.held.get() + taken);
            Ok(taken)
        }
    }

    /// Polls as deadlines say, for a while, and answers with what the last poll and how many there were.
    fn run(driver: &mut BalloonDriver, memory: &Memory, from: Duration, time: Duration) -> (Progress, usize) {
        let (mut now, mut polls) = (from, 1);
        let mut progress = driver.poll(memory, now);
        while let Some(next) = driver.next_deadline().filter(|next| *next <= from + time) {
            now = now.max(next);
            progress = driver.poll(memory, now);
            polls += 1;
        }
        (progress, polls)
    }

    const HOUR: Duration = Duration::from_secs(3600);

    #[test]
    fn a_target_is_reached_in_bounded_steps_both_ways() {
        let (memory, mut driver) = (Memory::new(100), BalloonDriver::new(500));
        assert_eq!(driver.poll(&memory, HOUR).outcome, Outcome::Resting, "nobody asked");
        driver.set_target(Some(2000));
        let (progress, polls) = run(&mut driver, &memory, HOUR, HOUR);
        assert_eq!(progress, Progress { held: 2000, goal: 2000, outcome: Outcome::Reached });
        assert_eq!((memory.largest.get(), polls), (STEP, 8000_usize.div_ceil(STEP) + 1));
        driver.set_target(Some(9000));
        assert_eq!(run(&mut driver, &memory, HOUR, HOUR).0.held, 9000);
        assert_eq!(driver.next_deadline(), None);
    }

    #[test]
    fn a_target_is_kept_between_floor_and_maximum() {
        let (memory, mut driver) = (Memory::new(100), BalloonDriver::new(500));
        driver.set_target(Some(0));
        assert_eq!(run(&mut driver, &memory, HOUR, HOUR).0.held, 500);
        driver.set_target(Some(usize::MAX));
        assert_eq!(run(&mut driver, &memory, HOUR, HOUR).0.held, MOST);
    }

    #[test]
    fn fault_17_memory_in_use_is_left_alone_and_tried_for_ever_less_often() {
        let (memory, mut driver) = (Memory::new(9_000), BalloonDriver::new(500));
        driver.set_target(Some(1000));
        let (progress, polls) = run(&mut driver, &memory, HOUR, HOUR);
        assert_eq!((progress.held, progress.goal), (9_000, 9_000));
        assert!(polls < 400, "{polls}");
        memory.used.set(100);
        assert_eq!(run(&mut driver, &memory, HOUR * 2, HOUR).0.held, 1000, "it goes on when that is free");
    }

    #[test]
    fn fault_17_a_machine_without_memory_is_asked_ever_less_often() {
        let (memory, mut driver) = (Memory::new(100), BalloonDriver::new(500));
        memory.held.set(1000);
        driver.set_target(Some(2000));
        let (progress, polls) = run(&mut driver, &memory, HOUR, HOUR);
        assert_eq!((progress.held, progress.outcome), (1000, Outcome::Refused(Errno::NOMEM)));
        assert!(polls < 400, "{polls}");
        memory.spare.set(5000);
        assert_eq!(run(&mut driver, &memory, HOUR * 2, HOUR).0.held, 2000);
    }

    proptest! {
        #[test]
        fn what_is_held_stays_within_bounds(targets in proptest::collection::vec((any::<Option<u16>>(), 0_usize..MOST), 0..40)) {
            let (memory, mut driver, mut now) = (Memory::new(0), BalloonDriver::new(500), HOUR);
            for (target, used) in targets {
                memory.used.set(used.min(memory.held.get()));
                driver.set_target(target.map(usize::from));
                now += Duration::from_secs(60);
                let (progress, polls) = run(&mut driver, &memory, now, Duration::from_secs(60));
                prop_assert!(polls < 2 * (MOST / STEP + 30));
                prop_assert!((500..=MOST).contains(&progress.held));
                prop_assert!(progress.held >= memory.used.get());
            }
        }
    }
}
