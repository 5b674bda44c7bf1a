//! Opening and closing ports.

use xen_hypercall::Errno;
use xen_hypercall::abi::event_channel::FIFO_PRIORITY_MIN;
use xen_hypercall::abi::{DomId, Port, VcpuId, Virq, virq};

use super::{Abi, Channel, Kind};
use crate::fault::EventFault;
use crate::state::{Effect, State};

type Result<T> = std::result::Result<T, Errno>;

impl State {
    pub(crate) fn alloc_unbound(&mut self, domain: DomId, remote: DomId) -> Result<Port> {
        let remote = if remote == DomId::SELF { domain } else { remote };
        self.dom_mut(domain).channels.take(Kind::Unbound { remote }, VcpuId(0))
    }

    /// The new port is pending from the start, so that what was sent before is not lost.
    pub(crate) fn bind_interdomain(&mut self, domain: DomId, remote: DomId, remote_port: Port) -> Result<Port> {
        let remote = self.resolve(domain, remote)?;
        if self.dom(remote).channels.get(remote_port)?.kind != (Kind::Unbound { remote: domain }) {
            return Err(Errno::INVAL);
        }
        let kind = Kind::Interdomain { remote, port: remote_port };
        let port = self.dom_mut(domain).channels.take(kind, VcpuId(0))?;
        self.dom_mut(remote).channels.get_mut(remote_port)?.kind = Kind::Interdomain { remote: domain, port };
        self.set_pending(domain, port);
        Ok(port)
    }

    pub(crate) fn bind_virq(&mut self, domain: DomId, virq: Virq, vcpu: VcpuId) -> Result<Port> {
        let number = virq.0 as usize;
        if number >= virq::COUNT as usize || (!is_per_vcpu(virq) && vcpu != VcpuId(0)) {
            return Err(Errno::INVAL);
        }
        if self.vcpu(domain, vcpu)?.virqs[number].is_some() {
            return Err(Errno::EXIST);
        }
        let port = self.dom_mut(domain).channels.take(Kind::Virq(virq), vcpu)?;
        self.vcpu_mut(domain, vcpu)?.virqs[number] = Some(port);
        Ok(port)
    }

    pub(crate) fn bind_ipi(&mut self, domain: DomId, vcpu: VcpuId) -> Result<Port> {
        self.vcpu(domain, vcpu)?;
        self.dom_mut(domain).channels.take(Kind::Ipi, vcpu)
    }

    pub(crate) fn bind_vcpu(&mut self, domain: DomId, port: Port, vcpu: VcpuId) -> Result<()> {
        self.vcpu(domain, vcpu)?;
        let channel = self.dom_mut(domain).channels.get_mut(port)?;
        match channel.kind {
            Kind::Virq(virq) if is_per_vcpu(virq) => return Err(Errno::INVAL),
            Kind::Free | Kind::Reserved | Kind::Ipi => return Err(Errno::INVAL),
            Kind::Unbound { .. } | Kind::Interdomain { .. } | Kind::Virq(_) | Kind::Store | Kind::Left => {
                channel.vcpu = vcpu;
            }
        }
        Ok(())
    }

    pub(crate) fn set_priority(&mut self, domain: DomId, port: Port, priority: u32) -> Result<()> {
        let channels = &mut self.dom_mut(domain).channels;
        if !channels.is_fifo() {
            return Err(Errno::NOSYS);
        }
        let channel = channels.get_mut(port)?;
        if matches!(channel.kind, Kind::Free | Kind::Reserved) || priority > FIFO_PRIORITY_MIN {
            return Err(Errno::INVAL);
        }
        channel.priority = priority;
        Ok(())
    }

    pub(crate) fn close(&mut self, domain: DomId, port: Port) -> Result<()> {
        let Channel { kind, vcpu, .. } = *self.dom(domain).channels.get(port)?;
        match kind {
            Kind::Free | Kind::Reserved => return Err(Errno::INVAL),
            Kind::Interdomain { remote, port } => {
                self.dom_mut(remote).channels.get_mut(port)?.kind = Kind::Unbound { remote: domain };
            }
            Kind::Virq(virq) => self.vcpu_mut(domain, vcpu)?.virqs[virq.0 as usize] = None,
            Kind::Store => self.store.close_port(domain),
            Kind::Unbound { .. } | Kind::Ipi | Kind::Left => {}
        }
        self.dom_mut(domain).channels.get_mut(port)?.kind = Kind::Free;
        self.clear_pending(domain, port);
        Ok(())
    }

    /// Signals the other end. A channel whose other end is gone swallows the event.
    pub(crate) fn send(&mut self, domain: DomId, port: Port) -> Result<()> {
        match self.dom(domain).channels.get(port)?.kind {
            Kind::Interdomain { remote, port } => self.deliver(remote, port),
            Kind::Ipi => self.deliver(domain, port),
            Kind::Store => self.store.wake(domain),
            Kind::Unbound { .. } | Kind::Left => {}
            Kind::Free | Kind::Reserved | Kind::Virq(_) => return Err(Errno::INVAL),
        }
        Ok(())
    }

    /// An event on its way, which a fault may lose or delay.
    pub(crate) fn deliver(&mut self, domain: DomId, port: Port) {
        match self.faults.of_event(domain) {
            None => self.set_pending(domain, port),
            Some(EventFault::Lose) => self.note(domain, format!("the event on port {} is lost", port.0)),
            Some(EventFault::Delay(steps)) => {
                self.note(domain, format!("the event on port {} is delayed by {steps} steps", port.0));
                let effect = Effect::Event { domain, port };
                self.delayed.push(crate::state::Delayed { due: self.step + steps, effect });
            }
        }
    }

    /// Raises a virtual interrupt. Those of the domain as a whole are bound on vCPU 0.
    pub(crate) fn raise_virq(&mut self, domain: DomId, virq: Virq, vcpu: VcpuId) {
        let vcpu = if is_per_vcpu(virq) { vcpu } else { VcpuId(0) };
        let bound = self.vcpu(domain, vcpu).ok().and_then(|vcpu| vcpu.virqs.get(virq.0 as usize).copied().flatten());
        if let Some(port) = bound {
            self.set_pending(domain, port);
        }
    }

    /// Closes every port of a domain.
    pub(crate) fn close_all(&mut self, domain: DomId) {
        for port in self.open_ports(domain) {
            let closed = self.close(domain, port);
            debug_assert_eq!(closed, Ok(()));
        }
    }

    /// Closes every port and returns to the 2-level form.
    pub(crate) fn reset_channels(&mut self, domain: DomId) {
        self.close_all(domain);
        let dom = self.dom_mut(domain);
        dom.channels.abi = Abi::TwoLevel;
        for channel in &mut dom.channels.ports {
            channel.queue = None;
        }
        for vcpu in &mut dom.vcpus {
            vcpu.control = None;
            vcpu.tails.fill(None);
        }
    }
}

/// Whether each vCPU has its own, and keeps it.
const fn is_per_vcpu(virq: Virq) -> bool {
    matches!(virq, Virq::TIMER | Virq::DEBUG | Virq::XENOPROF | Virq::XENPMU)
}
