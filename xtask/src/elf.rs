//! What this tool needs to know about ELF files.

use std::path::Path;

use anyhow::{Context, Result, bail};
use object::Endianness;
use object::elf::{DT_NEEDED, FileHeader64};
use object::read::elf::{ElfFile64, FileHeader as _, ProgramHeader as _};

/// Returns whether the file begins with the ELF magic number; a file that cannot be read does not.
#[must_use]
pub fn is_elf(path: &Path) -> bool {
    use std::io::Read as _;
    let mut magic = [0; 4];
    std::fs::File::open(path)
        .and_then(|mut file| file.read_exact(&mut magic))
        .is_ok_and(|()| magic == object::elf::ELFMAG)
}

/// Returns the shared libraries that a 64-bit ELF file names (its `DT_NEEDED` entries and its interpreter).
///
/// # Errors
///
/// When the file cannot be read or is no 64-bit ELF file.
pub fn needed(path: &Path) -> Result<Vec<String>> {
    let data = std::fs::read(path).with_context(|| format!("cannot read {}", path.display()))?;
    needed_by(&data).with_context(|| format!("cannot read the dynamic section of {}", path.display()))
}

/// Checks that a file is something that Xen's PV loader takes: a 64-bit x86 ELF file with Xen's notes.
///
/// # Errors
///
/// Names what is wrong and what to do about it.
pub fn check_guest(path: &Path) -> Result<()> {
    let data = std::fs::read(path).with_context(|| format!("cannot read the guest {}", path.display()))?;
    let name = path.display();
    if !data.starts_with(&object::elf::ELFMAG) {
        bail!("{name} is not an ELF file: Xen's PV loader needs the uncompressed ELF of the kernel");
    }
    let notes = xen_notes(&data).with_context(|| format!("{name} is not a 64-bit x86 ELF file"))?;
    if notes.is_empty() {
        bail!(
            "{name} has no Xen ELF notes, so Xen cannot tell how to start it: link it with xen-rt's linker script \
             or declare the notes of xen/elfnote.h in a PT_NOTE segment"
        );
    }
    Ok(())
}

fn needed_by(data: &[u8]) -> Result<Vec<String>> {
    let file = ElfFile64::<Endianness>::parse(data)?;
    let table = file.elf_dynamic_table()?;
    let mut names: Vec<String> = table
        .iter()
        .filter(|entry| entry.tag == DT_NEEDED)
        .map(|entry| {
            table
                .string(entry)
                .map(|name| String::from_utf8_lossy(name).into_owned())
        })
        .collect::<object::Result<_>>()?;
    names.extend(interpreter(&file, data)?);
    Ok(names)
}

fn interpreter(file: &ElfFile64<'_>, data: &[u8]) -> Result<Option<String>> {
    for segment in file.elf_program_headers() {
        if let Some(path) = segment.interpreter(file.endian(), data)? {
            let path = String::from_utf8_lossy(path);
            return Ok(path.rsplit('/').next().map(str::to_owned));
        }
    }
    Ok(None)
}

/// Returns the types of the notes whose owner is Xen.
fn xen_notes(data: &[u8]) -> Result<Vec<u32>> {
    let header = FileHeader64::<Endianness>::parse(data)?;
    let endian = header.endian()?;
    if header.e_machine(endian) != object::elf::EM_X86_64 {
        bail!("its machine type is {:?}", header.e_machine(endian));
    }
    let mut types = Vec::new();
    for segment in header.program_headers(endian, data)? {
        let Some(mut notes) = segment.notes(endian, data)? else {
            continue;
        };
        while let Some(note) = notes.next()? {
            if note.name() == b"Xen" {
                types.push(note.n_type(endian).0);
            }
        }
    }
    Ok(types)
}
