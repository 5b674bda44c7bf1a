//! 5. Events: the page that Xen shares with the kernel, and the upcall, which is a PV guest's only interrupt.

use core::arch::naked_asm;
use core::ptr::NonNull;

use xen_event_channel::{EventChannels, Events, dispatch};
use xen_hypercall::abi::arch::{SharedInfo, VcpuInfo};
use xen_hypercall::abi::callback::{Flags, Type};
use xen_hypercall::abi::x86::start_info::StartInfo;
use xen_hypercall::abi::{Mfn, Number, VcpuId};
use xen_hypercall::{Errno, callback};

use crate::hypercall::{XEN, Xen};
use crate::memory::{self, Pages};

static EVENT_CHANNELS: EventChannels = EventChannels::new();
static SHARED_INFO: Pages<1> = Pages::new();

/// Maps the shared page, and lets upcalls come.
///
/// # Safety
///
/// Called once, with the start info as it came.
pub(crate) unsafe fn start(info: &StartInfo) -> Result<(), Errno> {
    // SAFETY: nothing has looked at the page so far, and those who do from now on know whose it is.
    unsafe { memory::map(SHARED_INFO.page(0), Some(Mfn::containing(info.shared_info))) }?;
    // SAFETY: the handler gives every register back.
    unsafe { callback::register(&XEN, Type::EVENT, Flags::empty(), upcall as *const () as u64) }?;
    XEN.release_upcalls();
    Ok(())
}

/// What Xen and the one vCPU share: the first field of the page.
pub(crate) const fn vcpu_info() -> NonNull<VcpuInfo> {
    SHARED_INFO.page(0).cast()
}

// SAFETY: there is one table, and the page is mapped for good, after `start` which comes before all use of it.
unsafe impl Events for Xen {
    fn event_channels(&self) -> &EventChannels {
        &EVENT_CHANNELS
    }

    fn vcpu(&self) -> VcpuId {
        VcpuId(0)
    }

    fn shared_info(&self) -> NonNull<SharedInfo> {
        SHARED_INFO.page(0).cast()
    }

    fn vcpu_info(&self, vcpu: VcpuId) -> Option<NonNull<VcpuInfo>> {
        (vcpu == VcpuId(0)).then_some(vcpu_info())
    }
}

extern "C" fn handle() {
    dispatch(&XEN, VcpuId(0));
}

/// Xen has pushed `ss`, `rsp`, `rflags`, `cs`, `rip`, `r11` and `rcx`, and holds further upcalls back. The hypercall at the end gives
/// all of it back at once, lets upcalls through again, and calls anew if there was an event meanwhile. A kernel in a hurry returns by
/// itself (`runtime/src/pv/entry.rs`).
#[unsafe(naked)]
unsafe extern "C" fn upcall() -> ! {
    naked_asm!(
        // With Xen's seven words, these seven align the stack for the call, which keeps all other registers.
        "push rax",
        "push rdx",
        "push rsi",
        "push rdi",
        "push r8",
        "push r9",
        "push r10",
        "cld",
        "call {handle}",
        "pop r10",
        "pop r9",
        "pop r8",
        "pop rdi",
        "pop rsi",
        "pop rdx",
        "pop rax",
        // `struct iret_context`, public/arch-x86/xen-x86_64.h: `rax`, `r11`, `rcx`, flags, and what Xen has pushed.
        "pop rcx",
        "pop r11",
        "push 0",
        "push rcx",
        "push r11",
        "push rax",
        "mov eax, {iret}",
        "syscall",
        "ud2",
        handle = sym handle,
        iret = const Number::IRET.0,
    )
}
