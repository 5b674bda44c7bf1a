//! A front half with its store, its driver and its backend.

use alloc::format;
use alloc::string::{String, ToString};
use alloc::vec::Vec;
use core::time::Duration;

use super::*;
use crate::bus::testing::{device, plugged};
use crate::bus::tree::Tree;

/// More steps than any poll takes until it rests.
const FUEL: usize = 200;

/// What the driver does when it is told something.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Driver {
    /// Offers as disks do, and is never late.
    Disk,
    /// Offers as network interfaces do, and is never late.
    Net,
    /// Says nothing unless a test says it.
    Mute,
}

#[derive(Debug)]
pub(super) struct Scene {
    pub(super) tree: Tree,
    pub(super) front: Frontend,
    pub(super) now: Duration,
    pub(super) driver: Driver,
    pub(super) attempt: Attempt,
    /// What the driver was told and what was written, shortened.
    pub(super) log: Vec<String>,
    /// Whether the driver holds something.
    pub(super) holds: bool,
}

impl Scene {
    pub(super) fn new(driver: Driver, ours: State, theirs: State) -> Self {
        let front = Frontend::new(device(), Limits::DEFAULT);
        let (tree, now) = (plugged(ours, theirs), Duration::from_secs(100));
        Self { tree, front, now, driver, attempt: Attempt(0), log: Vec::new(), holds: false }
    }

    /// A device that was just made, with its backend at [`State::INIT_WAIT`].
    pub(super) fn fresh(driver: Driver) -> Self {
        Self::new(driver, State::INITIALISING, State::INIT_WAIT)
    }

    /// A device that is connected, with an empty log.
    pub(super) fn connected(driver: Driver) -> Self {
        let mut scene = Self::fresh(driver);
        scene.run();
        scene.backend(State::CONNECTED);
        assert!(scene.front.is_connected(), "{:?}", scene.log);
        scene.log.clear();
        scene
    }

    /// Polls until there is nothing to do.
    pub(super) fn run(&mut self) -> Step {
        for _ in 0..FUEL {
            let step = self.front.poll(self.now);
            match step.clone() {
                Step::Look => self.look(),
                Step::Write(switch) => self.write(&switch),
                Step::Tell(event) => self.tell(event),
                Step::Rest | Step::Ended(_) => return step,
            }
        }
        panic!("there is no end to it: {:?}", self.log);
    }

    /// The backend changes its state, and the watch fires.
    pub(super) fn backend(&mut self, state: State) -> Step {
        self.tree.set(&device().backend_key("state"), state.0.to_string());
        self.front.look_again();
        self.run()
    }

    /// Time passes, with nobody doing anything but what deadlines call for.
    pub(super) fn wait(&mut self, time: Duration) -> Step {
        let end = self.now + time;
        while let Some(deadline) = self.front.next_deadline().filter(|deadline| *deadline <= end) {
            self.now = self.now.max(deadline);
            if let ended @ Step::Ended(_) = self.run() {
                return ended;
            }
        }
        self.now = end;
        self.run()
    }

    /// The log, and a new one.
    pub(super) fn told(&mut self) -> String {
        core::mem::take(&mut self.log).join(" ")
    }

    pub(super) fn ours(&self) -> String {
        self.tree.get(&device().key("state")).unwrap_or_default()
    }

    fn look(&mut self) {
        match Sight::take(&self.tree, self.front.device()) {
            Ok(sight) => self.front.saw(sight, self.now),
            Err(_) => self.front.look_failed(self.now),
        }
    }

    fn write(&mut self, switch: &Switch) {
        let written = switch.apply(&self.tree).map_or(Written::Unanswered, Written::Answered);
        if written == Written::Answered(Switched::Done) {
            self.log.push(format!("={}", switch.to().0));
        }
        self.front.wrote(written, self.now);
    }

    fn tell(&mut self, event: Event) {
        self.log.push(match &event {
            Event::Connect(_) => "connect".into(),
            Event::Complete(_) => "complete".into(),
            Event::Review(_) => "review".into(),
            Event::Stop(why, _) => format!("stop:{why:?}"),
            Event::Release(manner) => format!("release:{manner:?}"),
            Event::Trouble(error) => format!("trouble:{:?}", error.problem).split('(').next().unwrap().into(),
        });
        self.keep_books(&event);
        if self.driver != Driver::Mute {
            self.answer(event);
        }
    }

    fn keep_books(&mut self, event: &Event) {
        match event {
            Event::Connect(attempt) => {
                assert!(!self.holds, "two connections at once");
                assert!(*attempt > self.attempt, "the same connection twice");
                (self.holds, self.attempt) = (true, *attempt);
            }
            Event::Release(_) => {
                assert!(self.holds, "released twice");
                self.holds = false;
            }
            Event::Complete(attempt) | Event::Review(attempt) => {
                assert_eq!((self.holds, *attempt), (true, self.attempt))
            }
            Event::Stop(..) => assert!(self.holds),
            Event::Trouble(_) => {}
        }
    }

    fn answer(&mut self, event: Event) {
        let offer = if self.driver == Driver::Disk { Offer::initialised() } else { Offer::connected() };
        let _ = match event {
            Event::Connect(attempt) => self.front.offer(attempt, offer.with("ring-ref", 8), self.now),
            Event::Complete(attempt) => self.front.ready(attempt, self.now),
            Event::Stop(..) => self.front.stopped(self.now),
            Event::Release(_) => self.front.released(self.now),
            Event::Review(_) | Event::Trouble(_) => Ok(()),
        };
    }
}
