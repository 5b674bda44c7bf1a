//! One disk, from its first connection to its end.

use std::fmt;
use std::time::Duration;

use hostile_tests::Dice;
use xen_blkfront::Event;
use xen_grant_table::{GrantTable, Memory as _};
use xen_sim::blkback::{Control, Honesty, Loss};
use xen_xenbus::control::{Resumable, Resumed, SuspendStep, Suspender};

use crate::load::{BLOCKS, Breakage, Load};
use crate::perils::{self, PERILS};
use crate::rig::Rig;
use crate::tally::Tally;

/// The variable that has all that happens in a life printed.
const TRACE: &str = "DOMU_TRACE";

const SECOND: Duration = Duration::from_secs(1);

/// A turn in which nothing happens takes so long.
const NAP: Duration = Duration::from_millis(1);

/// Until everything has come to its end, once nothing goes wrong any more: a backend that does not close is waited for for nine
/// seconds, pauses between connections are ten at most, and the store's calls end after five.
const PATIENCE: Duration = Duration::from_secs(60);

/// Something that must not be.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Finding(pub String);

impl fmt::Display for Finding {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl From<String> for Finding {
    fn from(text: String) -> Self {
        Self(text)
    }
}

/// A disk under load.
#[derive(Debug)]
pub struct Life<'a> {
    /// The disk and what is around it.
    pub rig: Rig,
    /// What is left to chance.
    pub dice: Dice,
    /// Whether things happen that make the driver lose something in spite of its journal.
    pub rough: bool,
    load: Load,
    tally: &'a mut Tally,
    breakage: Breakage,
    /// The device has vanished, and the front is to be told of the new one.
    detached: bool,
    /// Since when it is not connected.
    away: Option<Duration>,
    /// Whether all that happens is printed.
    traced: bool,
}

/// Lives the life of a seed.
///
/// # Errors
///
/// The first finding.
pub fn live(seed: u64, breakage: Breakage, tally: &mut Tally) -> Result<(), Finding> {
    let mut life = Life::new(seed, breakage, tally);
    life.pass(NAP * 20)?;
    for _ in 0..2 + life.dice.below(4) {
        life.burst(40)?;
        let pause = Duration::from_micros(u64::from(life.dice.below(3000)));
        life.pass(pause)?;
        life.strike()?;
        if life.dice.one_in(3) {
            // In the middle of what follows the first one.
            let pause = Duration::from_micros(u64::from(life.dice.below(40_000)));
            life.pass(pause)?;
            life.strike()?;
        }
        life.burst(10)?;
        let pause = NAP * life.dice.pick(&[0, 5, 100]);
        life.pass(pause)?;
    }
    life.heal()?;
    life.end()
}

impl<'a> Life<'a> {
    fn new(seed: u64, breakage: Breakage, tally: &'a mut Tally) -> Self {
        let mut dice = Dice::new(seed);
        let rough = !dice.one_in(3);
        let (options, offer) = (perils::options(&mut dice, rough), perils::offer(&mut dice, rough));
        let rig = Rig::new(seed, options, offer, BLOCKS.into());
        let honesty = match breakage {
            Breakage::IgnoresFlushes => Honesty::IgnoresFlushes,
            Breakage::DropsWrites => Honesty::DropsWrites,
            _ => Honesty::Honest,
        };
        rig.disk.set_honesty(honesty);
        let mut load = Load::new(&rig.disk, breakage);
        let away = Some(rig.now());
        let traced = std::env::var_os(TRACE).is_some();
        load.traced = traced;
        Self { rig, dice, rough, load, tally, breakage, detached: false, away, traced }
    }

    /// Lets both halves do what they can, and time pass if that is nothing.
    fn turn(&mut self) -> Result<(), Finding> {
        let mut worked = false;
        if let Some(back) = &mut self.rig.back {
            back.step();
        }
        let mut now = self.rig.now();
        while let Some(event) = self.rig.front.poll(now) {
            worked = true;
            self.event(event)?;
            now = self.rig.now();
        }
        if self.detached {
            self.reattach();
        }
        if !worked {
            self.rig.front.wait(now + NAP).map_err(|error| format!("the guest cannot wait: {error}"))?;
        }
        Ok(())
    }

