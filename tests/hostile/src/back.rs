//! A back end, and a front end that asks, or worse.

use crate::dice::Dice;
use crate::memory::Buffer;
use crate::model::{Model, Side, word};
use crate::peer::{Temper, lie, meddle};
use crate::protocol::{Kind, Message};
use crate::storm::{Life, prepare, write};
use crate::subject::{Finding, Subject, demand};
use crate::tally::Tally;
use std::collections::VecDeque;
use xen_shared_ring::{Back, BackRing, PeerError, Slots};
use zerocopy::IntoBytes;

/// A back under test.
#[derive(Debug)]
pub struct BackLife<K: Kind> {
    subject: Subject<Back, K>,
    temper: Temper,
    /// Responses that the front has not taken, oldest first.
    responses: VecDeque<K::Response>,
    /// How many requests the front really made, and responses it took.
    requested: u64,
    taken: u64,
}

impl<K: Kind> BackLife<K> {
    /// A back that attaches to a ring, in which there can already be requests.
    ///
    /// # Panics
    ///
    /// When the ring does not fit into a page, which all of them do.
    #[must_use]
    pub fn new(dice: &mut Dice, tally: &mut Tally) -> Self {
        let (entries, buffer, mut temper) = (dice.pick(K::ENTRIES), Buffer::new(1), Temper::random(dice));
        let (memory, size) = (buffer.peer(), Slots::new(entries).expect("a power of two"));
        let requested = dice.below(entries + 1);
        let mut model = Model::new(Side::Back, entries, prepare(&memory, entries, dice));
        memory.store(word::REQ_PROD, model.index(requested.into()));
        temper.spoil_start(&model, &memory, dice);
        let ring = BackRing::attach(buffer, size).expect("a page holds the ring");
        model.attached(&memory, tally);
        let subject = Subject::new(ring, model, memory);
        Self { subject, temper, responses: VecDeque::new(), requested: requested.into(), taken: 0 }
    }
}

impl<K: Kind> Life for BackLife<K> {
    fn step(&mut self, dice: &mut Dice, tally: &mut Tally) -> Result<(), Finding> {
        match dice.below(16) {
            0..3 => return self.push(dice, tally),
            3..5 => return self.subject.publish(),
            5..8 => return self.take(dice, tally).map(|_| ()),
            8 => meddle(&self.subject.model, &self.subject.memory, dice),
            9 => return self.subject.check_state(),
            10..13 => return self.response(),
            _ => self.front(dice),
        }
        Ok(())
    }

    fn broken(&self) -> Option<PeerError> {
        self.subject.model.broken
    }

    /// What must hold at the end: all of an honest front's requests can be taken and answered.
    fn finish(mut self, dice: &mut Dice, tally: &mut Tally) -> Result<(), Finding> {
        self.subject.check_state()?;
        tally.ended[usize::from(self.subject.model.broken.is_some())] += 1;
        if self.temper.lied {
            return Ok(());
        }
        while self.take(dice, tally)? {}
        while self.subject.model.room() > 0 {
            self.push(dice, tally)?;
        }
        self.subject.publish()?;
        (0..self.responses.len()).try_for_each(|_| self.response())?;
        demand("the responses", self.taken, self.requested)
    }
}

impl<K: Kind> BackLife<K> {
    fn push(&mut self, dice: &mut Dice, tally: &mut Tally) -> Result<(), Finding> {
        let response = K::Response::random(dice.long(), dice);
        let room = self.subject.push(response, dice)?;
        tally.pushed[usize::from(!room)] += 1;
        if room {
            self.responses.push_back(response);
        }
        Ok(())
    }

    /// Takes one request; whether there was one.
    fn take(&mut self, dice: &mut Dice, tally: &mut Tally) -> Result<bool, Finding> {
        let before = self.subject.model.broken;
        let taken = self.subject.take(dice)?;
        match taken {
            Ok(Some(_)) => tally.taken[usize::from(self.temper.lied)] += 1,
            Ok(None) => self.nothing_is_lost(tally)?,
            Err(violation) => self.temper.refused(before, violation, tally)?,
        }
        Ok(matches!(taken, Ok(Some(_))))
    }

    /// An honest front's requests are all seen.
    fn nothing_is_lost(&self, tally: &mut Tally) -> Result<(), Finding> {
        tally.empty += 1;
        if self.temper.lied { Ok(()) } else { demand("the requests taken", self.subject.model.popped, self.requested) }
    }

    fn front(&mut self, dice: &mut Dice) {
        if self.temper.lies_now(dice) {
            lie(&self.subject.model, &self.subject.memory, dice);
        } else {
            self.request(dice);
        }
    }

    /// Makes a request, if there is a free slot.
    fn request(&mut self, dice: &mut Dice) {
        let Subject { model, memory, .. } = &self.subject;
        if self.requested.saturating_sub(self.taken) < model.entries.into() {
            write(memory, self.subject.slot(self.requested), &K::Request::random(self.requested, dice));
            self.requested += 1;
            memory.store(word::REQ_PROD, model.index(self.requested));
        }
    }

    /// Takes a response, which must be the one that was put.
    fn response(&mut self) -> Result<(), Finding> {
        if self.taken < self.subject.model.published
            && let Some(response) = self.responses.pop_front()
        {
            self.taken += 1;
            if !self.temper.lied {
                return self.subject.slot_holds(self.taken - 1, response.as_bytes());
            }
        }
        Ok(())
    }
}
