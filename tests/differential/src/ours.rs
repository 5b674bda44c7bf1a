//! Our side: an end of a ring of `xen-shared-ring`, made for this comparison to obey calls.

use crate::c::Role;
use crate::protocol::whole;
use crate::{Answer, Call, End, Protocol, Start};
use hostile_tests::memory::{Buffer, Peer};
use std::fmt::Debug;
use std::marker::PhantomData;
use std::num::NonZeroU32;
use xen_shared_ring::{BackRing, Entries, FrontRing, Notify, OnePage, PeerError, Region, Ring, Slots, Untrusted};
use zerocopy::IntoBytes;

const PAGE: usize = 4096;

/// An end of a ring in memory of its own, which mirrors the shared memory during a call.
#[derive(Debug)]
pub struct OurEnd<P> {
    role: Role,
    pages: usize,
    form: Form,
    running: Option<(Peer, Box<dyn Obey>)>,
    protocol: PhantomData<P>,
}

impl<P: Protocol> OurEnd<P> {
    /// An end that is yet to start, with so many bytes of memory: 2^n pages.
    #[must_use]
    pub const fn new(memory: usize, role: Role) -> Self {
        Self { role, pages: memory / PAGE, form: Form::One, running: None, protocol: PhantomData }
    }

    fn ring(&self, buffer: Buffer, start: Start) -> Box<dyn Obey> {
        if self.pages == 1 {
            self.sized(buffer, start, OnePage)
        } else {
            self.sized(buffer, start, Slots::in_pages::<P>(self.pages.ilog2()).expect("pages hold slots"))
        }
    }

    fn sized<S: Entries<P> + Debug + 'static>(&self, buffer: Buffer, start: Start, size: S) -> Box<dyn Obey> {
        const FITS: &str = "the memory has the size of the ring";
        match (self.role, start) {
            (Role::Front, Start::Init) => Box::new(FrontRing::<P, _, S>::init(buffer, size).expect(FITS)),
            (Role::Front, Start::Attach(_)) => Box::new(FrontRing::<P, _, S>::attach(buffer, size).expect(FITS)),
            (Role::Back, _) => Box::new(BackRing::<P, _, S>::attach(buffer, size).expect(FITS)),
        }
    }
}

impl<P: Protocol> End for OurEnd<P> {
    fn start(&mut self, memory: &mut [u8], start: Start) {
        let buffer = Buffer::new(self.pages);
        let peer = buffer.peer();
        load(&peer, memory);
        let ring = self.ring(buffer, start);
        dump(&peer, memory);
        self.running = Some((peer, ring));
    }

    fn call(&mut self, memory: &mut [u8], call: &Call) -> Answer {
        let (peer, ring) = self.running.as_mut().expect("the end was started");
        load(peer, memory);
        self.form = if self.form == Form::One { Form::Many } else { Form::One };
        let answer = ring.obey(call, self.form).unwrap_or_else(|error| Answer::Refused(error.to_string()));
        dump(peer, memory);
        answer
    }
}

/// A ring of any protocol, role and size.
trait Obey: Debug {
    fn obey(&mut self, call: &Call, form: Form) -> Result<Answer, PeerError>;
}

/// Our rings have calls for one message and for many, which must come to the same.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Form {
    One,
    Many,
}

impl<P: Protocol, M: Region, S: Entries<P>> Obey for FrontRing<P, M, S> {
    fn obey(&mut self, call: &Call, form: Form) -> Result<Answer, PeerError> {
        match call {
            Call::Put(message) => Ok(Answer::Put(P::push(self, message))),
            _ => obey(self, call, form),
        }
    }
}

impl<P: Protocol, M: Region, S: Entries<P>> Obey for BackRing<P, M, S> {
    fn obey(&mut self, call: &Call, form: Form) -> Result<Answer, PeerError> {
        obey(self, call, form)
    }
}

fn obey<R, P, M, S>(ring: &mut Ring<R, P, M, S>, call: &Call, form: Form) -> Result<Answer, PeerError>
where
    R: xen_shared_ring::Role,
    P: Protocol,
    M: Region,
    S: Entries<P>,
{
    let bytes = |message: Untrusted<R::In<P>>| message.into_unverified().as_bytes().to_vec();
    Ok(match (call, form) {
        (Call::Put(message), Form::One) => Answer::Put(ring.push(whole::<R::Out<P>>(message)).is_ok()),
        (Call::Put(message), Form::Many) => Answer::Put(ring.push_all([whole::<R::Out<P>>(message)]) == 1),
        (Call::Publish, _) => Answer::Publish(ring.publish() == Notify::Needed),
        (Call::Take, Form::One) => Answer::Take(ring.pop()?.map(bytes)),
        (Call::Take, Form::Many) => Answer::Take(ring.drain()?.next().map(bytes)),
        (Call::TakeOrSleep(1), Form::One) => Answer::Take(ring.pop_or_arm()?.map(bytes)),
        (Call::TakeOrSleep(1), Form::Many) => {
            Answer::Take(ring.drain_or_arm()?.and_then(|mut messages| messages.next()).map(bytes))
        }
        (Call::TakeOrSleep(more), _) => {
            let more = NonZeroU32::new(*more).expect("one message at least");
            Answer::Take(ring.pop_or_arm_for(more)?.map(bytes))
        }
    })
}

fn load(peer: &Peer, memory: &[u8]) {
    for (place, word) in memory.as_chunks().0.iter().enumerate() {
        peer.store(place, u32::from_ne_bytes(*word));
    }
}

fn dump(peer: &Peer, memory: &mut [u8]) {
    for (place, word) in memory.as_chunks_mut().0.iter_mut().enumerate() {
        *word = peer.load(place).to_ne_bytes();
    }
}
