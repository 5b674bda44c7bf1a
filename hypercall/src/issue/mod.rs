//! Ways to issue a hypercall, one small type each.
//!
//! | type | guest | instruction |
//! |---|---|---|
//! | `Syscall` | PV, x86-64 | `syscall`, inline |
//! | `Vmcall` | PVH and HVM on Intel | `vmcall`, inline |
//! | `Vmmcall` | PVH and HVM on AMD | `vmmcall`, inline |
//! | `HypercallPage` | any x86-64, old hypervisors | a call into the page that Xen fills |
//! | `Hvc` | ARM64 | `hvc #0xEA1` |
//!
//! Inline instructions are the default because the hypercall page defeats the compiler's mitigations
//! against speculation into indirect calls.
//!
//! Xen may destroy the registers that held the arguments, so each is declared as clobbered. The ABI is
//! documented in the comments of public/arch-x86/xen-x86_64.h and public/arch-arm.h.

#[cfg(target_arch = "aarch64")]
mod arm;
#[cfg(target_arch = "x86_64")]
mod x86;

#[cfg(target_arch = "aarch64")]
pub use arm::Hvc;
#[cfg(target_arch = "x86_64")]
pub use x86::{HypercallPage, Syscall, Vmcall, Vmmcall};
