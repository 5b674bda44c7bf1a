//! Ends with one small fault each: the comparison must find every one.

use crate::c::Role;
use crate::script::{header, set_word, word};
use crate::{Answer, Call, End, Start};

/// What is wrong with an end.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Fault {
    /// It asks for an event one message too late.
    EventLate,
    /// It asks for an event where it only was to look.
    EventUnasked,
    /// It notifies the peer after every publish.
    NotifyAlways,
    /// It shows the peer a message before it is published.
    IndexEarly,
    /// It writes one byte of a message wrongly.
    SlotByte,
    /// It reads one byte of a message wrongly.
    MessageByte,
}

/// Every fault.
pub const FAULTS: [Fault; 6] = [
    Fault::EventLate,
    Fault::EventUnasked,
    Fault::NotifyAlways,
    Fault::IndexEarly,
    Fault::SlotByte,
    Fault::MessageByte,
];

/// A right end with a fault.
#[derive(Debug)]
pub struct Planted {
    /// The right end.
    pub inner: Box<dyn End>,
    /// Which one it is.
    pub role: Role,
    /// What is wrong.
    pub fault: Fault,
}

impl Planted {
    /// Where this end's producer index stands, and where it asks for events.
    const fn words(&self) -> (usize, usize) {
        match self.role {
            Role::Front => (header::REQ_PROD, header::RSP_EVENT),
            Role::Back => (header::RSP_PROD, header::REQ_EVENT),
        }
    }

    fn spoil_take(&self, memory: &mut [u8], call: &Call, message: &mut Option<Vec<u8>>) {
        let (_, event) = self.words();
        match (self.fault, call, message) {
            (Fault::EventLate, Call::TakeOrSleep(_), None) | (Fault::EventUnasked, Call::Take, None) => {
                let late = word(memory, event).wrapping_add(1);
                set_word(memory, event, late);
            }
            (Fault::MessageByte, _, Some(message)) => message[1] ^= 0x10,
            _ => {}
        }
    }

    fn spoil_put(&self, memory: &mut [u8]) {
        let (producer, _) = self.words();
        match self.fault {
            Fault::IndexEarly => {
                let early = word(memory, producer).wrapping_add(1);
                set_word(memory, producer, early);
            }
            Fault::SlotByte => memory[header::SIZE] ^= 1,
            _ => {}
        }
    }
}

impl End for Planted {
    fn start(&mut self, memory: &mut [u8], start: Start) {
        self.inner.start(memory, start);
    }

    fn call(&mut self, memory: &mut [u8], call: &Call) -> Answer {
        let mut answer = self.inner.call(memory, call);
        match &mut answer {
            Answer::Put(true) => self.spoil_put(memory),
            Answer::Publish(notify) if self.fault == Fault::NotifyAlways => *notify = true,
            Answer::Take(message) => self.spoil_take(memory, call, message),
            _ => {}
        }
        answer
    }
}
