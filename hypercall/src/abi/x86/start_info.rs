//! What a PV guest finds at boot and after a resume.

use crate::abi::event_channel::Port;
use crate::abi::{Mfn, Pfn};
use static_assertions::const_assert_eq;
use zerocopy::{FromBytes, Immutable, IntoBytes, KnownLayout};

/// Room for the command line, in bytes.
///
/// `MAX_GUEST_CMDLINE`, public/xen.h
pub const MAX_GUEST_CMDLINE: usize = 1024;

/// What a PV guest finds at boot; the fields up to the console also after a resume.
///
/// `struct start_info`, public/xen.h
#[derive(Clone, Copy, Debug, FromBytes, IntoBytes, Immutable, KnownLayout)]
#[repr(C)]
pub struct StartInfo {
    /// Text that ends at the first zero byte: "xen-", the version, "-" and the platform.
    pub magic: [u8; 32],
    /// How many pages the domain has.
    pub nr_pages: u64,
    /// Machine address of the shared info page.
    pub shared_info: u64,
    /// What the domain is and how it was started.
    pub flags: StartFlags,
    /// Padding before the frame.
    pub _pad0: u32,
    /// Frame of the xenstore ring.
    pub store_mfn: Mfn,
    /// Port of the xenstore ring.
    pub store_evtchn: Port,
    /// Padding before the frame.
    pub _pad1: u32,
    /// Frame of the console ring.
    ///
    /// C: `console.domU.mfn`
    pub console_mfn: Mfn,
    /// Port of the console ring.
    ///
    /// C: `console.domU.evtchn`
    pub console_evtchn: Port,
    /// Padding before the address.
    pub _pad2: u32,
    /// Virtual address of the top-level page table.
    pub pt_base: u64,
    /// How many frames the first page tables have.
    pub nr_pt_frames: u64,
    /// Virtual address of the list of machine frames, by pseudo-physical frame.
    pub mfn_list: u64,
    /// Virtual address of the module, or its frame with [`StartFlags::MOD_START_PFN`].
    pub mod_start: u64,
    /// Size of the module in bytes.
    pub mod_len: u64,
    /// Text that ends at the first zero byte: the command line.
    pub cmd_line: [u8; MAX_GUEST_CMDLINE],
    /// The first frame of the list of machine frames.
    pub first_p2m_pfn: Pfn,
    /// How many frames that list has.
    pub nr_p2m_frames: u64,
}

flags! {
    /// What the domain is and how it was started.
    ///
    /// `SIF_*`, public/xen.h
    pub struct StartFlags: u32 {
        /// The domain is privileged.
        ///
        /// `SIF_PRIVILEGED`, public/xen.h
        PRIVILEGED = 1 << 0;
        /// The domain is the initial one.
        ///
        /// `SIF_INITDOMAIN`, public/xen.h
        INITDOMAIN = 1 << 1;
        /// The module is a list of modules, see [`MultibootMod`].
        ///
        /// `SIF_MULTIBOOT_MOD`, public/xen.h
        MULTIBOOT_MOD = 1 << 2;
        /// The module is given by its frame and not mapped.
        ///
        /// `SIF_MOD_START_PFN`, public/xen.h
        MOD_START_PFN = 1 << 3;
        /// The tools know the linear form of the physical-to-machine map.
        ///
        /// `SIF_VIRT_P2M_4TOOLS`, public/xen.h
        VIRT_P2M_4TOOLS = 1 << 4;
        /// Options of power management.
        ///
        /// `SIF_PM_MASK`, public/xen.h
        PM_MASK = 0xff << 8;
    }
}

/// One module of a list, which ends with one whose start is zero.
///
/// All addresses count from the start of the list, in bytes.
///
/// `struct xen_multiboot_mod_list`, public/xen.h
#[derive(Clone, Copy, Debug, Default, FromBytes, IntoBytes, Immutable, KnownLayout)]
#[repr(C)]
pub struct MultibootMod {
    /// Its first byte.
    pub mod_start: u32,
    /// Its last byte.
    pub mod_end: u32,
    /// Its command line, which ends with a zero byte.
    pub cmdline: u32,
    /// Must be zero.
    ///
    /// C: `pad`
    pub _pad: u32,
}

const_assert_eq!(size_of::<StartInfo>(), 1168);
const_assert_eq!(core::mem::offset_of!(StartInfo, cmd_line), 128);
const_assert_eq!(size_of::<MultibootMod>(), 16);
