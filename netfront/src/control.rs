//! The control ring: what the backend is asked for, apart from packets.

use alloc::sync::Arc;
use core::iter;
use core::num::NonZeroUsize;
use core::time::Duration;

use xen_event_channel::{Channel, Line};
use xen_grant_table::{Access, Account, GrantRun, Page, PageRun, Shown};
use xen_hypercall::abi::grant_table::GrantRef;
use xen_hypercall::abi::io::netif::{CtrlRequest, CtrlResponse, CtrlStatus, CtrlType};
use xen_shared_ring::{FrontRing, OnePage, PeerError, Untrusted};
use xen_xenbus::bus::Offer;

use crate::Platform;
use crate::connection::Lacking;
use crate::options::Options;
use crate::receive::Look;
use crate::wire::NetifCtrl;

/// What came of a request: a number that was asked for, or why it was refused.
pub(crate) type Answer = Result<u32, CtrlStatus>;

/// A ring on which one thing is asked for at a time, and its event channel.
pub(crate) struct Control<P: Platform> {
    ring: FrontRing<NetifCtrl, GrantRun<P>>,
    line: Line<P>,
    /// What requests refer to. The backend can read it at any time: it finds what it was told last, and zeros.
    table: Shown<P>,
    /// What was asked for, and not answered.
    asked: Option<CtrlRequest>,
    came: Option<Answer>,
    next_id: u16,
    pub(crate) broken: Option<PeerError>,
    pub(crate) notifications: u64,
}

impl<P: Platform> Control<P> {
    pub(crate) fn open(platform: &P, account: &Arc<Account<P>>, options: &Options) -> Result<Self, Lacking> {
        let run = PageRun::alloc(platform.clone(), NonZeroUsize::MIN).ok_or(Lacking::Memory)?;
        let run = run.grant(account, Access::ReadWrite).map_err(|error| error.reason)?;
        let ring = FrontRing::init_at(run, OnePage, options.first_index).map_err(|_| Lacking::Memory)?;
        let page = Page::alloc(platform.clone()).ok_or(Lacking::Memory)?;
        let table = page.show(account).map_err(|error| Lacking::Grants(error.reason))?;
        let line = Line::unbound(platform, account.peer())?;
        Ok(Self { ring, line, table, asked: None, came: None, next_id: 0, broken: None, notifications: 0 })
    }

    /// Adds its keys.
    pub(crate) fn describe(&self, offer: Offer) -> Offer {
        let gref = self.ring.region().grefs().first().copied().unwrap_or(GrantRef(0));
        offer.with("ctrl-ring-ref", gref.0).with("event-channel-ctrl", self.line.port().0)
    }

    /// Whether something can be asked for: the answer to what was before has been taken.
    pub(crate) const fn is_free(&self) -> bool {
        self.asked.is_none() && self.came.is_none() && self.broken.is_none()
    }

    /// Asks for something. It [is free](Self::is_free).
    pub(crate) fn ask(&mut self, kind: CtrlType, data: [u32; 3]) {
        let request = CtrlRequest { id: self.next_id, kind, data };
        self.next_id = self.next_id.wrapping_add(1);
        // There is room: nothing else is in the ring.
        let _ = self.ring.push(request);
        self.asked = Some(request);
        if self.ring.publish().is_needed() {
            self.notify();
        }
    }

    /// Puts what a request refers to where the backend finds it. It [is free](Self::is_free): nobody reads the table meanwhile.
    pub(crate) fn lay_out(&mut self, bytes: impl Iterator<Item = u8>) -> GrantRef {
        let bytes = bytes.chain(iter::repeat(0));
        self.table.bytes_mut().iter_mut().zip(bytes).for_each(|(to, from)| *to = from);
        self.table.gref()
    }

    /// The answer, if it has come.
    pub(crate) const fn answer(&mut self) -> Option<Answer> {
        self.came.take()
    }

    /// Looks whether the answer has come. More answers than requests end the connection, as those do that are to something else.
    pub(crate) fn look(&mut self, look: Look) {
        while self.came.is_none() {
            let response = match look {
                Look::Now => self.ring.pop(),
                Look::AndArm => self.ring.pop_or_arm(),
            };
            match response.map(|response| response.map(Untrusted::into_unverified)) {
                Ok(Some(response)) => self.take(response),
                Ok(None) => return,
                Err(violation) => return self.set_broken(violation),
            }
        }
    }

    fn take(&mut self, response: CtrlResponse) {
        let CtrlResponse { id, kind, status, data } = response;
        // The ring sees to it that there was a request.
        let asked = self.asked.take().unwrap_or_default();
        if id != asked.id {
            return self.set_broken(PeerError::Message { rule: "id", value: id.into() });
        }
        if kind != asked.kind {
            return self.set_broken(PeerError::Message { rule: "type", value: kind.0.into() });
        }
        self.came = Some(if status == CtrlStatus::SUCCESS { Ok(data) } else { Err(status) });
        self.line.found();
    }

    /// Has the backend signal the answer. Says whether there is nothing to be done.
    pub(crate) fn arm(&mut self, now: Duration) -> bool {
        self.line.look();
        self.look(Look::AndArm);
        // A channel that cannot be settled is looked at by the watchdog.
        let _ = self.line.settle(now);
        self.came.is_none() && self.broken.is_none()
    }

    /// Signals the backend, where it owes an answer, whether it wants to be or not.
    pub(crate) fn remind(&mut self) {
        if self.asked.is_some() {
            self.notify();
        }
    }

    fn notify(&mut self) {
        self.notifications += u64::from(self.line.notify());
    }

    /// When to look because events are held off.
    pub(crate) const fn held(&self) -> Option<Duration> {
        self.line.held()
    }

    /// What to wait for.
    pub(crate) const fn waits(&self) -> (&Channel<P>, u32) {
        self.line.waits()
    }

    /// Has nothing more read or written.
    pub(crate) fn set_broken(&mut self, violation: PeerError) {
        self.broken = self.broken.or(Some(violation));
        self.ring.set_broken(violation);
    }
}
