//! A ring between two halves of this domain: the front has granted the pages, the back has mapped them.
//!
//! Each half looks at the ring only when it has work left, or was told by an event. So a notification that is lost, or not
//! sent where it should be, ends in both halves asleep, which is noticed. `control=lost` on the command line loses some.

#![no_std]
#![no_main]

extern crate alloc;

use alloc::format;
use alloc::string::String;
use alloc::vec::Vec;
use core::num::NonZeroUsize;
use core::time::Duration;

use test_guests::{Check, ensure, equal, failed, loopback, own_domain, run};
use xen_hypercall::abi::grant_table::GrantRef;
use xen_hypercall::pvclock::tsc;
use xen_rt::event_channel::{Channel, Found};
use xen_rt::grant_table::{Access, Account, GrantRun, Limits, Mapping, PageRun};
use xen_rt::{ExitCode, Guest, Xen, entry, println};
use xen_shared_ring::{BackRing, Entries, FrontRing, Notify, OnePage, PeerError, Protocol, Region, Slots};
use zerocopy::{FromBytes, Immutable, IntoBytes};

const CHECKS: &[(&str, Check<String>)] = &[
    ("5,000,000 messages through one page", one_page),
    ("1,000,000 messages through four pages", four_pages),
    ("hc_001 an index that cannot be breaks an end for good, and leaves the other", impossible_index),
];

#[entry]
fn main(guest: Guest) -> ExitCode {
    run(&guest, CHECKS)
}

/// Indices start here: they wrap soon.
const START: u32 = u32::MAX - 1000;

/// A message, which comes back as it went.
#[derive(Clone, Copy, Debug, PartialEq, Eq, FromBytes, IntoBytes, Immutable)]
#[repr(C)]
struct Message {
    id: u64,
    value: u64,
}

impl Message {
    const fn new(id: u64) -> Self {
        Self { id, value: id.wrapping_mul(0x9e37_79b9_7f4a_7c15) ^ 0x5555 }
    }
}

enum Echo {}

impl Protocol for Echo {
    type Request = Message;
    type Response = Message;
}

type Front<S> = FrontRing<Echo, GrantRun<Xen>, S>;
type Back<S> = BackRing<Echo, Mapping<Xen>, S>;
type Ends<S> = (Front<S>, Back<S>, Vec<GrantRef>);

fn one_page(guest: &Guest) -> Result<(), String> {
    exchange(guest, NonZeroUsize::MIN, OnePage, 5_000_000)
}

fn four_pages(guest: &Guest) -> Result<(), String> {
    let size = Slots::in_pages::<Echo>(2).ok_or("no slots")?;
    exchange(guest, const { NonZeroUsize::new(4).unwrap() }, size, 1_000_000)
}

/// Sets both ends up, sends messages to and fro, and takes everything down.
fn exchange<S: Entries<Echo>>(guest: &Guest, pages: NonZeroUsize, size: S, messages: u64) -> Result<(), String> {
    let account = account(guest)?;
    let (front, back, _) = ends(guest, &account, pages, size)?;
    let lossy = guest.boot().command_line.value("control") == Some("lost");
    let mut traffic = Traffic::new(guest, front, back, messages, if lossy { 1000 } else { u64::MAX })?;
    let (clock, ticks) = (guest.clock().now(), tsc());
    traffic.run()?;
    let (time, ticks) = (guest.clock().now() - clock, tsc() - ticks);
    println!("{}", traffic.report(time, ticks));
    let Traffic { front, back, .. } = traffic;
    back.ring.into_region().unmap().map_err(failed("not unmapped"))?;
    front.ring.into_region().revoke().map_err(|still| format!("{still}")).map(drop)
}

fn account(guest: &Guest) -> Result<Account<Xen>, String> {
    Account::open(guest.xen(), own_domain(guest)?, Limits::exactly(8)).map_err(failed("no account"))
}

/// Both ends of a ring whose indices are at [`START`], and the references of its pages.
fn ends<S: Entries<Echo>>(
    guest: &Guest,
    account: &Account<Xen>,
    pages: NonZeroUsize,
    size: S,
) -> Result<Ends<S>, String> {
    let pages = PageRun::alloc(guest.xen(), pages).ok_or("no pages")?;
    let region = pages.grant(account, Access::ReadWrite).map_err(|error| format!("not granted: {error}"))?;
    let grefs = region.grefs().to_vec();
    let mapping = map(guest, account, &grefs)?;
    let region = Front::init(region, size).map_err(|(error, _)| format!("{error}"))?.into_region();
    for (word, value) in [START, START + 1, START, START + 1].into_iter().enumerate() {
        let _ = mapping.memory().write(word * 4, &value.to_ne_bytes());
    }
    let front = Front::attach(region, size).map_err(|(error, _)| format!("{error}"))?;
    let back = Back::attach(mapping, size).map_err(|(error, _)| format!("{error}"))?;
    Ok((front, back, grefs))
}

fn map(guest: &Guest, account: &Account<Xen>, grefs: &[GrantRef]) -> Result<Mapping<Xen>, String> {
    Mapping::map(guest.xen(), account.peer(), grefs).map_err(failed("not mapped"))
}

/// One half: its end of the ring, and its port.
struct Half<R> {
    ring: R,
    events: Channel<Xen>,
    /// The count when it last looked.
    seen: u32,
    /// It has seen no empty ring since the last event.
    awake: bool,
    published: u64,
    notified: u64,
    woken: u64,
}

