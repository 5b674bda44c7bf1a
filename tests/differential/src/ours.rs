//! Our side: an end of a ring of `xen-shared-ring`, made for this comparison to obey calls.

use crate::c::Role;
use crate::{Answer, Call, End, Protocol, Start};
use hostile_tests::memory::{Buffer, Peer};
use std::fmt::Debug;
use std::marker::PhantomData;
use std::num::NonZeroU32;
use xen_shared_ring::{BackRing, Entries, FrontRing, Notify, OnePage, PeerError, Region, Ring, Slots, Untrusted};
use zerocopy::{FromBytes, IntoBytes};

const PAGE: usize = 4096;

/// An end of a ring in memory of its own, which mirrors the shared memory during a call.
#[derive(Debug)]
pub struct OurEnd<P> {
    role: Role,
    pages: usize,
    running: Option<(Peer, Box<dyn Obey>)>,
    protocol: PhantomData<P>,
}

impl<P: Protocol> OurEnd<P> {
    /// An end that is yet to start, with so many bytes of memory: 2^n pages.
    #[must_use]
    pub const fn new(memory: usize, role: Role) -> Self {
        Self { role, pages: memory / PAGE, running: None, protocol: PhantomData }
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
        let answer = ring.obey(call).unwrap_or_else(|error| Answer::Refused(error.to_string()));
        dump(peer, memory);
        answer
    }
}

/// A ring of any protocol, role and size.
trait Obey: Debug {
    fn obey(&mut self, call: &Call) -> Result<Answer, PeerError>;
}

impl<R, P, M, S> Obey for Ring<R, P, M, S>
where
    R: xen_shared_ring::Role + Debug,
    P: Protocol,
    M: Region + Debug,
    S: Entries<P> + Debug,
{
    fn obey(&mut self, call: &Call) -> Result<Answer, PeerError> {
        let bytes = |message: Untrusted<R::In<P>>| message.into_unverified().as_bytes().to_vec();
        Ok(match call {
            Call::Put(message) => {
                let message = R::Out::<P>::read_from_bytes(message).expect("a message of the protocol");
                Answer::Put(self.push(message).is_ok())
            }
            Call::Publish => Answer::Publish(self.publish() == Notify::Needed),
            Call::Take => Answer::Take(self.pop()?.map(bytes)),
            Call::TakeOrSleep(more) => {
                let more = NonZeroU32::new(*more).expect("one message at least");
                Answer::Take(self.pop_or_arm_for(more)?.map(bytes))
            }
        })
    }
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
