//! Xen's start info as a typed value.

use core::ptr::NonNull;

use xen_hypercall::abi::x86::start_info::{StartFlags, StartInfo};
use xen_hypercall::abi::{Mfn, Port};

use super::memory::Memory;
use crate::boot::{BootInfo, CommandLine, SharedPage, text};

/// Reads what the builder wrote.
pub(super) fn parse(info: &'static StartInfo, memory: &Memory) -> BootInfo {
    let control_domain = info.flags.contains(StartFlags::INITDOMAIN);
    let page = |mfn, port| {
        if control_domain { None } else { shared_page(memory, mfn, port) }
    };
    BootInfo {
        platform: text(&info.magic),
        command_line: CommandLine::new(&info.cmd_line),
        pages: memory.pages(),
        control_domain,
        console: page(info.console_mfn, info.console_evtchn),
        store: page(info.store_mfn, info.store_evtchn),
    }
}

/// A page that the builder mapped for the guest. `None` where the toolstack made none.
fn shared_page(memory: &Memory, mfn: Mfn, port: Port) -> Option<SharedPage> {
    let page = NonNull::new(memory.address_of(mfn)? as *mut u8)?;
    (port.0 != 0).then_some(SharedPage { page, port })
}
