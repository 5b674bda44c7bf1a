//! A block front-end that can do one thing: read a page of a disk.

use std::error::Error;
// ANCHOR: protocol
use std::fmt;
use std::num::NonZeroUsize;
use std::time::Duration;

use xen_event_channel::{Channel, Found, Waited};
use xen_grant_table::{Access, Account, Grant, GrantRun, Limits, Memory, Page, PageRun};
use xen_hypercall::abi::DomId;
use xen_hypercall::abi::io::blkif::{Operation, Request, Response, Segment, Status};
use xen_hypercall::abi::io::xenbus::State;
use xen_shared_ring::in_flight::Entry;
use xen_shared_ring::{FrontRing, InFlight, OnePage, Protocol};
use xen_xenbus::Store;
use xen_xenbus::store::Platform;

/// What goes through the ring.
enum Block {}

impl Protocol for Block {
    type Request = Request;
    type Response = Response;
}

/// Why a page was not read.
#[derive(Debug, PartialEq, Eq)]
pub enum ReadError {
    /// Nothing came in time.
    TimedOut,
    /// The backend says so.
    Failed(Status),
    /// The backend has broken the protocol. Nothing is asked of it any more.
    Broken(xen_shared_ring::PeerError),
    /// There is no room for another request, or no memory, or no event.
    Full,
}
// ANCHOR_END: protocol

// ANCHOR: reader
/// What a kernel supplies: `xen_sim::Domain` in tests, a type of no size in most kernels.
pub trait Kernel: Platform + Memory {}
impl<T: Platform + Memory> Kernel for T {}

/// A page with eight sectors.
pub type Sectors = Box<[u8; 4096]>;

/// A disk that can be read.
pub struct Reader<P: Kernel> {
    kernel: P,
    account: Account<P>,
    ring: FrontRing<Block, GrantRun<P>>,
    /// Whose answers are awaited. A page is in here while the backend may write it.
    in_flight: InFlight<Grant<P>, u64, [Entry<Grant<P>>; 32]>,
    channel: Channel<P>,
}
// ANCHOR_END: reader

impl<P: Kernel> Reader<P> {
    // ANCHOR: connect
    /// Connects to the backend of the device at `path`, such as `device/vbd/51712`.
    pub fn connect(kernel: &P, store: &Store<P>, path: &str, within: Duration) -> Result<Self, Box<dyn Error>> {
        let end = store.now() + within;
        let at = |key: &str| format!("{path}/{key}");
        let back = store.read_text(&at("backend")).wait()?;
        let peer = DomId(u16::try_from(store.read_u32(&at("backend-id")).wait()?)?);

        // A page for the ring, one for each of its 32 requests, and nothing beyond: a backend that keeps pages gets no more.
        let account =
            Account::open(kernel.clone(), peer, Limits::exactly(33)).map_err(|refusal| format!("{refusal:?}"))?;
        let page = PageRun::alloc(kernel.clone(), NonZeroUsize::MIN).ok_or("no memory")?;
        let region = page.grant(&account, Access::ReadWrite).map_err(|error| error.reason)?;
        let gref = region.grefs()[0];
        let ring = FrontRing::init(region, OnePage).map_err(|_| "too small")?;
        let channel = Channel::unbound(kernel, peer)?;

        store.transaction(|t| {
            t.write(&at("ring-ref"), gref.0.to_string()).wait()?;
            t.write(&at("event-channel"), channel.port().0.to_string()).wait()?;
            t.write(&at("protocol"), "x86_64-abi").wait()?;
            t.write(&at("state"), State::INITIALISED.0.to_string()).wait()
        })?;
        let watch = store.watch(&format!("{back}/state")).wait()?;
        while store.read_state(&format!("{back}/state")).wait()? != State::CONNECTED {
            if !watch.wait(end)? {
                return Err("the backend did not connect in time".into());
            }
        }
        store.write(&at("state"), State::CONNECTED.0.to_string()).wait()?;
        let in_flight = InFlight::new([const { Entry::VACANT }; 32]);
        Ok(Self { kernel: kernel.clone(), account, ring, in_flight, channel })
    }
    // ANCHOR_END: connect

