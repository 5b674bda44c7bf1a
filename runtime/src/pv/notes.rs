//! The ELF notes by which Xen's builder knows the image as a PV guest and learns where it wants to be.

use xen_hypercall::abi::elfnote::ElfNote;
use xen_hypercall::abi::features::Feature;

use super::entry;

/// One note: `Elf64_Nhdr`, the owner's name, the descriptor. Everything is a multiple of four bytes long, so
/// that the notes follow each other without gaps.
#[repr(C, packed(4))]
struct Note<T> {
    name_size: u32,
    descriptor_size: u32,
    kind: ElfNote,
    name: [u8; 4],
    descriptor: T,
}

// SAFETY: a note is never written, and only the builder reads it.
unsafe impl<T> Sync for Note<T> {}

impl<T> Note<T> {
    const fn new(kind: ElfNote, descriptor: T) -> Self {
        Self { name_size: 4, descriptor_size: size_of::<T>() as u32, kind, name: *b"Xen\0", descriptor }
    }
}

macro_rules! notes {
    ($($name:ident: $type:ty = $kind:ident, $value:expr;)*) => {
        $(
            #[used]
            #[unsafe(link_section = ".note.Xen")]
            static $name: Note<$type> = Note::new(ElfNote::$kind, $value);
        )*
    };
}

notes! {
    GUEST_OS: [u8; 4] = GUEST_OS, *b"domu";
    GUEST_VERSION: [u8; 4] = GUEST_VERSION, *b"0.1\0";
    XEN_VERSION: [u8; 8] = XEN_VERSION, *b"xen-3.0\0";
    LOADER: [u8; 8] = LOADER, *b"generic\0";
    VIRT_BASE: u64 = VIRT_BASE, super::VIRT_BASE as u64;
    // Physical addresses in the ELF start at 0 (see the linker script).
    PADDR_OFFSET: u64 = PADDR_OFFSET, 0;
    ENTRY: unsafe extern "C" fn() -> ! = ENTRY, entry::_start;
    // The toolstack may call a suspend off.
    SUSPEND_CANCEL: u32 = SUSPEND_CANCEL, 1;
    // Not naming `dom0` here would make Xen refuse a direct boot.
    SUPPORTED_FEATURES: u32 = SUPPORTED_FEATURES, 1 << Feature::DOM0.0;
}
