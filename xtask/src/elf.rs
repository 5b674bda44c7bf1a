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

/// Checks that a file is something that Xen's PV loader takes: a 64-bit x86 ELF file with Xen's notes, or Linux's image,
/// which has such a file in it.
///
/// # Errors
///
/// Names what is wrong and what to do about it.
pub fn check_guest(path: &Path) -> Result<()> {
    let data = std::fs::read(path).with_context(|| format!("cannot read the guest {}", path.display()))?;
    let name = path.display();
    // Linux boot protocol 2.00 and later.
    if data.get(0x202..0x206) == Some(b"HdrS") {
        return Ok(());
    }
    if !data.starts_with(&object::elf::ELFMAG) {
        bail!("{name} is not an ELF file: Xen's PV loader needs the uncompressed ELF of the kernel");
    }
    let notes = xen_notes(&data).with_context(|| format!("{name} is not a 64-bit x86 ELF file"))?;
    if notes.is_empty() {
        bail!(
            "{name} has no Xen ELF notes, so Xen cannot tell how to start it: link it with xen-rt's linker script \
             or declare its notes, as `xen_hypercall::elf_note!` does"
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
        .map(|entry| table.string(entry).map(|name| String::from_utf8_lossy(name).into_owned()))
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

#[cfg(test)]
mod tests {
    use super::*;

    /// Builds an ELF file that consists of a header, one program header and one note.
    fn with_note(machine: u16, owner: &[u8; 4]) -> Vec<u8> {
        let mut file = b"\x7fELF\x02\x01\x01".to_vec();
        file.resize(16, 0);
        file.extend([2_u16, machine].map(u16::to_le_bytes).concat());
        file.extend(1_u32.to_le_bytes());
        file.extend([0_u64, 64, 0].map(u64::to_le_bytes).concat());
        file.extend(0_u32.to_le_bytes());
        file.extend([64_u16, 56, 1, 64, 0, 0].map(u16::to_le_bytes).concat());
        let (note_type, readable) = (4_u32, 4_u32);
        file.extend([note_type, readable].map(u32::to_le_bytes).concat());
        file.extend([120_u64, 0, 0, 20, 20, 4].map(u64::to_le_bytes).concat());
        file.extend([4_u32, 4, 6].map(u32::to_le_bytes).concat());
        file.extend(owner);
        file.extend(b"os\0\0");
        file
    }

    #[test]
    fn only_xens_notes_on_x86_count() {
        assert_eq!(xen_notes(&with_note(62, b"Xen\0")).unwrap(), [6]);
        assert!(xen_notes(&with_note(62, b"GNU\0")).unwrap().is_empty());
        assert!(xen_notes(&with_note(183, b"Xen\0")).is_err());
    }

    #[test]
    fn this_test_program_is_an_elf_file_but_no_guest() {
        let program = std::env::current_exe().unwrap();
        assert!(is_elf(&program));
        assert!(needed(&program).unwrap().iter().any(|name| name.starts_with("libc.so")));
        let message = check_guest(&program).unwrap_err().to_string();
        assert!(message.contains("no Xen ELF notes"), "{message}");
    }
}
