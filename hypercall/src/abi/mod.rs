//! Xen's public interface as a guest sees it, one module per public header.
//!
//! Names are Xen's own without the prefix, in Rust case. Each item's doc ends with its origin, the C name
//! and the header, which `tests/abi` reads to compare sizes, offsets and values with Xen's own headers. A mark after the header says where the original exists: on one architecture, for the tools only, from a later
//! version of Xen on than 4.17, or, for a structure that "may grow", that later versions add to its end.
//!
//! Rules: `repr(C)` or `repr(transparent)`, explicit padding, integer newtypes instead of enums, `bitflags`
//! for flag words, raw pointers for guest handles (so that a simulator can follow them), everything `pub`.
//! Fields that Xen changes behind the guest's back (shared info, vCPU time, ring indices) are plain
//! integers: these types are layouts, and how such memory is read is the business of other modules.
//! Where x86-64 and ARM64 differ, each has its own type in [`x86`] or [`arm`], always compiled, and
//! [`arch`] is the one of the target.

pub mod arm;
pub mod callback;
pub mod console_io;
pub mod domain;
pub mod elfnote;
pub mod errno;
pub mod event_channel;
pub mod features;
pub mod frame;
pub mod grant_table;
pub mod hvm;
pub mod io;
pub mod memory;
pub mod mmu;
pub mod multicall;
pub mod nmi;
mod number;
pub mod physdev;
pub mod sched;
pub mod time;
pub mod vcpu;
pub mod version;
pub mod virq;
pub mod vm_assist;
pub mod x86;

#[cfg(target_arch = "aarch64")]
pub use arm as arch;
#[cfg(target_arch = "x86_64")]
pub use x86 as arch;

pub use domain::{DomId, VcpuId};
pub use event_channel::Port;
pub use frame::{Gfn, Mfn, Pfn};
pub use grant_table::GrantRef;
pub use number::Number;
pub use virq::Virq;