    fn event(&mut self, event: Event<xen_sim::Domain>) -> Result<(), Finding> {
        if self.traced {
            println!("{:?} {event:?}", self.rig.now());
        }
        match event {
            Event::Completed(done) => self.load.completed(done, &mut self.rig.front, self.tally)?,
            Event::Connected => {
                if let Some(since) = self.away.take() {
                    self.tally.recovered(self.rig.now() - since);
                }
            }
            Event::Disconnected => {
                self.away = self.away.or(Some(self.rig.now()));
                if self.breakage == Breakage::ForgetsWrite {
                    self.load.abandon(&mut self.rig.front, &mut self.dice, self.tally)?;
                }
            }
            Event::Detached(_) => self.detached = true,
            Event::Ended(_) => {
                // The owner knows that nothing can be asked of this disk any more.
                self.load.lost_everything();
                (self.detached, self.away) = (true, Some(self.rig.now()));
            }
            _ => {}
        }
        Ok(())
    }

    /// Goes on for some time.
    pub fn pass(&mut self, time: Duration) -> Result<(), Finding> {
        let end = self.rig.now() + time;
        while self.rig.now() < end {
            self.turn()?;
        }
        Ok(())
    }

    /// Goes on until something is so; says whether it is in time.
    fn until(&mut self, within: Duration, done: impl Fn(&Self) -> bool) -> Result<bool, Finding> {
        let end = self.rig.now() + within;
        while !done(self) {
            if self.rig.now() >= end {
                return Ok(false);
            }
            self.turn()?;
        }
        Ok(true)
    }

    /// Submits some requests, with turns in between.
    pub fn burst(&mut self, most: u32) -> Result<(), Finding> {
        for _ in 0..1 + self.dice.below(most) {
            let now = self.rig.now();
            let room = self.load.submit(&mut self.rig.front, now, &mut self.dice, self.tally);
            if !room || self.dice.one_in(8) {
                self.turn()?;
            }
        }
        Ok(())
    }

    fn strike(&mut self) -> Result<(), Finding> {
        let chosen = perils::any(&mut self.dice, self.rough);
        self.tally.perils[chosen] += 1;
        if self.traced {
            println!("{:?} {}", self.rig.now(), PERILS[chosen].0);
        }
        (PERILS[chosen].1)(self)
    }

    /// Does something with the backend, if there is one.
    pub fn control(&self, what: impl FnOnce(&Control)) {
        if let Some(control) = self.rig.control() {
            what(&control);
        }
    }

    /// The next connection is offered something else, or the same.
    pub fn offer_anew(&mut self) {
        if self.dice.one_in(2) {
            let offer = perils::offer(&mut self.dice, self.rough);
            self.control(|control| control.offer(offer));
        }
    }

    /// The disk's cache is lost, or some of it. Nobody is connected to it.
    pub fn lose(&mut self, loss: Loss) {
        let lost = self.rig.disk.crash(loss).sectors_lost;
        self.tally.sectors_lost += lost;
        self.load.untold |= lost > 0 && self.rough;
    }

    /// The device is there again.
    pub fn plug(&mut self) {
        let offer = perils::offer(&mut self.dice, self.rough);
        self.rig.plug(offer);
    }

    /// The front takes what is there, if anything is.
    pub fn reattach(&mut self) {
        self.away = self.away.or(Some(self.rig.now()));
        self.detached = !self.rig.reattach();
    }

    /// The owner has waited for long enough for one of the requests.
    pub fn abandon(&mut self) -> Result<(), Finding> {
        Ok(self.load.abandon(&mut self.rig.front, &mut self.dice, self.tally)?)
    }

