//! A driver to be tested: its front has numbers squared by a back in another domain.

use std::error::Error;
use std::num::NonZeroUsize;
use std::time::Duration;

use xen_event_channel::{Channel, Events, Found, Waited};
use xen_grant_table::{Access, Account, GrantRun, Mapping, Memory, PageRun};
use xen_hypercall::abi::{DomId, GrantRef, Port};
use xen_shared_ring::in_flight::{Entry, InFlight};
use xen_shared_ring::{BackRing, FrontRing, OnePage, Protocol};
use zerocopy::{FromBytes, Immutable, IntoBytes};

pub enum Squares {}

#[derive(Clone, Copy, Debug, FromBytes, IntoBytes, Immutable)]
#[repr(C)]
pub struct Message {
    pub id: u64,
    pub number: u64,
}

impl Protocol for Squares {
    type Request = Message;
    type Response = Message;
}

/// How long a driver trusts that an event will come, before it looks by itself.
const PATIENCE: Duration = Duration::from_millis(1);

// front
pub struct Front<P: Memory + Events + Clone> {
    ring: FrontRing<Squares, GrantRun<P>>,
    in_flight: InFlight<(), u64, [Entry<()>; 32]>,
    channel: Channel<P>,
    gref: GrantRef,
}

impl<P: Memory + Events + Clone> Front<P> {
    pub fn connect(platform: &P, account: &Account<P>) -> Result<Self, Box<dyn Error>> {
        let page = PageRun::alloc(platform.clone(), NonZeroUsize::MIN).ok_or("no memory")?;
        let region = page.grant(account, Access::ReadWrite).map_err(|error| error.reason)?;
        let gref = region.grefs()[0];
        let ring = FrontRing::init(region, OnePage).map_err(|_| "too small")?;
        let channel = Channel::unbound(platform, account.peer())?;
        Ok(Self { ring, in_flight: InFlight::new([const { Entry::VACANT }; 32]), channel, gref })
    }

    /// What the back must know; a real driver writes it into xenstore.
    pub const fn address(&self) -> (GrantRef, Port) {
        (self.gref, self.channel.port())
    }

    pub fn square(
        &mut self,
        number: u32,
        deadline: Duration,
        now: impl Fn() -> Duration,
    ) -> Result<u64, Box<dyn Error>> {
        let id = self.in_flight.insert(()).map_err(|_| "too many requests without an answer")?;
        self.ring.push(Message { id, number: number.into() }).map_err(|_| "the ring is full")?;
        let notify = self.ring.publish();
        self.in_flight.mark_published();
        if notify.is_needed() {
            self.channel.notify()?;
        }
        loop {
            let seen = self.channel.count();
            while let Some(response) = self.ring.pop_or_arm()? {
                let response = response.into_unverified();
                let known = self.in_flight.complete(response.id);
                known.inspect_err(|violation| self.ring.set_broken(*violation))?;
                if response.id == id {
                    return Ok(response.number);
                }
            }
            self.channel.settle(Found::Work, now())?;
            let waited = self.channel.wait_poll(seen, deadline.min(now() + PATIENCE), &now)?;
            if waited == Waited::TimedOut && now() >= deadline {
                self.in_flight.abandon(id);
                return Err("no answer in time".into());
            }
        }
    }
}
// end

// back
pub struct Back<P: Memory + Events + Clone> {
    ring: BackRing<Squares, Mapping<P>>,
    channel: Channel<P>,
}

impl<P: Memory + Events + Clone> Back<P> {
    pub fn connect(platform: &P, front: DomId, (gref, port): (GrantRef, Port)) -> Result<Self, Box<dyn Error>> {
        let region = Mapping::map(platform.clone(), front, &[gref])?;
        let ring = BackRing::attach(region, OnePage).map_err(|_| "too small")?;
        Ok(Self { ring, channel: Channel::interdomain(platform, front, port)? })
    }

    /// Answers until nothing has come for a while.
    pub fn serve(&mut self, idle: Duration, now: impl Fn() -> Duration) -> Result<(), Box<dyn Error>> {
        let mut waited = Waited::Counted(0);
        loop {
            let seen = self.channel.count();
            while let Some(request) = self.ring.pop_or_arm()? {
                waited = Waited::Counted(seen);
                let Message { id, number } = request.into_unverified();
                self.ring.push(Message { id, number: number.wrapping_mul(number) }).map_err(|_| "no room")?;
                if self.ring.publish().is_needed() {
                    self.channel.notify()?;
                }
            }
            if waited == Waited::TimedOut {
                return Ok(());
            }
            self.channel.settle(Found::Work, now())?;
            waited = self.channel.wait_poll(seen, now() + idle, &now)?;
        }
    }
}
// end
