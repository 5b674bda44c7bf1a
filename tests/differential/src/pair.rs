//! One script on several combinations of ends, which must not differ.

use crate::script::{Step, header, set_word, word};
use crate::{Answer, Call, End, Start};
use std::fmt;

/// A front and a back end over the same memory.
#[derive(Debug)]
pub struct Pair {
    /// Whose ends these are, for messages.
    pub name: String,
    /// Who sends requests.
    pub front: Box<dyn End>,
    /// Who sends responses.
    pub back: Box<dyn End>,
    /// What both see.
    pub memory: Vec<u8>,
}

impl Pair {
    fn start(&mut self, start: Start) {
        if let Start::Attach(index) = start {
            self.memory[..header::SIZE].fill(0);
            for producer in [header::REQ_PROD, header::RSP_PROD] {
                set_word(&mut self.memory, producer, index);
                set_word(&mut self.memory, producer + 4, index.wrapping_add(1));
            }
        }
        self.front.start(&mut self.memory, start);
        self.back.start(&mut self.memory, start);
    }

    fn step(&mut self, step: &Step) -> Option<Answer> {
        match step {
            Step::Front(call) => Some(self.front.call(&mut self.memory, call)),
            Step::Back(call) => Some(self.back.call(&mut self.memory, call)),
            Step::Event { offset, ahead } => {
                let event = word(&self.memory, offset - 4).wrapping_add(*ahead);
                set_word(&mut self.memory, *offset, event);
                None
            }
        }
    }
}

/// How often a run went one way and the other; a run that did not meet all of it has shown little.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Tally {
    /// Messages put.
    pub put: u64,
    /// Puts that found no room.
    pub full: u64,
    /// Publishes after which the peer must be notified.
    pub notify: u64,
    /// Publishes after which it need not.
    pub quiet: u64,
    /// Messages taken.
    pub taken: u64,
    /// Takes that found nothing.
    pub empty: u64,
    /// Takes that found nothing and asked for an event.
    pub asleep: u64,
    /// Event indices that were written by chance.
    pub events: u64,
}

impl Tally {
    const fn count(&mut self, step: &Step, answer: Option<&Answer>) {
        let count = match (answer, step) {
            (None | Some(Answer::Refused(_)), _) => &mut self.events,
            (Some(Answer::Put(true)), _) => &mut self.put,
            (Some(Answer::Put(false)), _) => &mut self.full,
            (Some(Answer::Publish(true)), _) => &mut self.notify,
            (Some(Answer::Publish(false)), _) => &mut self.quiet,
            (Some(Answer::Take(Some(_))), _) => &mut self.taken,
            (Some(Answer::Take(None)), Step::Front(Call::Take) | Step::Back(Call::Take)) => &mut self.empty,
            (Some(Answer::Take(None)), _) => &mut self.asleep,
        };
        *count += 1;
    }

    /// The smallest of the counts.
    #[must_use]
    pub fn least(&self) -> u64 {
        let Self { put, full, notify, quiet, taken, empty, asleep, events } = *self;
        [put, full, notify, quiet, taken, empty, asleep, events].into_iter().fold(u64::MAX, u64::min)
    }
}

/// Runs a script on all pairs and compares each with the first, after every step.
///
/// # Errors
///
/// The first difference.
///
/// # Panics
///
/// When there are no pairs.
pub fn compare(pairs: &mut [Pair], start: Start, script: impl Iterator<Item = Step>) -> Result<Tally, Box<Difference>> {
    let mut tally = Tally::default();
    pairs.iter_mut().for_each(|pair| pair.start(start));
    agree(pairs, vec![None; pairs.len()]).map_err(|what| Difference::at(0, None, what))?;
    for (number, step) in (1..).zip(script) {
        let answers: Vec<_> = pairs.iter_mut().map(|pair| pair.step(&step)).collect();
        tally.count(&step, answers[0].as_ref());
        agree(pairs, answers).map_err(|what| Difference::at(number, Some(&step), what))?;
    }
    Ok(tally)
}

fn agree(pairs: &[Pair], answers: Vec<Option<Answer>>) -> Result<(), String> {
    let (first, others) = pairs.split_first().expect("there are pairs to compare");
    for (pair, answer) in others.iter().zip(&answers[1..]) {
        if *answer != answers[0] {
            return Err(format!("{} answered {answer:?}, {} {:?}", pair.name, first.name, answers[0]));
        }
        if let Some(place) = first.memory.iter().zip(&pair.memory).position(|(one, other)| one != other) {
            let [one, other] = [&first.memory, &pair.memory].map(|memory| memory[place]);
            return Err(format!(
                "byte {place} ({}) is {other:#04x} of {}, {one:#04x} of {}",
                name(place),
                pair.name,
                first.name
            ));
        }
    }
    Ok(())
}

const fn name(place: usize) -> &'static str {
    match place / 4 * 4 {
        header::REQ_PROD => "req_prod",
        header::REQ_EVENT => "req_event",
        header::RSP_PROD => "rsp_prod",
        header::RSP_EVENT => "rsp_event",
        place if place < header::SIZE => "header",
        _ => "a slot",
    }
}

/// Where two pairs differ.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Difference {
    /// The number of the step, from 1 on; 0 is the start.
    pub step: u64,
    /// The step.
    pub after: Option<Step>,
    /// What differs.
    pub what: String,
}

impl Difference {
    fn at(step: u64, after: Option<&Step>, what: String) -> Box<Self> {
        Box::new(Self { step, after: after.cloned(), what })
    }
}

impl fmt::Display for Difference {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "step {}, {:?}: {}", self.step, self.after, self.what)
    }
}

impl std::error::Error for Difference {}
