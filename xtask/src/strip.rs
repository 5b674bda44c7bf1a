//! A guest without what only debuggers read.

use std::fs;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result};
use object::build::elf::Builder;
use object::elf::SHT_SYMTAB;

/// Writes an ELF file as [`stripped`] leaves it, and returns where: beside it.
///
/// # Errors
///
/// When the file cannot be read, is no ELF file, or cannot be written.
pub fn beside(elf: &Path) -> Result<PathBuf> {
    let file = elf.with_extension("stripped");
    fs::write(&file, stripped(elf)?).with_context(|| format!("cannot write {}", file.display()))?;
    Ok(file)
}

/// Returns an ELF file's bytes without symbols, debugging information and comments.
///
/// # Errors
///
/// When the file cannot be read or is no ELF file.
pub fn stripped(elf: &Path) -> Result<Vec<u8>> {
    let unreadable = || format!("cannot read {} as an ELF file", elf.display());
    let data = fs::read(elf).with_context(unreadable)?;
    let mut builder = Builder::read(&*data).with_context(unreadable)?;
    let names = builder.sections.iter().find(|section| &*section.name == b".shstrtab").map(|section| section.id());
    for section in &mut builder.sections {
        section.delete = !section.is_alloc() && Some(section.id()) != names || section.sh_type == SHT_SYMTAB;
    }
    for symbol in &mut builder.symbols {
        symbol.delete = true;
    }
    builder.delete_orphans();
    let mut stripped = Vec::new();
    builder.write(&mut stripped).with_context(unreadable)?;
    Ok(stripped)
}
