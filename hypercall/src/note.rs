//! Notes of a kernel's ELF file, in which it tells the domain builder what it needs.

use static_assertions::const_assert_eq;

use crate::abi::elfnote::ElfNote;

/// One of Xen's notes as it stands in an ELF file; [`elf_note!`](crate::elf_note) puts it there.
///
/// Every part is a multiple of four bytes long, so that the notes follow each other without gaps.
///
/// `Elf64_Nhdr`, the owner's name and the descriptor; public/elfnote.h
#[derive(Clone, Copy, Debug)]
#[repr(C, packed(4))]
pub struct Note<T: Copy> {
    name_size: u32,
    descriptor_size: u32,
    kind: ElfNote,
    name: [u8; 4],
    descriptor: T,
}

impl<T: Copy> Note<T> {
    /// A note: a number of four or eight bytes, the address of the entry, or a text that ends with zeros up to a multiple of four bytes.
    #[must_use]
    pub const fn new(kind: ElfNote, descriptor: T) -> Self {
        const { assert!(size_of::<T>().is_multiple_of(4), "the next note would have a gap before it") }
        Self { name_size: 4, descriptor_size: size_of::<T>() as u32, kind, name: *b"Xen\0", descriptor }
    }
}

/// Puts a [`Note`] into the section `.note.Xen`, of which the linker makes the segment that the domain builder reads.
///
/// ```
/// xen_hypercall::elf_note!(XEN_VERSION: [u8; 8] = *b"xen-3.0\0");
/// xen_hypercall::elf_note!(VIRT_BASE: u64 = 0xffff_ffff_8000_0000);
/// ```
#[macro_export]
macro_rules! elf_note {
    ($kind:ident: $type:ty = $descriptor:expr) => {
        const _: () = {
            use $crate::abi::elfnote::ElfNote;
            use $crate::note::Note;

            #[used]
            // SAFETY: the section is for notes, and has nothing else.
            #[unsafe(link_section = ".note.Xen")]
            static NOTE: Note<$type> = Note::new(ElfNote::$kind, $descriptor);
        };
    };
}

const_assert_eq!(size_of::<Note<u64>>(), 24);
const_assert_eq!(core::mem::offset_of!(Note<u64>, descriptor), 16);
