//! The choice between Xen's two ABIs for events, and the way back.

use xen_hypercall::abi::{DomId, VcpuId};
use xen_hypercall::{Errno, event_channel};

use crate::fifo::{GrowError, MAX_VCPUS};
use crate::{Events, StartError, order, words};

/// Xen's ways to tell a domain about events.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Abi {
    /// Bits in the shared info page: every Xen has it. 4096 ports.
    TwoLevel,
    /// Queues by priority, in pages of the guest's. 131,072 ports, as far as the toolstack allows; memory for those in use.
    Fifo,
}

/// Which ABI a kernel would like.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Preference {
    /// [`Abi::TwoLevel`]: the shortest way from event to count. For guests with a few hundred ports.
    TwoLevel,
    /// [`Abi::Fifo`] where Xen has it and there is memory, [`Abi::TwoLevel`] otherwise.
    Fifo,
}

/// Chooses the ABI, and answers with the one in use. To be called before the first port is opened, on vCPU 0.
///
/// The queues of every vCPU that [`Events::vcpu_info`] knows are made; further ones by [`start_vcpu`].
/// Without this call the 2-level ABI is in use from the first port on.
///
/// # Errors
///
/// [`StartError::TooLate`] once a port was opened: Xen may lose events that are pending at the change. There is no other error:
/// where FIFO is not to be had, for lack of memory or of Xen's support, the 2-level ABI is.
///
/// Source: `EVTCHNOP_init_control`, public/event_channel.h
pub fn start<P: Events>(platform: &P, preference: Preference) -> Result<Abi, StartError> {
    let table = platform.event_channels();
    table.begin_start().map_err(|_| StartError::TooLate)?;
    let abi = match preference {
        Preference::TwoLevel => Abi::TwoLevel,
        Preference::Fifo => start_fifo(platform),
    };
    table.end_start(abi);
    Ok(abi)
}

fn start_fifo<P: Events>(platform: &P) -> Abi {
    let start = |vcpu| platform.event_channels().fifo.start_vcpu(platform, vcpu);
    if start(VcpuId(0)).is_err() {
        return Abi::TwoLevel;
    }
    // From here on there is no way back. A vCPU whose queues Xen refuses takes no events: `bind_vcpu` says so.
    for vcpu in (0..MAX_VCPUS).map(VcpuId) {
        let Some(words) = words::vcpu(platform, vcpu) else { break };
        let _ = start(vcpu);
        // What was selected in the other ABI would hide the queues.
        order::take_selector(&words.selector);
    }
    Abi::Fifo
}

/// Makes a vCPU able to take events, before it is brought up. In the 2-level ABI there is nothing to do.
///
/// # Errors
///
/// [`StartError::NoVcpu`], [`StartError::NoMemory`], or Xen's refusal.
///
/// Source: `EVTCHNOP_init_control`, public/event_channel.h
pub fn start_vcpu<P: Events>(platform: &P, vcpu: VcpuId) -> Result<(), StartError> {
    let table = platform.event_channels();
    if platform.vcpu_info(vcpu).is_none() {
        return Err(StartError::NoVcpu(vcpu));
    }
    match table.abi() {
        Abi::TwoLevel => Ok(()),
        Abi::Fifo => table.fifo.start_vcpu(platform, vcpu).map_err(|error| StartError::from_grow(error, vcpu)),
    }
}

/// Makes every handle stale and wakes who waits, after the domain was suspended and runs again: its ports are gone, and Xen is
/// back at the 2-level ABI. Then [`start`] chooses again.
///
/// For when nothing else of the domain runs: one vCPU, upcalls held back. Not after a suspend that was cancelled.
///
/// # Errors
///
/// None today but those of [`start`].
pub fn resume<P: Events>(platform: &P, preference: Preference) -> Result<Abi, StartError> {
    platform.event_channels().restart();
    start(platform, preference)
}

/// Closes all ports of the domain, those included that it was started with, and then does what [`resume`] does.
///
/// Events that were pending are lost: look at every ring afterwards.
///
/// # Errors
///
/// [`StartError::Refused`] with nothing changed, or those of [`start`].
///
/// Source: `EVTCHNOP_reset`, public/event_channel.h
pub fn reset<P: Events>(platform: &P, preference: Preference) -> Result<Abi, StartError> {
    event_channel::reset(platform, DomId::SELF).map_err(StartError::Refused)?;
    resume(platform, preference)
}

impl StartError {
    const fn from_grow(error: GrowError, vcpu: VcpuId) -> Self {
        match error {
            GrowError::Refused(Errno::NOENT) => Self::NoVcpu(vcpu),
            GrowError::Refused(errno) => Self::Refused(errno),
            GrowError::NoMemory | GrowError::Busy => Self::NoMemory,
        }
    }
}