    // ANCHOR: read
    /// Reads the eight sectors from `sector` on. It ends at `deadline`, whatever the backend does.
    pub fn read(&mut self, sector: u64, deadline: Duration) -> Result<Sectors, ReadError> {
        let id = self.ask(sector)?;
        while self.kernel.now() < deadline {
            let seen = self.channel.count();
            if let Some(result) = self.take(id)? {
                return result;
            }
            // Events can be lost: the ring is looked at every millisecond without one, too.
            let nap = deadline.min(self.kernel.now() + Duration::from_millis(1));
            self.channel.settle(Found::Work, self.kernel.now()).map_err(|_| ReadError::Full)?;
            let _: Waited = self.channel.wait_poll(seen, nap, || self.kernel.now()).map_err(|_| ReadError::Full)?;
        }
        // The page stays with its request: the backend may still write it.
        Err(ReadError::TimedOut)
    }
    // ANCHOR_END: read

    // ANCHOR: ask
    fn ask(&mut self, sector: u64) -> Result<u64, ReadError> {
        if let Some(violation) = self.ring.violation() {
            return Err(ReadError::Broken(violation));
        }
        let page = Page::alloc(self.kernel.clone()).ok_or(ReadError::Full)?;
        let grant = page.grant(&self.account, Access::ReadWrite).map_err(|_| ReadError::Full)?;
        let segment = Segment { gref: grant.gref(), last_sect: 7, ..Segment::default() };
        let id = self.in_flight.insert(grant).map_err(|_| ReadError::Full)?;
        let mut request =
            Request { operation: Operation::READ, nr_segments: 1, id, sector_number: sector, ..Request::default() };
        request.seg[0] = segment;
        if self.ring.push(request).is_err() {
            self.in_flight.withdraw(id);
            return Err(ReadError::Full);
        }
        let notify = self.ring.publish();
        self.in_flight.mark_published();
        if notify.is_needed() {
            self.channel.notify().map_err(|_| ReadError::Full)?;
        }
        Ok(id)
    }
    // ANCHOR_END: ask

    // ANCHOR: take
    /// Takes answers out of the ring, until it is that of `wanted`.
    fn take(&mut self, wanted: u64) -> Result<Option<Result<Sectors, ReadError>>, ReadError> {
        while let Some(response) = self.ring.pop_or_arm().map_err(ReadError::Broken)? {
            // A copy; the slot is not looked at again.
            let Response { id, status, .. } = response.into_unverified();
            let known = self.in_flight.complete(id);
            let grant = known.inspect_err(|violation| self.ring.set_broken(*violation)).map_err(ReadError::Broken)?;
            // Nobody else can reach the page from here on. Where the backend has it still mapped it goes to quarantine.
            let page = grant.map(Grant::revoke);
            if id == wanted {
                return Ok(Some(match (status, page) {
                    (Status::OKAY, Some(Ok(page))) => Ok(Box::new(*page.bytes())),
                    (Status::OKAY, _) => Err(ReadError::Full),
                    (status, _) => Err(ReadError::Failed(status)),
                }));
            }
        }
        Ok(None)
    }
    // ANCHOR_END: take
}

impl fmt::Display for ReadError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::TimedOut => f.write_str("no answer in time"),
            Self::Failed(status) => write!(f, "the backend failed the request: {status:?}"),
            Self::Broken(violation) => write!(f, "the backend has broken the protocol: {violation}"),
            Self::Full => f.write_str("there is no room for another request"),
        }
    }
}

impl Error for ReadError {}

impl<P: Kernel> fmt::Debug for Reader<P> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Reader").field("outstanding", &self.ring.outstanding()).finish_non_exhaustive()
    }
}
