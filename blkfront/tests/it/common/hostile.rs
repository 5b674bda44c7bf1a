//! A backend that misbehaves, and what must come of it.

use std::time::Duration;

use xen_blkfront::{
    Completion, Done, Event, Flushed, IoError, NotDurable, Options, Rejection, Request, RequestId, Sector512,
};
use xen_shared_ring::PeerError;
use xen_sim::blkback::{Fault, Misdeed, Options as Offer, Which};
use xen_sim::{Domain, Readable, When};

use super::Rig;

/// What no backend may ever read.
pub(crate) const SECRET: &[u8] = b"nobody else's business";

const SECOND: Duration = Duration::from_secs(1);

/// Four requests of which the first two are not answered, the third one honestly, and the last one by a misdeed.
pub(crate) struct Scene {
    pub(crate) rig: Rig,
    pub(crate) ids: Vec<RequestId>,
}

impl Scene {
    /// `last` makes the last request.
    pub(crate) fn new(options: Options, misdeed: Misdeed, last: fn(&Rig) -> Request<Domain>) -> Self {
        Self::of(Rig::new(1, options, Offer::DEFAULT), misdeed, last)
    }

    pub(crate) fn of(mut rig: Rig, misdeed: Misdeed, last: fn(&Rig) -> Request<Domain>) -> Self {
        // Ids begin with small numbers, which a misdeed may name.
        rig.write(256, 512, 9).expect("an honest backend writes");
        assert_eq!(rig.flush(), Flushed::Durable);
        let control = rig.control();
        control.on(Which::All, When::Nth(1), Fault::Hang);
        control.on(Which::All, When::Nth(2), Fault::Hang);
        control.on(Which::All, When::Nth(4), Fault::Misdeed(misdeed));
        let requests = [
            Request::write(Sector512(0), rig.filled(4096, 1)),
            Request::read(Sector512(64), rig.front.buffer(8192).expect("there is memory")),
            Request::write(Sector512(128), rig.filled(512, 3)),
            last(&rig),
        ];
        let now = rig.now();
        let ids = requests.map(|request| rig.front.submit(request, now).expect("it is taken"));
        rig.front.flush_notifications(now);
        let _ = rig.until(SECOND / 10, |rig| rig.completions.len() == 4);
        Self { rig, ids: ids.to_vec() }
    }

    /// All requests must have ended, once each, the disk must take nothing, and work again when the backend is honest. Answers with
    /// the violation, and with the completion of the last request.
    #[track_caller]
    pub(crate) fn must_break(self) -> (PeerError, Completion<Domain>) {
        let Self { mut rig, ids } = self;
        let mut done: Vec<_> = ids.iter().map(|id| take(&mut rig, *id)).collect();
        assert!(rig.completions.is_empty(), "{:?}", rig.completions);
        let Err(IoError::Misbehaved(violation)) = done[0].result else { panic!("{:?}", done[0]) };
        assert_eq!(done[1].result, Err(IoError::Misbehaved(violation)));
        assert!(matches!(done[2].result, Ok(Done::Transferred) | Err(IoError::Misbehaved(_))), "{:?}", done[2]);
        let acknowledged = done[2].result.is_ok();
        assert_eq!(rig.count(|event| matches!(event, Event::Disconnected)), 1, "{:?}", rig.events);
        heal(&mut rig);
        let lost = Flushed::NotDurable(NotDurable::CacheLost);
        assert_eq!(rig.flush(), if acknowledged { lost } else { Flushed::Durable });
        assert_eq!(rig.flush(), Flushed::Durable, "said once");
        let last = done.pop().expect("there are four");
        drop(done);
        rig.close();
        rig.assert_given_back();
        (violation, last)
    }

    /// The misdeed must have no effect: all requests succeed when those that hang go on.
    #[track_caller]
    pub(crate) fn must_go_on(self) -> Completion<Domain> {
        let Self { mut rig, ids } = self;
        rig.control().go_on();
        let mut done: Vec<_> = ids.iter().map(|id| rig.finish(*id)).collect();
        done.iter().for_each(|done| assert_eq!(done.result, Ok(Done::Transferred)));
        assert_eq!(rig.count(|event| matches!(event, Event::Disconnected)), 0, "{:?}", rig.events);
        assert_eq!(rig.flush(), Flushed::Durable);
        rig.close();
        rig.assert_given_back();
        done.pop().expect("there are four")
    }
}

/// The one end of a request, which it must have by now.
#[track_caller]
pub(crate) fn take(rig: &mut Rig, id: RequestId) -> Completion<Domain> {
    let index = rig.completions.iter().position(|done| done.id == id);
    let index = index.unwrap_or_else(|| panic!("{id:?} has no end: {:?} {:?}", rig.completions, rig.events));
    rig.completions.swap_remove(index)
}

/// A disk that is broken takes nothing, and works again when its backend is honest.
#[track_caller]
pub(crate) fn heal(rig: &mut Rig) {
    assert!(rig.front.disk().is_none());
    let rejected = rig.front.submit(Request::flush(), rig.now()).expect_err("it is broken");
    assert_eq!(rejected.reason, Rejection::NotConnected);
    rig.control().clear();
    assert!(rig.until(SECOND * 20, |rig| rig.front.disk().is_some()), "{:?}", rig.events);
    rig.write(512, 8192, 7).expect("an honest backend writes");
    assert_eq!(rig.read(512, 8192), Ok(vec![7; 8192]));
}

/// The last request of a scene: a page is read.
pub(crate) fn read_a_page(rig: &Rig) -> Request<Domain> {
    Request::read(Sector512(1024), rig.front.buffer(4096).expect("there is memory"))
}

/// The last request of a scene: so many pages are read that it needs a page of segments.
pub(crate) fn read_many_pages(rig: &Rig) -> Request<Domain> {
    Request::read(Sector512(1024), rig.front.buffer(32 * 4096).expect("there is memory"))
}

/// The last request of a scene: a page is written.
pub(crate) fn write_a_page(rig: &Rig) -> Request<Domain> {
    Request::write(Sector512(1024), rig.filled(4096, 4))
}

/// The page of the disk's first ring.
#[track_caller]
pub(crate) fn ring(rig: &Rig) -> Readable {
    let path = format!("{}/ring-ref", rig.device.front_path());
    let gref: u32 = rig.machine.xenstore().read_text(&path).and_then(|text| text.parse().ok()).expect("one page");
    let page = rig.machine.readable_by(&rig.domain).into_iter().find(|page| page.gref.0 == gref);
    page.expect("the ring is granted")
}

/// The word at an offset.
pub(crate) fn word(page: &Readable, offset: usize) -> u32 {
    u32::from_ne_bytes(page.bytes[offset..offset + 4].try_into().expect("four bytes"))
}
