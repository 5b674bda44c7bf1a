//! The order of a suspend.

use core::time::Duration;

/// Counts the resumes of a domain. What belongs to an earlier one is stale.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Epoch(pub u64);

/// Whether something is ready for a suspend.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Ready {
    /// It has begun nothing that a suspend would break.
    Yes,
    /// Not yet; ask again. Something is under way that is to end first.
    NotYet,
}

/// What lives through a suspend: a driver, a front half.
pub trait Resumable {
    /// Begin nothing new: the domain is about to be suspended. Asked again and again until everybody is ready. It must not block.
    fn prepare(&mut self, now: Duration) -> Ready;

    /// The suspend was called off, before or after the domain would have been suspended. Go on as if nothing had been; all time
    /// limits begin anew. Also called where [`prepare`](Self::prepare) never was.
    fn cancelled(&mut self, now: Duration);

    /// The domain was suspended, and is another one now. Its grants, its channels and its devices' halves are gone. `now` has
    /// nothing to do with times of before.
    fn resumed(&mut self, epoch: Epoch, now: Duration);
}

/// How the domain came back.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Resumed {
    /// From its image: as another domain, maybe on another machine.
    Anew,
    /// As if nothing had been: the suspend was cancelled, or refused.
    AsBefore,
}

/// What to do next for a suspend.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum SuspendStep {
    /// Nothing: no suspend is wanted.
    Idle,
    /// Poll again when somebody became ready, and at this time.
    Wait(Duration),
    /// Bring the store to rest: no transaction stays open, no call in flight, and none begins. Answer with
    /// [`rested`](Suspender::rested).
    Rest {
        /// There is time until then.
        until: Duration,
    },
    /// Suspend the domain, and answer with [`came_back`](Suspender::came_back). Bring the store back to work before that.
    Suspend,
    /// It took too long. Everybody was told that it is called off. The tools notice by themselves (they wait for a minute), and the
    /// domain goes on.
    GaveUp,
}

/// Takes a domain through a suspend.
///
/// The order is: all parts end what they have under way, and begin nothing new; the store comes to rest; the domain is suspended.
/// What comes back is told to all parts, in their order: the first one is what the others rest upon. A request that comes while
/// devices connect or close, or while a transaction is open, waits until that does no harm; one that comes while another is under
/// way is the same one. If it takes longer than the limit, it is called off.
#[derive(Debug)]
pub struct Suspender {
    phase: Phase,
    limit: Duration,
    epoch: Epoch,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Phase {
    Idle,
    Asked,
    /// The parts are to be ready by then.
    Preparing(Duration),
    /// The store is to be at rest by then.
    Resting(Duration),
    Suspending,
    GaveUp,
}

impl Suspender {
    /// How long parts and store have to become ready: half of what the tools wait for, tools/libs/light/libxl_dom_suspend.c.
    pub const LIMIT: Duration = Duration::from_secs(30);

    /// No suspend is wanted. `limit` bounds how long parts and store have to become ready.
    #[must_use]
    pub const fn new(limit: Duration) -> Self {
        Self { phase: Phase::Idle, limit, epoch: Epoch(0) }
    }

    /// A suspend is wanted.
    pub fn request(&mut self) {
        if self.phase == Phase::Idle {
            self.phase = Phase::Asked;
        }
    }

    /// What to do next.
    pub fn poll(&mut self, parts: &mut [&mut dyn Resumable], now: Duration) -> SuspendStep {
        if self.phase == Phase::Asked {
            self.phase = Phase::Preparing(now.saturating_add(self.limit));
        }
        match self.phase {
            Phase::Idle | Phase::Asked => SuspendStep::Idle,
            Phase::Preparing(until) => self.prepare(parts, until, now),
            Phase::Resting(until) if now < until => SuspendStep::Rest { until },
            Phase::Suspending => SuspendStep::Suspend,
            Phase::Resting(_) | Phase::GaveUp => self.give_up(parts, now),
        }
    }

    /// The store is at rest; or it did not come to rest in time, and everything is called off.
    pub const fn rested(&mut self, at_rest: Result<(), ()>) {
        if let Phase::Resting(_) = self.phase {
            self.phase = if at_rest.is_ok() { Phase::Suspending } else { Phase::GaveUp };
        }
    }

    /// The domain goes on: resumed, as another one, or because the suspend was cancelled or refused.
    pub fn came_back(&mut self, resumed: Resumed, parts: &mut [&mut dyn Resumable], now: Duration) {
        if self.phase != Phase::Suspending {
            return;
        }
        self.phase = Phase::Idle;
        match resumed {
            Resumed::Anew => {
                self.epoch = Epoch(self.epoch.0.saturating_add(1));
                parts.iter_mut().for_each(|part| part.resumed(self.epoch, now));
            }
            Resumed::AsBefore => parts.iter_mut().for_each(|part| part.cancelled(now)),
        }
    }

    /// How many times the domain has resumed.
    #[must_use]
    pub const fn epoch(&self) -> Epoch {
        self.epoch
    }

    /// Asks all parts, so that each gets on with it, and not only those until the first that is not ready.
    fn prepare(&mut self, parts: &mut [&mut dyn Resumable], until: Duration, now: Duration) -> SuspendStep {
        let ready = parts.iter_mut().fold(true, |ready, part| (part.prepare(now) == Ready::Yes) & ready);
        if ready {
            self.phase = Phase::Resting(until);
            return SuspendStep::Rest { until };
        }
        if now >= until {
            return self.give_up(parts, now);
        }
        SuspendStep::Wait(until)
    }

