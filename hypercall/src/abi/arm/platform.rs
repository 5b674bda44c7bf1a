//! The virtual machine that the tools build for ARM64 guests.
//!
//! A guest should take these from its device tree, since the tools may move them; they are here for code
//! that runs before it can read one, and to choose a kernel's link address. Xen's header shows them to the
//! hypervisor and the tools only.

/// Address of the interrupt controller's distributor, version 2.
///
/// `GUEST_GICD_BASE`, public/arch-arm.h (tools)
pub const GICD_BASE: u64 = 0x0300_1000;

/// Size of the distributor, in bytes.
///
/// `GUEST_GICD_SIZE`, public/arch-arm.h (tools)
pub const GICD_SIZE: u64 = 0x0000_1000;

/// Address of the interrupt controller's CPU interface, version 2.
///
/// `GUEST_GICC_BASE`, public/arch-arm.h (tools)
pub const GICC_BASE: u64 = 0x0300_2000;

/// Size of the CPU interface, in bytes.
///
/// `GUEST_GICC_SIZE`, public/arch-arm.h (tools)
pub const GICC_SIZE: u64 = 0x0000_2000;

/// Address of the interrupt controller's distributor, version 3.
///
/// `GUEST_GICV3_GICD_BASE`, public/arch-arm.h (tools)
pub const GICV3_GICD_BASE: u64 = 0x0300_1000;

/// Size of the distributor, version 3, in bytes.
///
/// `GUEST_GICV3_GICD_SIZE`, public/arch-arm.h (tools)
pub const GICV3_GICD_SIZE: u64 = 0x0001_0000;

/// Address of the redistributors of the first 128 vCPUs.
///
/// `GUEST_GICV3_GICR0_BASE`, public/arch-arm.h (tools)
pub const GICV3_GICR0_BASE: u64 = 0x0302_0000;

/// Size of the redistributors, in bytes.
///
/// `GUEST_GICV3_GICR0_SIZE`, public/arch-arm.h (tools)
pub const GICV3_GICR0_SIZE: u64 = 0x0100_0000;

/// Address of the emulated PL011 serial port, where the domain has one.
///
/// `GUEST_PL011_BASE`, public/arch-arm.h (tools)
pub const PL011_BASE: u64 = 0x2200_0000;

/// Size of the serial port, in bytes.
///
/// `GUEST_PL011_SIZE`, public/arch-arm.h (tools)
pub const PL011_SIZE: u64 = 0x0000_1000;

/// Address that is free for the grant table.
///
/// `GUEST_GNTTAB_BASE`, public/arch-arm.h (tools)
pub const GNTTAB_BASE: u64 = 0x3800_0000;

/// Size of the area for the grant table, in bytes.
///
/// `GUEST_GNTTAB_SIZE`, public/arch-arm.h (tools)
pub const GNTTAB_SIZE: u64 = 0x0100_0000;

/// Address of the pages that hold the console's and xenstore's rings.
///
/// `GUEST_MAGIC_BASE`, public/arch-arm.h (tools)
pub const MAGIC_BASE: u64 = 0x3900_0000;

/// Size of the area for those pages, in bytes.
///
/// `GUEST_MAGIC_SIZE`, public/arch-arm.h (tools)
pub const MAGIC_SIZE: u64 = 0x0100_0000;

/// Address of the first bank of memory.
///
/// `GUEST_RAM0_BASE`, public/arch-arm.h (tools)
pub const RAM0_BASE: u64 = 0x4000_0000;

/// Greatest size of the first bank, in bytes.
///
/// `GUEST_RAM0_SIZE`, public/arch-arm.h (tools)
pub const RAM0_SIZE: u64 = 0xc000_0000;

/// Address of the second bank of memory.
///
/// `GUEST_RAM1_BASE`, public/arch-arm.h (tools)
pub const RAM1_BASE: u64 = 0x02_0000_0000;

/// Greatest size of the second bank, in bytes.
///
/// `GUEST_RAM1_SIZE`, public/arch-arm.h (tools)
pub const RAM1_SIZE: u64 = 0xfe_0000_0000;

/// Interrupt of the virtual timer, as the interrupt controller numbers it.
///
/// `GUEST_TIMER_VIRT_PPI`, public/arch-arm.h (tools)
pub const TIMER_VIRT_PPI: u32 = 27;

/// Interrupt of the physical timer in secure state.
///
/// `GUEST_TIMER_PHYS_S_PPI`, public/arch-arm.h (tools)
pub const TIMER_PHYS_S_PPI: u32 = 29;

/// Interrupt of the physical timer.
///
/// `GUEST_TIMER_PHYS_NS_PPI`, public/arch-arm.h (tools)
pub const TIMER_PHYS_NS_PPI: u32 = 30;

/// Interrupt that tells of events.
///
/// `GUEST_EVTCHN_PPI`, public/arch-arm.h (tools)
pub const EVTCHN_PPI: u32 = 31;

/// Interrupt of the emulated serial port.
///
/// `GUEST_VPL011_SPI`, public/arch-arm.h (tools)
pub const VPL011_SPI: u32 = 32;