impl<R> Half<R> {
    fn new(ring: R, events: Channel<Xen>) -> Self {
        Self { ring, seen: events.count(), events, awake: false, published: 0, notified: 0, woken: 0 }
    }

    /// Whether there is a reason to look at the ring.
    fn wake(&mut self) -> Result<bool, String> {
        let count = self.events.count();
        if count != self.seen {
            self.woken += u64::from(count.wrapping_sub(self.seen));
            (self.seen, self.awake) = (count, true);
            // The time only matters where there was no work.
            let _ = self.events.settle(Found::Work, Duration::ZERO).map_err(failed("not settled"))?;
        }
        Ok(self.awake)
    }

    /// Tells the other half, unless that comes by without. Each `loss`th time it does not arrive.
    fn notify(&mut self, notify: Notify, loss: u64) -> Result<(), String> {
        self.published += 1;
        if !notify.is_needed() {
            return Ok(());
        }
        self.notified += 1;
        if self.notified.is_multiple_of(loss) {
            return Ok(());
        }
        self.events.notify().map_err(failed("not sent"))
    }
}

struct Traffic<S: Entries<Echo>> {
    front: Half<Front<S>>,
    back: Half<Back<S>>,
    messages: u64,
    sent: u64,
    answered: u64,
    loss: u64,
    random: u64,
}

impl<S: Entries<Echo>> Traffic<S> {
    fn new(guest: &Guest, front: Front<S>, back: Back<S>, messages: u64, loss: u64) -> Result<Self, String> {
        let (at_front, at_back) = loopback(guest)?;
        let (front, back) = (Half::new(front, at_front), Half::new(back, at_back));
        Ok(Self { front, back, messages, sent: 0, answered: 0, loss, random: 1 })
    }

    /// Lets the halves take turns in any order, each for any number of messages.
    fn run(&mut self) -> Result<(), String> {
        while self.answered < self.messages {
            let moved = match self.random(3) {
                0 => self.ask()?,
                1 => self.answer()?,
                _ => self.reap()?,
            };
            ensure(moved || self.ask()? || self.answer()? || self.reap()?, "both halves sleep: an event was lost")?;
        }
        equal("events at the back", self.back.woken, self.front.notified)?;
        self.front.wake()?;
        equal("events at the front", self.front.woken, self.back.notified)?;
        ensure(self.front.notified < self.front.published, "every publication was notified")
    }

    /// The front pushes some requests.
    fn ask(&mut self) -> Result<bool, String> {
        let most = u64::from(self.front.ring.room()).min(self.messages - self.sent);
        if most == 0 {
            return Ok(false);
        }
        for _ in 0..=self.random(most) {
            self.front.ring.push(Message::new(self.sent)).map_err(|_| "there was no room after all")?;
            self.sent += 1;
        }
        let notify = self.front.ring.publish();
        self.front.notify(notify, self.loss)?;
        Ok(true)
    }

    /// The back answers some requests.
    fn answer(&mut self) -> Result<bool, String> {
        if !self.back.wake()? {
            return Ok(false);
        }
        for _ in 0..=self.random(200) {
            let Some(request) = self.back.ring.pop_or_arm().map_err(failed("the back"))? else {
                self.back.awake = false;
                break;
            };
            self.back.ring.push(request.into_unverified()).map_err(|_| "no room for an answer")?;
        }
        let notify = self.back.ring.publish();
        self.back.notify(notify, u64::MAX)?;
        Ok(true)
    }

    /// The front takes some answers.
    fn reap(&mut self) -> Result<bool, String> {
        if !self.front.wake()? {
            return Ok(false);
        }
        for _ in 0..=self.random(200) {
            let Some(response) = self.front.ring.pop_or_arm().map_err(failed("the front"))? else {
                self.front.awake = false;
                break;
            };
            equal("an answer", response.into_unverified(), Message::new(self.answered))?;
            self.answered += 1;
        }
        Ok(true)
    }

    /// A number below `limit`.
    const fn random(&mut self, limit: u64) -> u64 {
        self.random = self.random.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        (self.random >> 33) % limit
    }

    fn report(&self, time: Duration, ticks: u64) -> String {
        let events = |half: (u64, u64)| format!("{} events for {} publications", half.1, half.0);
        format!(
            "{} messages in {time:.1?}, {} ticks each; front: {}; back: {}",
            self.answered,
            ticks / self.answered.max(1),
            events((self.front.published, self.front.notified)),
            events((self.back.published, self.back.notified)),
        )
    }
}

fn impossible_index(guest: &Guest) -> Result<(), String> {
    let account = account(guest)?;
    let (mut front, mut back, grefs) = ends(guest, &account, NonZeroUsize::MIN, OnePage)?;
    // The back's pages a second time, to write what no ring would.
    let hostile = map(guest, &account, &grefs)?;
    front.push(Message::new(1)).map_err(|_| "no room")?;
    let _ = front.publish();
    // The response index, two ahead of what the front has asked for.
    let _ = hostile.memory().write(8, &START.wrapping_add(2).to_ne_bytes());
    let wanted = PeerError::Responses { before: START, now: START.wrapping_add(2), outstanding: 1 };
    equal("the front", front.pop().map(|_| ()), Err(wanted))?;
    let _ = hostile.memory().write(8, &START.to_ne_bytes());
    equal("the front, later", front.pop().map(|_| ()), Err(wanted))?;
    ensure(front.push(Message::new(2)).is_err(), "a broken end takes requests")?;
    let request = back.pop().map_err(failed("the back"))?.ok_or("no request")?;
    equal("the back", request.into_unverified(), Message::new(1))
}
