//! The machine's clock, and the timers of its vCPUs.

use std::time::Duration;

use xen_hypercall::abi::arch::VcpuInfo;
use xen_hypercall::abi::time::VcpuTimeInfo;
use xen_hypercall::abi::{DomId, VcpuId, Virq};

use crate::order;
use crate::state::State;

/// System time at the start: not zero, which is Xen's word for "no deadline".
const START: Duration = Duration::from_secs(1);

/// What a call costs.
const CALL: Duration = Duration::from_micros(1);

/// System time, which passes with calls, and when a test says so.
#[derive(Debug)]
pub(crate) struct Clock(Duration);

impl Clock {
    pub(crate) const fn new() -> Self {
        Self(START)
    }

    pub(crate) const fn now(&self) -> Duration {
        self.0
    }

    pub(crate) fn tick(&mut self) {
        self.0 += CALL;
    }

    pub(crate) const fn set(&mut self, now: Duration) {
        self.0 = now;
    }
}

/// The timers of one vCPU: when they expire, in system time.
#[derive(Debug, Default)]
pub(crate) struct Timers {
    /// That of `set_timer_op`.
    pub(crate) timer: Option<Duration>,
    /// That of `VCPUOP_set_singleshot_timer`.
    pub(crate) singleshot: Option<Duration>,
    /// That of `VCPUOP_set_periodic_timer`, and its period.
    pub(crate) periodic: Option<(Duration, Duration)>,
}

impl Timers {
    fn next(&self) -> Option<Duration> {
        let periodic = self.periodic.map(|(next, _)| next);
        [self.timer, self.singleshot, periodic].into_iter().flatten().min()
    }

    /// Takes those that have expired off; says whether there were any.
    fn expire(&mut self, now: Duration) -> bool {
        let mut expired = self.timer.take_if(|at| *at <= now).is_some();
        expired |= self.singleshot.take_if(|at| *at <= now).is_some();
        if let Some((next, period)) = &mut self.periodic
            && *next <= now
        {
            *next = now + *period;
            expired = true;
        }
        expired
    }
}

impl State {
    /// Raises the timer interrupts that are due.
    pub(crate) fn fire_timers(&mut self) {
        let now = self.now();
        let mut due: Vec<(DomId, VcpuId)> = Vec::new();
        for dom in self.domains.values_mut() {
            let id = dom.id;
            let vcpus = dom.vcpus.iter_mut().zip(0..);
            due.extend(vcpus.filter_map(|(vcpu, number)| vcpu.timers.expire(now).then_some((id, VcpuId(number)))));
        }
        for (domain, vcpu) in due {
            self.raise_virq(domain, Virq::TIMER, vcpu);
        }
    }

    /// When the next timer expires, of whatever vCPU or of xenstored.
    pub(crate) fn next_timer(&self) -> Option<Duration> {
        let timers = self.domains.values().flat_map(|dom| &dom.vcpus).filter_map(|vcpu| vcpu.timers.next());
        timers.chain(self.store.next_time()).min()
    }

    /// Moves the clock, to an earlier time too, and raises what is due.
    pub(crate) fn set_time(&mut self, now: Duration) {
        self.store.set_back(self.now().saturating_sub(now));
        self.clock.set(now);
        self.tell_time();
        self.fire_timers();
        self.settle_store();
    }

    /// Writes the time where guests look for it. The counter's frequency is told as zero, so that the time which they
    /// work out is the machine's, whatever the host's counter says.
    pub(crate) fn tell_time(&self) {
        let now = self.now().as_nanos() as u64;
        for vcpu in self.domains.values().flat_map(|dom| &dom.vcpus) {
            let field = |offset| vcpu.place.offset + std::mem::offset_of!(VcpuInfo, time) + offset;
            let version = vcpu.place.page.u32(field(std::mem::offset_of!(VcpuTimeInfo, version)));
            let next = order::look32(version).wrapping_add(1) | 1;
            order::put32(version, next);
            let system_time = vcpu.place.page.u64(field(std::mem::offset_of!(VcpuTimeInfo, system_time)));
            system_time.store(now, order::BYTES);
            order::put32(version, next.wrapping_add(1));
        }
    }
}
