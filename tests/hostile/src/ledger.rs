//! What became of each request: the table of requests in flight must complete every one once, and nothing else.

use crate::dice::Dice;
use crate::subject::{Finding, demand};
use std::fmt::Debug;
use xen_shared_ring::in_flight::{Entry, Id};
use xen_shared_ring::{InFlight, PeerError};

/// Every request of one ring.
#[derive(Debug)]
pub struct Ledger<I> {
    places: Vec<Option<Issue<I>>>,
    /// Requests that the peer has seen and not answered.
    unanswered: Vec<I>,
    issued: u64,
    last: Option<I>,
}

#[derive(Clone, Copy, Debug)]
struct Issue<I> {
    id: I,
    /// What belongs to the request: the count of all before it, so that it also tells the order.
    value: u64,
    published: bool,
    given_up: bool,
}

impl<I: Id + Debug + PartialEq> Ledger<I> {
    /// A ledger for a table of so many places.
    #[must_use]
    pub fn new(places: u32) -> Self {
        Self { places: vec![None; places as usize], unanswered: Vec::new(), issued: 0, last: None }
    }

    /// What is to belong to the next request.
    pub const fn next_value(&mut self) -> u64 {
        self.issued += 1;
        self.issued
    }

    /// The table was full.
    ///
    /// # Errors
    ///
    /// A finding when it has places.
    pub fn must_be_full(&self) -> Result<(), Finding> {
        demand("a vacant place", self.places.iter().any(Option::is_none), false)
    }

    /// The table gave this id.
    ///
    /// # Errors
    ///
    /// A finding when the id is in use.
    pub fn inserted(&mut self, id: I, value: u64) -> Result<(), Finding> {
        let place = self.places.get_mut(place(id.into()));
        let place = place.ok_or_else(|| Finding::new(format!("{id:?} was issued, which is out of range")))?;
        demand("who else has the id", place.map(|issue| issue.value), None)?;
        *place = Some(Issue { id, value, published: false, given_up: false });
        Ok(())
    }

    /// The request was never pushed.
    pub fn withdrawn(&mut self, id: I) {
        self.remove(id);
    }

    /// All requests so far were published.
    pub fn published(&mut self) {
        for issue in self.places.iter_mut().flatten().filter(|issue| !issue.published) {
            issue.published = true;
            self.unanswered.push(issue.id);
        }
    }

    /// The table completed the request.
    ///
    /// # Errors
    ///
    /// A finding when it had to refuse the id, or gave the wrong value.
    pub fn completed(&mut self, id: I, value: Option<u64>) -> Result<(), Finding> {
        demand("what the response is to", self.expected(id), Ok(value))?;
        self.last = Some(id);
        self.remove(id);
        Ok(())
    }

    /// The table refused the id.
    ///
    /// # Errors
    ///
    /// A finding when it had to accept it, or gave the wrong reason.
    pub fn refused(&self, id: I, violation: PeerError) -> Result<(), Finding> {
        demand("what the response is to", self.expected(id), Err(violation))
    }

    /// A request that is still waited for.
    pub fn some_waiting(&self, dice: &mut Dice) -> Option<(I, u64)> {
        let issue = self.places[dice.below(self.places.len() as u32) as usize]?;
        (issue.published && !issue.given_up).then_some((issue.id, issue.value))
    }

    /// Nobody waits for it any more.
    pub fn abandoned(&mut self, id: I) {
        if let Some(Some(issue)) = self.places.get_mut(place(id.into())) {
            issue.given_up = true;
        }
    }

    /// A request for the peer to answer, in any order.
    pub fn answer_any(&mut self, dice: &mut Dice) -> Option<u64> {
        let choice = dice.below(self.unanswered.len() as u32) as usize;
        (choice < self.unanswered.len()).then(|| self.unanswered.swap_remove(choice).into())
    }

    /// An id for a lie: answered before, not published, near one that is in use, or anything.
    pub fn wrong_id(&self, dice: &mut Dice) -> u64 {
        let places = self.places.len() as u32;
        let some = self.places[dice.below(places) as usize].map(|issue| issue.id.into());
        let secret = self.places.iter().flatten().find(|issue| !issue.published).map(|issue| issue.id.into());
        let id = match dice.below(7) {
            0..2 => self.last.map(Into::into),
            2..4 => secret,
            4 => some,
            5 => some.map(|id| id ^ 1 << dice.below(64)),
            _ => Some(u64::from(dice.below(2 * places))),
        };
        id.unwrap_or_else(|| dice.long())
    }

    /// The table gives back all that is left, in the order in which it was inserted.
    ///
    /// # Errors
    ///
    /// A finding.
    pub fn drained_by<S>(self, table: &mut InFlight<u64, I, S>) -> Result<(), Finding>
    where
        S: AsRef<[Entry<u64>]> + AsMut<[Entry<u64>]>,
    {
        let waiting = self.places.iter().flatten().filter(|issue| !issue.given_up);
        let mut left: Vec<_> = waiting.map(|issue| issue.value).collect();
        left.sort_unstable();
        demand("what is in flight", table.iter().map(|(_, value)| *value).collect(), left.clone())?;
        demand("what is left", std::iter::from_fn(|| table.take_oldest()).collect(), left)?;
        demand("the ids that are left", table.len(), 0)
    }

    /// What the table must answer to a response with this id.
    fn expected(&self, id: I) -> Result<Option<u64>, PeerError> {
        let (number, capacity) = (id.into(), self.places.len() as u32);
        match self.places.get(place(number)) {
            None => Err(PeerError::IdOutOfRange { id: number, capacity }),
            Some(None) => Err(PeerError::IdNotPending { id: number }),
            Some(Some(issue)) if issue.id != id => Err(PeerError::IdStale { id: number, pending: issue.id.into() }),
            Some(Some(issue)) if !issue.published => Err(PeerError::IdNotPublished { id: number }),
            Some(Some(issue)) => Ok((!issue.given_up).then_some(issue.value)),
        }
    }

    fn remove(&mut self, id: I) {
        if let Some(issue) = self.places.get_mut(place(id.into())) {
            *issue = None;
        }
        self.unanswered.retain(|unanswered| *unanswered != id);
    }
}

/// The low 16 bits of an id of any kind.
const fn place(id: u64) -> usize {
    (id & 0xffff) as usize
}