    fn give_up(&mut self, parts: &mut [&mut dyn Resumable], now: Duration) -> SuspendStep {
        self.phase = Phase::Idle;
        parts.iter_mut().for_each(|part| part.cancelled(now));
        SuspendStep::GaveUp
    }
}

#[cfg(test)]
mod tests {
    use alloc::vec::Vec;

    use super::*;

    const SECOND: Duration = Duration::from_secs(1);

    /// A part that takes some time to become ready.
    #[derive(Debug, Default)]
    struct Part {
        busy: usize,
        told: Vec<&'static str>,
        epoch: Epoch,
    }

    impl Resumable for Part {
        fn prepare(&mut self, _: Duration) -> Ready {
            match self.busy.checked_sub(1) {
                Some(left) => {
                    self.busy = left;
                    Ready::NotYet
                }
                None => Ready::Yes,
            }
        }

        fn cancelled(&mut self, _: Duration) {
            self.told.push("cancelled");
        }

        fn resumed(&mut self, epoch: Epoch, _: Duration) {
            self.told.push("resumed");
            self.epoch = epoch;
        }
    }

    #[test]
    fn hc_156_a_suspend_waits_until_parts_and_store_are_ready() {
        let (mut suspender, mut a, mut b) = (Suspender::new(SECOND * 30), Part::default(), Part::default());
        b.busy = 2;
        assert_eq!(suspender.poll(&mut [&mut a, &mut b], SECOND), SuspendStep::Idle);
        suspender.request();
        assert_eq!(suspender.poll(&mut [&mut a, &mut b], SECOND), SuspendStep::Wait(SECOND * 31));
        suspender.request();
        assert_eq!(suspender.poll(&mut [&mut a, &mut b], SECOND * 2), SuspendStep::Wait(SECOND * 31), "the same one");
        let rest = SuspendStep::Rest { until: SECOND * 31 };
        assert_eq!(suspender.poll(&mut [&mut a, &mut b], SECOND * 3), rest);
        assert_eq!(suspender.poll(&mut [&mut a, &mut b], SECOND * 4), rest, "a transaction is open");
        suspender.rested(Ok(()));
        assert_eq!(suspender.poll(&mut [&mut a, &mut b], SECOND * 5), SuspendStep::Suspend);
        suspender.came_back(Resumed::Anew, &mut [&mut a, &mut b], SECOND * 9000);
        assert_eq!((a.told, b.told, b.epoch), (Vec::from(["resumed"]), Vec::from(["resumed"]), Epoch(1)));
        assert_eq!(suspender.poll(&mut [], SECOND * 9000), SuspendStep::Idle);
    }

    #[test]
    fn hc_156_a_part_that_is_never_ready_has_it_called_off_for_all() {
        let (mut suspender, mut a, mut b) = (Suspender::new(SECOND), Part::default(), Part::default());
        a.busy = usize::MAX;
        suspender.request();
        assert_eq!(suspender.poll(&mut [&mut a, &mut b], SECOND), SuspendStep::Wait(SECOND * 2));
        assert_eq!(suspender.poll(&mut [&mut a, &mut b], SECOND * 2), SuspendStep::GaveUp);
        assert_eq!(suspender.poll(&mut [&mut a, &mut b], SECOND * 2), SuspendStep::Idle);
        assert_eq!((a.told, b.told, suspender.epoch()), (Vec::from(["cancelled"]), Vec::from(["cancelled"]), Epoch(0)));
    }

    #[test]
    fn hc_156_a_store_that_does_not_come_to_rest_has_it_called_off() {
        for at_rest in [Some(Err(())), None] {
            let (mut suspender, mut part) = (Suspender::new(SECOND), Part::default());
            suspender.request();
            assert!(matches!(suspender.poll(&mut [&mut part], SECOND), SuspendStep::Rest { .. }));
            at_rest.into_iter().for_each(|at_rest| suspender.rested(at_rest));
            assert_eq!(suspender.poll(&mut [&mut part], SECOND * 2), SuspendStep::GaveUp);
            assert_eq!(part.told, ["cancelled"]);
        }
    }

    #[test]
    fn hc_157_a_cancelled_suspend_makes_nothing_anew() {
        let (mut suspender, mut part) = (Suspender::new(SECOND), Part::default());
        suspender.request();
        suspender.poll(&mut [&mut part], SECOND);
        suspender.rested(Ok(()));
        assert_eq!(suspender.poll(&mut [&mut part], SECOND), SuspendStep::Suspend);
        suspender.came_back(Resumed::AsBefore, &mut [&mut part], SECOND);
        suspender.came_back(Resumed::Anew, &mut [&mut part], SECOND);
        assert_eq!((part.told, suspender.epoch()), (Vec::from(["cancelled"]), Epoch(0)), "it comes back once");
    }

    #[test]
    fn hc_158_every_resume_has_its_own_epoch() {
        let (mut suspender, mut part) = (Suspender::new(SECOND), Part::default());
        for resumes in 1..=3 {
            suspender.request();
            suspender.poll(&mut [&mut part], SECOND);
            suspender.rested(Ok(()));
            suspender.poll(&mut [&mut part], SECOND);
            suspender.came_back(Resumed::Anew, &mut [&mut part], SECOND);
            assert_eq!(part.epoch, Epoch(resumes));
        }
    }
}
