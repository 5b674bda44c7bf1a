//! The ELF notes by which Xen's builder knows the image as a PV guest and learns where it wants to be.

use xen_hypercall::abi::features::Feature;
use xen_hypercall::elf_note;

use super::entry;

elf_note!(GUEST_OS: [u8; 4] = *b"domu");
elf_note!(GUEST_VERSION: [u8; 4] = *b"0.1\0");
elf_note!(XEN_VERSION: [u8; 8] = *b"xen-3.0\0");
elf_note!(LOADER: [u8; 8] = *b"generic\0");
elf_note!(VIRT_BASE: u64 = super::VIRT_BASE as u64);
// Physical addresses in the ELF start at 0 (see the linker script).
elf_note!(PADDR_OFFSET: u64 = 0);
elf_note!(ENTRY: unsafe extern "C" fn() -> ! = entry::_start);
// The toolstack may call a suspend off.
elf_note!(SUSPEND_CANCEL: u32 = 1);
// Not naming `dom0` here would make Xen refuse a direct boot.
elf_note!(SUPPORTED_FEATURES: u32 = Feature::DOM0.mask());