    /// Takes the domain through a suspend, if it is ready in time.
    pub fn suspend(&mut self, limit: Duration) -> Result<(), Finding> {
        let (mut suspender, mut quiet) = (Suspender::new(limit), None);
        suspender.request();
        loop {
            let now = self.rig.now();
            match suspender.poll(&mut [&mut self.rig.front as &mut dyn Resumable], now) {
                SuspendStep::Rest { until } => {
                    quiet = self.rig.store.quiesce(until.saturating_sub(now)).ok();
                    suspender.rested(quiet.as_ref().map(drop).ok_or(()));
                }
                SuspendStep::Suspend => {
                    let quiet = quiet.take().ok_or_else(|| "the store is not at rest".to_owned())?;
                    let resumed = self.rig.suspend(quiet);
                    let now = self.rig.now();
                    suspender.came_back(resumed, &mut [&mut self.rig.front as &mut dyn Resumable], now);
                    self.detached |= resumed == Resumed::Anew;
                    return Ok(());
                }
                SuspendStep::Wait(_) => self.turn()?,
                SuspendStep::GaveUp | SuspendStep::Idle => return Ok(()),
            }
        }
    }

    /// Nothing goes wrong any more: everything comes to its end.
    fn heal(&mut self) -> Result<(), Finding> {
        self.rig.machine.faults().clear();
        self.rig.machine.xenstore().go_on();
        self.rig.machine.xenstore().slow(Duration::ZERO);
        if self.rig.back.is_none() {
            self.plug();
        }
        self.control(|control| {
            control.clear();
            control.go_on();
            control.resize(BLOCKS.into());
        });
        self.finish()?;
        // It waits until the journal was written.
        let now = self.rig.now();
        self.load.submit_flush(&mut self.rig.front, now, self.tally);
        self.finish()?;
        self.load.check().map_err(|wrong| format!("on the disk: {wrong}").into())
    }

    /// Waits until every request has come to its end, and the disk is connected.
    fn finish(&mut self) -> Result<(), Finding> {
        let well = |life: &Self| life.load.is_empty() && life.rig.front.disk().is_some();
        if self.until(PATIENCE, well)? {
            return Ok(());
        }
        let (open, front, back) = (self.load.len(), &self.rig.front, self.rig.back.as_ref());
        let taken = back.map(|back| (back.unanswered(), back.statistics()));
        Err(format!("{open} requests have no end after {PATIENCE:?}: {front:?}; {taken:?}").into())
    }

    /// All that is durable survives; the disk is closed in time, and nothing is left.
    fn end(&mut self) -> Result<(), Finding> {
        let durable = |tally: &Tally| tally.flushes[0];
        for _ in 0..4 {
            let (before, now) = (durable(self.tally), self.rig.now());
            self.load.submit_flush(&mut self.rig.front, now, self.tally);
            self.finish()?;
            if durable(self.tally) > before {
                self.tally.sectors_lost += self.rig.disk.crash(Loss::All).sectors_lost;
                break;
            }
        }
        self.load.check().map_err(|wrong| format!("on the disk, after a crash at the end: {wrong}"))?;
        self.close()
    }

    fn close(&mut self) -> Result<(), Finding> {
        self.rig.front.close();
        let start = self.rig.now();
        while !self.rig.front.is_ended() {
            self.turn_without_events()?;
            if self.rig.now() > start + SECOND * 10 {
                return Err(format!("it does not close: {:?}", self.rig.front).into());
            }
        }
        self.load.settle();
        self.load.check().map_err(|wrong| format!("on the disk, when it was closed: {wrong}"))?;
        let statistics = self.rig.front.statistics();
        self.tally.again[0] += statistics.sent_again;
        self.tally.again[1] += statistics.replayed;
        self.tally.lives += 1;
        self.nothing_is_left()
    }

    fn turn_without_events(&mut self) -> Result<(), Finding> {
        if let Some(back) = &mut self.rig.back {
            back.step();
        }
        let now = self.rig.now();
        while self.rig.front.poll(now).is_some() {}
        Ok(self.rig.front.wait(now + NAP).map_err(|error| format!("the guest cannot wait: {error}"))?)
    }

    fn nothing_is_left(&mut self) -> Result<(), Finding> {
        self.rig.back = None;
        self.rig.machine.settle();
        let _ = GrantTable::reap(&self.rig.guest, u32::MAX);
        let statistics = self.rig.guest.grant_table().statistics();
        if (statistics.quarantined, statistics.free) != (0, statistics.common) {
            return Err(format!("grants are left: {statistics:?}").into());
        }
        match self.rig.guest.open_ports().len() {
            1 => Ok(()),
            ports => Err(format!("{} ports are left", ports - 1).into()),
        }
    }
}
