//! Physical interrupts, for guests that have a device of their own, and I/O privileges of PV guests.

use super::{DomId, Gfn};
use static_assertions::const_assert_eq;
use zerocopy::{FromBytes, Immutable, IntoBytes, KnownLayout};

constants! {
    /// What `physdev_op` does.
    ///
    /// `PHYSDEVOP_*`, public/physdev.h
    pub struct Command: u32 {
        /// Asks what an interrupt needs, see [`IrqStatusQuery`].
        ///
        /// `PHYSDEVOP_irq_status_query`, public/physdev.h
        IRQ_STATUS_QUERY = 5;
        /// Sets the vCPU's I/O privilege level, see [`SetIopl`]. PV only.
        ///
        /// `PHYSDEVOP_set_iopl`, public/physdev.h
        SET_IOPL = 6;
        /// Sets the I/O ports that user mode may use, see [`SetIobitmap`]. PV only.
        ///
        /// `PHYSDEVOP_set_iobitmap`, public/physdev.h
        SET_IOBITMAP = 7;
        /// Ends an interrupt, see [`Eoi`].
        ///
        /// `PHYSDEVOP_eoi`, public/physdev.h
        EOI = 12;
        /// Makes a device's interrupt a physical one of the domain, see [`MapPirq`].
        ///
        /// `PHYSDEVOP_map_pirq`, public/physdev.h
        MAP_PIRQ = 13;
        /// Takes that back, see [`UnmapPirq`].
        ///
        /// `PHYSDEVOP_unmap_pirq`, public/physdev.h
        UNMAP_PIRQ = 14;
        /// Shares a bitmap of interrupts that must be ended and unmasks at each end, see [`PirqEoiGmfn`].
        ///
        /// `PHYSDEVOP_pirq_eoi_gmfn_v1`, public/physdev.h
        PIRQ_EOI_GMFN_V1 = 17;
        /// Returns a number that no interrupt has, see [`GetFreePirq`].
        ///
        /// `PHYSDEVOP_get_free_pirq`, public/physdev.h
        GET_FREE_PIRQ = 23;
        /// Shares a bitmap of interrupts that must be ended, see [`PirqEoiGmfn`].
        ///
        /// `PHYSDEVOP_pirq_eoi_gmfn_v2`, public/physdev.h
        PIRQ_EOI_GMFN_V2 = 28;
    }
}

/// Asks what an interrupt needs.
///
/// `struct physdev_irq_status_query`, public/physdev.h
#[derive(Clone, Copy, Debug, Default, FromBytes, IntoBytes, Immutable, KnownLayout)]
#[repr(C)]
pub struct IrqStatusQuery {
    /// The interrupt.
    pub irq: u32,
    /// Out: what it needs.
    pub flags: IrqStatus,
}

flags! {
    /// What an interrupt needs.
    ///
    /// `XENIRQSTAT_*`, public/physdev.h
    pub struct IrqStatus: u32 {
        /// It must be ended with [`Command::EOI`].
        ///
        /// `XENIRQSTAT_needs_eoi`, public/physdev.h
        NEEDS_EOI = 1 << 0;
        /// Other domains have it too.
        ///
        /// `XENIRQSTAT_shared`, public/physdev.h
        SHARED = 1 << 1;
    }
}

/// Sets the vCPU's I/O privilege level.
///
/// `struct physdev_set_iopl`, public/physdev.h
#[derive(Clone, Copy, Debug, Default, FromBytes, IntoBytes, Immutable, KnownLayout)]
#[repr(C)]
pub struct SetIopl {
    /// The level: 1 for the kernel, 3 for user mode too.
    pub iopl: u32,
}

/// Sets the I/O ports that user mode may use.
///
/// `struct physdev_set_iobitmap`, public/physdev.h
#[derive(Clone, Copy, Debug)]
#[repr(C)]
pub struct SetIobitmap {
    /// A bit per port that it may not use.
    pub bitmap: *const u8,
    /// How many ports the bitmap has.
    pub nr_ports: u32,
    /// Padding to the structure's alignment.
    pub _pad: u32,
}

