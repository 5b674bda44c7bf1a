//! Xen's answer to how long processors ran.

use std::ffi::c_void;
use std::fs::File;
use std::os::fd::{AsFd as _, BorrowedFd};

use anyhow::{Context as _, Result};
use rustix::ioctl::{self, Direction, Opcode, Updater, opcode};
use xen_hypercall::abi::{Number, VcpuId};
use xen_hypercall::{Arg, Errno, Hypercall, vcpu};

/// The kernel's door to the hypervisor.
pub(crate) struct Privcmd(File);

/// `struct privcmd_hypercall`, linux/include/uapi/xen/privcmd.h
#[repr(C)]
struct Call {
    number: u64,
    arguments: [u64; 5],
}

/// `IOCTL_PRIVCMD_HYPERCALL`, linux/include/uapi/xen/privcmd.h
const HYPERCALL: Opcode = opcode::from_components(Direction::None, b'P', 0, size_of::<Call>());

impl Privcmd {
    pub(crate) fn open() -> Result<Self> {
        let path = "/dev/xen/privcmd";
        File::options().read(true).write(true).open(path).map(Self).with_context(|| format!("cannot open {path}"))
    }

    /// How long this domain's processors ran until now, in nanoseconds, Xen's work on their behalf included.
    pub(crate) fn running(&self) -> Result<u64> {
        let mut sum = 0;
        for processor in 0.. {
            match vcpu::get_runstate_info(self, VcpuId(processor)) {
                Ok(info) => sum += info.time[0],
                Err(Errno::NOENT) => break,
                Err(error) => Err(error).context("Xen does not tell how long a processor ran")?,
            }
        }
        Ok(sum)
    }
}

// SAFETY: the kernel passes number and arguments on as they are, and returns Xen's answer.
unsafe impl Hypercall for Privcmd {
    unsafe fn call<const N: usize>(&self, number: Number, arguments: [Arg; N]) -> isize {
        let mut call = Call { number: u64::from(number.0), arguments: [0; 5] };
        for (slot, argument) in call.arguments.iter_mut().zip(arguments) {
            // The address goes to Xen, which reads and writes there.
            *slot = argument.as_ptr::<c_void>().expose_provenance() as u64;
        }
        issue(self.0.as_fd(), &mut call)
    }
}

/// The answers that are asked for here are 0 or an error, whose number is the same for Xen and Linux.
fn issue(kernel: BorrowedFd<'_>, call: &mut Call) -> isize {
    // SAFETY: the structure is the one that belongs to this number.
    let request = unsafe { Updater::<HYPERCALL, Call>::new(call) };
    // SAFETY: the caller of `Hypercall::call` promises that the call's pointers are good.
    match unsafe { ioctl::ioctl(kernel, request) } {
        Ok(()) => 0,
        Err(error) => -(error.raw_os_error() as isize),
    }
}
