//! Setting faults.

use std::time::Duration;

use xen_hypercall::Errno;
use xen_hypercall::abi::Port;
use xen_hypercall::abi::event_channel::Command as EventChannel;
use xen_hypercall::abi::grant_table::{Command as GrantTable, Status};

use crate::fault::{EventFault, Limit, Target, When};
use crate::machine::Shared;
use crate::{Domain, Machine};

impl Machine {
    /// The machine's faults: none at first.
    #[must_use]
    pub const fn faults(&self) -> Faults<'_> {
        Faults(self)
    }
}

/// Where a test says what shall go wrong. All of it is something that real Xen, or a real peer, may do at any time, and
/// each fault that strikes is in the [`Trace`](crate::Trace).
#[derive(Clone, Copy, Debug)]
pub struct Faults<'a>(&'a Machine);

impl Faults<'_> {
    fn shared(&self) -> &Shared {
        &self.0.0
    }

    /// Has calls fail with `errno`, without any effect.
    pub fn fail(&self, target: Target, when: When, errno: Errno) {
        self.shared().lock().faults.fail(target, when, errno);
    }

    /// Has elements of a batch of `grant_table_op` fail with `status`, without any effect. The elements are counted,
    /// over all batches.
    pub fn fail_element(&self, command: GrantTable, when: When, status: Status) {
        self.shared().lock().faults.fail_element(Target::grant_table(command), when, status);
    }

    /// As [`fail_element`](Self::fail_element), for one domain's calls only.
    pub fn fail_element_of(&self, domain: &Domain, command: GrantTable, when: When, status: Status) {
        let target = Target::grant_table(command).by(domain.id());
        self.shared().lock().faults.fail_element(target, when, status);
    }

    /// Disturbs events that are sent to a domain.
    pub fn disturb_events(&self, to: &Domain, when: When, fault: EventFault) {
        self.shared().lock().faults.disturb_events(to.id(), when, fault);
    }

    /// A hypervisor without the FIFO form of event channels.
    pub fn without_fifo(&self) {
        self.fail(Target::event_channel(EventChannel::INIT_CONTROL), When::Always, Errno::NOSYS);
    }

    /// A hypervisor without version 2 of the grant table.
    pub fn without_grant_v2(&self) {
        self.fail(Target::grant_table(GrantTable::SET_VERSION), When::Always, Errno::NOSYS);
    }

    /// Changes what a domain may have at most. What it has already stays.
    pub fn limit(&self, domain: &Domain, limit: Limit) {
        let mut state = self.shared().lock();
        let dom = state.dom_mut(domain.id());
        match limit {
            Limit::Ports(ports) => dom.channels.max_ports = ports,
            Limit::GrantFrames(frames) => dom.table.max_frames = frames,
            Limit::Pages(pages) => dom.max_pages = pages,
            Limit::Mappings(mappings) => dom.mappings.max = mappings,
        }
    }

    /// Makes a port of a domain pending `count` times in a row, for no reason, with an upcall after each: a storm.
    pub fn storm(&self, domain: &Domain, port: Port, count: usize) {
        for _ in 0..count {
            self.0.spurious_event(domain, port);
        }
    }

    /// Moves the clock forward without the guest having had time to do anything, as after a pause.
    pub fn stall(&self, time: Duration) {
        self.0.jump_to(self.0.now() + time);
    }

    /// Ends all faults of calls, elements and events. Limits stay.
    pub fn clear(&self) {
        self.shared().lock().faults.clear();
    }
}
