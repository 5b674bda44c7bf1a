//! `vcpu_op`.

use std::time::Duration;

use xen_hypercall::Errno;
use xen_hypercall::abi::VcpuId;
use xen_hypercall::abi::arch::VcpuInfo;
use xen_hypercall::abi::frame::PAGE_SIZE;
use xen_hypercall::abi::vcpu::{
    Command, RegisterVcpuInfo, Runstate, RunstateInfo, SetPeriodicTimer, SetSingleshotTimer, SingleshotFlags,
};

use super::{Answer, Call, Caller};
use crate::event::Place;
use crate::state::State;

/// The least period of a timer.
const LEAST: Duration = Duration::from_millis(1);

impl State {
    pub(super) fn vcpu_op(&mut self, caller: Caller, call: &Call) -> Answer {
        let vcpu = VcpuId(call.value(1) as u32);
        self.vcpu(caller.domain, vcpu)?;
        match Command(call.command()) {
            Command::IS_UP => Ok(1),
            Command::REGISTER_VCPU_INFO => {
                let register = call.operand::<RegisterVcpuInfo>(2)?.get(0);
                self.register_vcpu_info(caller, vcpu, &register)
            }
            Command::SET_SINGLESHOT_TIMER => {
                let set = call.operand::<SetSingleshotTimer>(2)?.get(0);
                self.set_singleshot_timer(caller, vcpu, &set)
            }
            Command::STOP_SINGLESHOT_TIMER => self.own_vcpu(caller, vcpu).map(|state| {
                state.singleshot = None;
                0
            }),
            Command::SET_PERIODIC_TIMER => {
                let set = call.operand::<SetPeriodicTimer>(2)?.get(0);
                self.set_periodic_timer(caller, vcpu, Duration::from_nanos(set.period_ns))
            }
            Command::STOP_PERIODIC_TIMER => {
                self.vcpu_mut(caller.domain, vcpu)?.timers.periodic = None;
                Ok(0)
            }
            Command::GET_RUNSTATE_INFO => self.get_runstate_info(call),
            _ => Err(Errno::NOSYS),
        }
    }

    /// Moves a vCPU's info to a place of the guest's. Everything may be pending afterwards.
    fn register_vcpu_info(&mut self, caller: Caller, vcpu: VcpuId, to: &RegisterVcpuInfo) -> Answer {
        let offset = to.offset as usize;
        if offset > PAGE_SIZE - size_of::<VcpuInfo>() || !offset.is_multiple_of(align_of::<VcpuInfo>()) {
            return Err(Errno::INVAL);
        }
        if self.vcpu(caller.domain, vcpu)?.registered {
            return Err(Errno::INVAL);
        }
        let page = self.own_page(caller.domain, to.mfn)?.page;
        let of = self.vcpu_mut(caller.domain, vcpu)?;
        let mut info = [0; size_of::<VcpuInfo>()];
        of.place.page.read(of.place.offset, &mut info);
        page.write(offset, &info);
        of.place = Place { page, offset };
        of.registered = true;
        self.mark_all(caller.domain, vcpu);
        Ok(0)
    }

    fn set_singleshot_timer(&mut self, caller: Caller, vcpu: VcpuId, set: &SetSingleshotTimer) -> Answer {
        let deadline = Duration::from_nanos(set.timeout_abs_ns);
        let now = self.now();
        let timers = self.own_vcpu(caller, vcpu)?;
        if set.flags.contains(SingleshotFlags::FUTURE) && deadline < now {
            return Err(Errno::TIME);
        }
        timers.singleshot = Some(deadline);
        self.fire_timers();
        Ok(0)
    }

    fn set_periodic_timer(&mut self, caller: Caller, vcpu: VcpuId, period: Duration) -> Answer {
        if period < LEAST {
            return Err(Errno::INVAL);
        }
        let first = self.now() + period;
        self.vcpu_mut(caller.domain, vcpu)?.timers.periodic = Some((first, period));
        Ok(0)
    }

    /// The timers of a vCPU that only it may set.
    fn own_vcpu(&mut self, caller: Caller, vcpu: VcpuId) -> Result<&mut crate::time::Timers, Errno> {
        if vcpu != caller.vcpu {
            return Err(Errno::INVAL);
        }
        Ok(&mut self.vcpu_mut(caller.domain, vcpu)?.timers)
    }

    fn get_runstate_info(&mut self, call: &Call) -> Answer {
        let operand = call.operand::<RunstateInfo>(2)?;
        let now = self.now().as_nanos() as u64;
        let info = RunstateInfo { state: Runstate::RUNNING, state_entry_time: 0, time: [now, 0, 0, 0], _pad: 0 };
        self.give_back(&operand, 0, info);
        Ok(0)
    }
}
