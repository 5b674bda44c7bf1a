//! Physical interrupts, for guests that have a device of their own, and I/O privileges of PV guests.
//!
//! What the hardware domain tells Xen about the machine's PCI devices and interrupt controllers is not offered.

use core::sync::atomic::AtomicU8;

use crate::abi::physdev::{Command, Eoi, GetFreePirq, IrqStatusQuery, PirqEoiGmfn, SetIobitmap, SetIopl, UnmapPirq};
pub use crate::abi::physdev::{IrqStatus, MapPirq, MapPirqType};
use crate::abi::{DomId, Gfn, Number};
use crate::call::command;
use crate::{Errno, Hypercall};

#[inline(always)]
fn operation<H: Hypercall, T>(xen: &H, which: Command, argument: &mut T) -> Result<(), Errno> {
    // SAFETY: each command reads and writes its own structure; those that give memory away are `unsafe` functions.
    unsafe { command(xen, Number::PHYSDEV_OP, which.0, core::ptr::from_mut(argument)) }.map(drop)
}

/// A physical interrupt in the domain's own numbering, which
/// [`bind_pirq`](crate::event_channel::bind_pirq) opens a port for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Pirq(pub u32);

/// Ends an interrupt, so that the next one can come.
///
/// # Errors
///
/// [`Errno::INVAL`] for an interrupt that is not bound.
///
/// Source: `PHYSDEVOP_eoi`, public/physdev.h
#[inline]
pub fn eoi<H: Hypercall>(xen: &H, pirq: Pirq) -> Result<(), Errno> {
    operation(xen, Command::EOI, &mut Eoi { irq: pirq.0 })
}

/// What an interrupt needs.
///
/// # Errors
///
/// [`Errno::INVAL`] for an interrupt beyond the domain's.
///
/// Source: `PHYSDEVOP_irq_status_query`, public/physdev.h
pub fn irq_status_query<H: Hypercall>(xen: &H, pirq: Pirq) -> Result<IrqStatus, Errno> {
    let mut query = IrqStatusQuery { irq: pirq.0, flags: IrqStatus::empty() };
    operation(xen, Command::IRQ_STATUS_QUERY, &mut query)?;
    Ok(query.flags)
}

/// Makes a device's interrupt a physical one of the domain, and answers with its number.
///
/// For [`MapPirqType::MULTI_MSI`], `map.entry_nr` is how many messages are wanted and, where Xen refuses, how many
/// it could give.
///
/// # Errors
///
/// [`Errno::PERM`] for a device that is not the domain's, [`Errno::NODEV`] or [`Errno::INVAL`] for one that does not
/// exist, [`Errno::NOSPC`] when no number is left; [`Errno::RANGE`] for an answer that is no number.
///
/// Source: `PHYSDEVOP_map_pirq`, public/physdev.h
pub fn map_pirq<H: Hypercall>(xen: &H, map: &mut MapPirq) -> Result<Pirq, Errno> {
    operation(xen, Command::MAP_PIRQ, map)?;
    u32::try_from(map.pirq).map(Pirq).map_err(|_| Errno::RANGE)
}

/// Takes back what [`map_pirq`] has done. `dom` is [`DomId::SELF`] for all but privileged domains.
///
/// # Errors
///
/// [`Errno::INVAL`] for an interrupt that is not mapped, [`Errno::BUSY`] for one that is bound.
///
/// Source: `PHYSDEVOP_unmap_pirq`, public/physdev.h
pub fn unmap_pirq<H: Hypercall>(xen: &H, dom: DomId, pirq: Pirq) -> Result<(), Errno> {
    let mut unmap = UnmapPirq { domid: dom, _pad: 0, pirq: i32::try_from(pirq.0).map_err(|_| Errno::INVAL)? };
    operation(xen, Command::UNMAP_PIRQ, &mut unmap)
}

/// A number that no interrupt has, for [`map_pirq`].
///
/// # Errors
///
/// [`Errno::NOSPC`] when none is left.
///
/// Source: `PHYSDEVOP_get_free_pirq`, public/physdev.h
pub fn get_free_pirq<H: Hypercall>(xen: &H, kind: MapPirqType) -> Result<Pirq, Errno> {
    let mut get = GetFreePirq { kind, pirq: 0 };
    operation(xen, Command::GET_FREE_PIRQ, &mut get)?;
    Ok(Pirq(get.pirq))
}

/// What [`eoi`] does once the bitmap of interrupts is shared.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum EoiMode {
    /// It ends the interrupt and unmasks its port.
    Unmask,
    /// It ends the interrupt, as before.
    EndOnly,
}

/// Shares a page in which Xen sets a bit for each interrupt that needs an [`eoi`]. Once for each domain.
///
/// # Errors
///
/// [`Errno::BUSY`] where a page is shared already, [`Errno::INVAL`] for a page that is not the domain's.
///
/// # Safety
///
/// From here on Xen writes the page. It must be the caller's, and reached through atomics only.
///
/// Source: `PHYSDEVOP_pirq_eoi_gmfn_v1` and `PHYSDEVOP_pirq_eoi_gmfn_v2`, public/physdev.h
pub unsafe fn pirq_eoi_gmfn<H: Hypercall>(xen: &H, page: Gfn, mode: EoiMode) -> Result<(), Errno> {
    let which = match mode {
        EoiMode::Unmask => Command::PIRQ_EOI_GMFN_V1,
        EoiMode::EndOnly => Command::PIRQ_EOI_GMFN_V2,
    };
    operation(xen, which, &mut PirqEoiGmfn { gmfn: page })
}

/// Sets the I/O privilege level of the calling vCPU: 1 lets the kernel use the ports it may, 3 user code too.
/// PV only.
///
/// # Errors
///
/// [`Errno::INVAL`] for a level beyond 3.
///
/// Source: `PHYSDEVOP_set_iopl`, public/physdev.h
pub fn set_iopl<H: Hypercall>(xen: &H, level: u32) -> Result<(), Errno> {
    operation(xen, Command::SET_IOPL, &mut SetIopl { iopl: level })
}

/// Sets the ports that user code on the calling vCPU may use: those whose bit in the bitmap is clear. Ports beyond
/// the bitmap are forbidden, so an empty one forbids all. PV only.
///
/// Xen keeps the address and reads the bitmap at each access, so changes count at once.
///
/// # Errors
///
/// [`Errno::INVAL`] for a bitmap of more than 65536 ports.
///
/// Source: `PHYSDEVOP_set_iobitmap`, public/physdev.h
pub fn set_iobitmap<H: Hypercall>(xen: &H, bitmap: &'static [AtomicU8]) -> Result<(), Errno> {
    let mut set = SetIobitmap {
        bitmap: bitmap.as_ptr().cast(),
        nr_ports: u32::try_from(bitmap.len().saturating_mul(8)).map_err(|_| Errno::INVAL)?,
        _pad: 0,
    };
    operation(xen, Command::SET_IOBITMAP, &mut set)
}
