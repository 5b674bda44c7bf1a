//! A front end with its table of requests in flight, and a back end that answers, or worse.

use crate::dice::Dice;
use crate::ledger::Ledger;
use crate::memory::Buffer;
use crate::model::{Model, Side, word};
use crate::peer::{Temper, lie, meddle};
use crate::protocol::{Kind, Message};
use crate::storm::{Life, prepare, write};
use crate::subject::{Finding, Subject, demand};
use crate::tally::Tally;
use xen_shared_ring::in_flight::Entry;
use xen_shared_ring::{Front, FrontRing, InFlight, PeerError, Slots};

/// A front under test.
#[derive(Debug)]
pub struct FrontLife<K: Kind> {
    subject: Subject<Front, K>,
    table: InFlight<u64, K::Id, Vec<Entry<u64>>>,
    ledger: Ledger<K::Id>,
    temper: Temper,
    /// How many responses the back really made.
    answered: u64,
}

impl<K: Kind> FrontLife<K> {
    /// A new ring, or one that is found in memory that the peer prepared.
    ///
    /// # Panics
    ///
    /// When the ring does not fit into a page, which all of them do.
    #[must_use]
    pub fn new(dice: &mut Dice, tally: &mut Tally) -> Self {
        let (entries, buffer, mut temper) = (dice.pick(K::ENTRIES), Buffer::new(1), Temper::random(dice));
        let (memory, size) = (buffer.peer(), Slots::new(entries).expect("a power of two"));
        let mut model = Model::new(Side::Front, entries, prepare(&memory, entries, dice));
        let ring = if dice.one_in(4) {
            model.start = 0;
            FrontRing::init(buffer, size)
        } else {
            temper.spoil_start(&model, &memory, dice);
            FrontRing::attach(buffer, size)
        };
        model.attached(&memory, tally);
        let subject = Subject::new(ring.expect("a page holds the ring"), model, memory);
        let places = (0..entries).map(|_| Entry::VACANT).collect();
        Self { subject, table: InFlight::new(places), ledger: Ledger::new(entries), temper, answered: 0 }
    }
}

impl<K: Kind> Life for FrontLife<K> {
    fn step(&mut self, dice: &mut Dice, tally: &mut Tally) -> Result<(), Finding> {
        match dice.below(16) {
            0..4 => return self.push(dice, tally),
            4..6 => return self.publish(),
            6..10 => return self.take(dice, tally),
            10 => return self.give_up(dice),
            11 => meddle(&self.subject.model, &self.subject.memory, dice),
            _ => self.back(dice),
        }
        Ok(())
    }

    fn broken(&self) -> Option<PeerError> {
        self.subject.model.broken
    }

    /// What must hold at the end: an honest back can answer all that is left; what it has not answered comes back in order.
    fn finish(mut self, dice: &mut Dice, tally: &mut Tally) -> Result<(), Finding> {
        self.subject.check_state()?;
        if !self.temper.lied {
            self.publish()?;
            while self.answer(dice) {}
            while self.take_one(dice, tally)? {}
            demand("what is left in flight", self.table.len(), 0)?;
        }
        tally.ended[usize::from(self.subject.model.broken.is_some())] += 1;
        self.ledger.drained_by(&mut self.table)
    }
}

impl<K: Kind> FrontLife<K> {
    fn push(&mut self, dice: &mut Dice, tally: &mut Tally) -> Result<(), Finding> {
        let value = self.ledger.next_value();
        let Ok(id) = self.table.insert(value) else {
            return self.ledger.must_be_full();
        };
        self.ledger.inserted(id, value)?;
        if self.subject.push(K::Request::random(id.into(), dice), dice)? {
            tally.pushed[0] += 1;
            return Ok(());
        }
        tally.pushed[1] += 1;
        demand("what a request that was not pushed leaves", self.table.withdraw(id), Some(value))?;
        self.ledger.withdrawn(id);
        Ok(())
    }

    fn publish(&mut self) -> Result<(), Finding> {
        self.subject.publish()?;
        if self.subject.model.broken.is_none() {
            self.table.mark_published();
            self.ledger.published();
        }
        Ok(())
    }

    fn take(&mut self, dice: &mut Dice, tally: &mut Tally) -> Result<(), Finding> {
        self.take_one(dice, tally)?;
        self.subject.check_state()
    }

    /// Takes one response; whether there was one.
    fn take_one(&mut self, dice: &mut Dice, tally: &mut Tally) -> Result<bool, Finding> {
        let before = self.subject.model.broken;
        let taken = self.subject.take(dice)?;
        match taken {
            Ok(Some(response)) => self.complete(response, tally).map(|()| true),
            Ok(None) => {
                tally.empty += 1;
                self.nothing_is_lost()
            }
            Err(violation) => self.temper.refused(before, violation, tally).map(|()| false),
        }
    }

    fn complete(&mut self, response: K::Response, tally: &mut Tally) -> Result<(), Finding> {
        tally.taken[usize::from(self.temper.lied)] += 1;
        let id = K::id(&response);
        match self.table.complete(id) {
            Ok(value) => {
                let counter = if value.is_some() { &mut tally.completed } else { &mut tally.late };
                *counter += 1;
                self.ledger.completed(id, value)
            }
            Err(violation) => {
                self.ledger.refused(id, violation)?;
                self.temper.refused(None, violation, tally)?;
                self.subject.set_broken(violation);
                Ok(())
            }
        }
    }

    /// An honest back's responses are all seen.
    fn nothing_is_lost(&self) -> Result<bool, Finding> {
        if !self.temper.lied {
            demand("the responses taken", self.subject.model.popped, self.answered)?;
        }
        Ok(false)
    }

    fn give_up(&mut self, dice: &mut Dice) -> Result<(), Finding> {
        if let Some((id, value)) = self.ledger.some_waiting(dice) {
            demand("what a request that was given up leaves", self.table.abandon(id), Some(value))?;
            self.ledger.abandoned(id);
        }
        Ok(())
    }

    fn back(&mut self, dice: &mut Dice) {
        // A wrong answer counts where one is due: elsewhere the index alone breaks the ring.
        let due = self.answered < self.subject.model.published;
        if !(due || dice.one_in(8)) || !self.temper.lies_now(dice) {
            self.answer(dice);
        } else if due && dice.below(4) > 0 {
            self.answer_wrongly(dice);
        } else {
            lie(&self.subject.model, &self.subject.memory, dice);
        }
    }

    /// Answers a request, as the protocol has it; whether there was one.
    fn answer(&mut self, dice: &mut Dice) -> bool {
        let Some(id) = self.ledger.answer_any(dice) else { return false };
        self.respond(id, dice);
        true
    }

    /// Answers with an id that is wrong: of a request that was answered or not published, near one that was, or anything.
    fn answer_wrongly(&mut self, dice: &mut Dice) {
        let id = self.ledger.wrong_id(dice);
        self.respond(id, dice);
    }

    fn respond(&mut self, id: u64, dice: &mut Dice) {
        let Subject { model, memory, .. } = &self.subject;
        let response = K::Response::random(id, dice);
        write(memory, self.subject.slot(self.answered), &response);
        self.answered += 1;
        memory.store(word::RSP_PROD, model.index(self.answered));
    }
}
