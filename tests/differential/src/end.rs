//! What both implementations of an end of a ring can do.

use std::fmt::Debug;

/// One end of a ring. The shared memory comes with each call and holds what the other end left there.
pub trait End: Debug {
    /// Starts the end: initialises the memory, or attaches to it.
    fn start(&mut self, memory: &mut [u8], start: Start);

    /// Does one call.
    fn call(&mut self, memory: &mut [u8], call: &Call) -> Answer;
}

/// How an end starts.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Start {
    /// A front end that initialises the memory, so that indices start at 0.
    Init,
    /// An end that attaches to a ring whose indices all are this one.
    Attach(u32),
}

/// What an end is told to do.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Call {
    /// Put a request (front) or response (back) of these bytes into the ring, without showing it to the peer.
    Put(Vec<u8>),
    /// Show the peer what was put.
    Publish,
    /// Take one message, if there is one.
    Take,
    /// Take one message, or ask for an event when so many more are there.
    TakeOrSleep(u32),
}

/// What an end answered.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Answer {
    /// Whether there was room.
    Put(bool),
    /// Whether the peer must be notified.
    Publish(bool),
    /// The message, if there was one.
    Take(Option<Vec<u8>>),
    /// The end refuses its peer. Never right here: both peers are honest.
    Refused(String),
}