/// Ends an interrupt.
///
/// `struct physdev_eoi`, public/physdev.h
#[derive(Clone, Copy, Debug, Default, FromBytes, IntoBytes, Immutable, KnownLayout)]
#[repr(C)]
pub struct Eoi {
    /// The interrupt.
    pub irq: u32,
}

/// Makes a device's interrupt a physical one of the domain.
///
/// `struct physdev_map_pirq`, public/physdev.h
#[derive(Clone, Copy, Debug, Default, FromBytes, IntoBytes, Immutable, KnownLayout)]
#[repr(C)]
pub struct MapPirq {
    /// The domain: [`DomId::SELF`] unless the caller is privileged.
    pub domid: DomId,
    /// Padding before the type.
    pub _pad0: u16,
    /// The kind of interrupt.
    ///
    /// C: `type`
    pub kind: MapPirqType,
    /// The line, or minus one for a message.
    pub index: i32,
    /// In: the number it shall get, or minus one for any. Out: the number it has.
    pub pirq: i32,
    /// The device's bus, with its segment in the upper 16 bits for some kinds.
    pub bus: i32,
    /// The device's number and function.
    pub devfn: i32,
    /// The entry of the device's message table; for several messages in and out how many.
    pub entry_nr: i32,
    /// Padding before the address.
    pub _pad1: u32,
    /// Address of the device's message table.
    pub table_base: u64,
}

constants! {
    /// The kind of interrupt that is mapped.
    ///
    /// `MAP_PIRQ_TYPE_*`, public/physdev.h
    pub struct MapPirqType: i32 {
        /// A message.
        ///
        /// `MAP_PIRQ_TYPE_MSI`, public/physdev.h
        MSI = 0;
        /// A line of the interrupt controller.
        ///
        /// `MAP_PIRQ_TYPE_GSI`, public/physdev.h
        GSI = 1;
        /// Not known.
        ///
        /// `MAP_PIRQ_TYPE_UNKNOWN`, public/physdev.h
        UNKNOWN = 2;
        /// A message of a device whose segment is given.
        ///
        /// `MAP_PIRQ_TYPE_MSI_SEG`, public/physdev.h
        MSI_SEG = 3;
        /// Several messages of one device.
        ///
        /// `MAP_PIRQ_TYPE_MULTI_MSI`, public/physdev.h
        MULTI_MSI = 4;
    }
}

/// Takes back what [`MapPirq`] has done.
///
/// `struct physdev_unmap_pirq`, public/physdev.h
#[derive(Clone, Copy, Debug, Default, FromBytes, IntoBytes, Immutable, KnownLayout)]
#[repr(C)]
pub struct UnmapPirq {
    /// The domain: [`DomId::SELF`] unless the caller is privileged.
    pub domid: DomId,
    /// Padding before the number.
    pub _pad: u16,
    /// The interrupt.
    pub pirq: i32,
}

/// Returns a number that no interrupt has.
///
/// `struct physdev_get_free_pirq`, public/physdev.h
#[derive(Clone, Copy, Debug, Default, FromBytes, IntoBytes, Immutable, KnownLayout)]
#[repr(C)]
pub struct GetFreePirq {
    /// The kind of interrupt it is for: a line or a message.
    ///
    /// C: `type`
    pub kind: MapPirqType,
    /// Out: the number.
    pub pirq: u32,
}

/// Shares a bitmap of interrupts that must be ended.
///
/// `struct physdev_pirq_eoi_gmfn`, public/physdev.h
#[derive(Clone, Copy, Debug, Default, FromBytes, IntoBytes, Immutable, KnownLayout)]
#[repr(C)]
pub struct PirqEoiGmfn {
    /// The bitmap's frame, which Xen writes from now on.
    pub gmfn: Gfn,
}

const_assert_eq!(size_of::<IrqStatusQuery>(), 8);
const_assert_eq!(size_of::<SetIopl>(), 4);
const_assert_eq!(size_of::<SetIobitmap>(), 16);
const_assert_eq!(size_of::<Eoi>(), 4);
const_assert_eq!(size_of::<MapPirq>(), 40);
const_assert_eq!(size_of::<UnmapPirq>(), 8);
const_assert_eq!(size_of::<GetFreePirq>(), 8);
const_assert_eq!(size_of::<PirqEoiGmfn>(), 8);
