//! `event_channel_op`.

use xen_hypercall::Errno;
use xen_hypercall::abi::event_channel::{
    AllocUnbound, BindInterdomain, BindIpi, BindVcpu, BindVirq, Close, Command, ExpandArray, InitControl, Reset, Send,
    SetPriority, State as ChannelState, Status, StatusEnd, Unmask,
};
use xen_hypercall::abi::{DomId, Port};

use super::arguments::Operand;
use super::{Answer, Call, Caller};
use crate::event::Kind;
use crate::state::State;

impl State {
    pub(super) fn event_channel_op(&mut self, caller: Caller, call: &Call) -> Answer {
        let domain = caller.domain;
        match Command(call.command()) {
            Command::ALLOC_UNBOUND => self.answer(call, |state, alloc: &mut AllocUnbound| {
                let owner = state.resolve_self(domain, alloc.dom)?;
                alloc.port = state.alloc_unbound(owner, alloc.remote_dom)?;
                Ok(())
            }),
            Command::BIND_INTERDOMAIN => self.answer(call, |state, bind: &mut BindInterdomain| {
                bind.local_port = state.bind_interdomain(domain, bind.remote_dom, bind.remote_port)?;
                Ok(())
            }),
            Command::BIND_VIRQ => self.answer(call, |state, bind: &mut BindVirq| {
                bind.port = state.bind_virq(domain, bind.virq, bind.vcpu)?;
                Ok(())
            }),
            Command::BIND_IPI => self.answer(call, |state, bind: &mut BindIpi| {
                bind.port = state.bind_ipi(domain, bind.vcpu)?;
                Ok(())
            }),
            Command::STATUS => self.answer(call, |state, status: &mut Status| state.channel_status(domain, status)),
            Command::INIT_CONTROL => self.answer(call, |state, init: &mut InitControl| {
                init.link_bits = state.init_control(domain, init.control_gfn, init.offset, init.vcpu)?;
                Ok(())
            }),
            // An ordinary domain has no physical interrupts.
            Command::BIND_PIRQ => Err(Errno::PERM),
            _ => self.event_channel_order(domain, call),
        }
    }

    /// The commands that answer with nothing but success.
    fn event_channel_order(&mut self, domain: DomId, call: &Call) -> Answer {
        match Command(call.command()) {
            Command::CLOSE => self.order(call, |state, close: Close| state.close(domain, close.port)),
            Command::SEND => self.order(call, |state, send: Send| state.send(domain, send.port)),
            Command::UNMASK => self.order(call, |state, unmask: Unmask| state.unmask(domain, unmask.port)),
            Command::BIND_VCPU => {
                self.order(call, |state, bind: BindVcpu| state.bind_vcpu(domain, bind.port, bind.vcpu))
            }
            Command::SET_PRIORITY => {
                self.order(call, |state, set: SetPriority| state.set_priority(domain, set.port, set.priority))
            }
            Command::EXPAND_ARRAY => {
                self.order(call, |state, expand: ExpandArray| state.expand_array(domain, expand.array_gfn))
            }
            Command::RESET => self.order(call, |state, reset: Reset| {
                let domain = state.resolve_self(domain, reset.dom)?;
                state.reset_channels(domain);
                Ok(())
            }),
            _ => Err(Errno::NOSYS),
        }
    }

    /// A command whose structure Xen writes back if it succeeds.
    fn answer<T: Operand>(&mut self, call: &Call, work: impl FnOnce(&mut Self, &mut T) -> Result<(), Errno>) -> Answer {
        let operand = call.operand::<T>(1)?;
        let mut value = operand.get(0);
        work(self, &mut value)?;
        self.give_back(&operand, 0, value);
        Ok(0)
    }

    /// A command whose structure Xen only reads.
    fn order<T: Operand>(&mut self, call: &Call, work: impl FnOnce(&mut Self, T) -> Result<(), Errno>) -> Answer {
        let value = call.operand::<T>(1)?.get(0);
        work(self, value).map(|()| 0)
    }

    fn channel_status(&self, domain: DomId, status: &mut Status) -> Result<(), Errno> {
        let domain = self.resolve_self(domain, status.dom)?;
        let channel = self.dom(domain).channels.get(status.port)?;
        let end = |dom, port| StatusEnd { dom, _pad: 0, port };
        (status.status, status.end) = match channel.kind {
            Kind::Free | Kind::Reserved => (ChannelState::CLOSED, StatusEnd::default()),
            Kind::Unbound { remote } => (ChannelState::UNBOUND, end(remote, Port(0))),
            Kind::Interdomain { remote, port } => (ChannelState::INTERDOMAIN, end(remote, port)),
            // The interrupt's number is where the other domain's would be.
            Kind::Virq(virq) => (ChannelState::VIRQ, end(DomId(virq.0 as u16), Port(0))),
            Kind::Ipi => (ChannelState::IPI, StatusEnd::default()),
            Kind::Store => (ChannelState::INTERDOMAIN, end(DomId(0), Port(u32::from(domain.0)))),
            Kind::Left => (ChannelState::UNBOUND, end(DomId(0), Port(0))),
        };
        status.vcpu = channel.vcpu;
        Ok(())
    }
}
