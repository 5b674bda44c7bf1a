//! Initial RAM file systems, written without root and without a cpio program.

use std::collections::BTreeSet;
use std::io::Write;
use std::path::Path;

use anyhow::{Context, Result};
use cpio::NewcBuilder;

const FOLDER: u32 = 0o040_755;
const PROGRAM: u32 = 0o100_755;
const LINK: u32 = 0o120_777;

/// An archive under construction; the kernel unpacks several that follow each other in one file.
#[derive(Debug)]
pub struct Archive<W: Write> {
    writer: Option<W>,
    folders: BTreeSet<String>,
    inode: u32,
}

impl<W: Write> Archive<W> {
    /// Begins an archive.
    pub const fn new(writer: W) -> Self {
        Self { writer: Some(writer), folders: BTreeSet::new(), inode: 1 }
    }

    /// Adds a folder and those above it, each once.
    ///
    /// # Errors
    ///
    /// When it cannot be written.
    pub fn folder(&mut self, path: &str) -> Result<()> {
        let path = path.trim_matches('/');
        if path.is_empty() || self.folders.contains(path) {
            return Ok(());
        }
        if let Some((above, _)) = path.rsplit_once('/') {
            self.folder(above)?;
        }
        self.folders.insert(path.to_owned());
        self.entry(path, FOLDER, &[])
    }

    /// Adds an executable file with this content.
    ///
    /// # Errors
    ///
    /// When it cannot be written.
    pub fn file(&mut self, path: &str, content: &[u8]) -> Result<()> {
        self.above(path)?;
        self.entry(path.trim_matches('/'), PROGRAM, content)
    }

    /// Adds a copy of a file of this machine.
    ///
    /// # Errors
    ///
    /// When it cannot be read or written.
    pub fn copy(&mut self, path: &str, source: &Path) -> Result<()> {
        let content = std::fs::read(source).with_context(|| format!("cannot read {}", source.display()))?;
        self.file(path, &content)
    }

    /// Adds a symbolic link.
    ///
    /// # Errors
    ///
    /// When it cannot be written.
    pub fn link(&mut self, path: &str, target: &str) -> Result<()> {
        self.above(path)?;
        self.entry(path.trim_matches('/'), LINK, target.as_bytes())
    }

    /// Ends the archive and returns the writer.
    ///
    /// # Errors
    ///
    /// When it cannot be written.
    pub fn finish(mut self) -> Result<W> {
        Ok(cpio::newc::trailer(self.take()?)?)
    }

    fn above(&mut self, path: &str) -> Result<()> {
        path.rsplit_once('/').map_or(Ok(()), |(folder, _)| self.folder(folder))
    }

    fn entry(&mut self, path: &str, mode: u32, content: &[u8]) -> Result<()> {
        let size = u32::try_from(content.len()).with_context(|| format!("{path} is too large"))?;
        let builder = NewcBuilder::new(path).ino(self.inode).nlink(1).mode(mode);
        self.inode += 1;
        let mut entry = builder.write(self.take()?, size);
        entry.write_all(content)?;
        self.writer = Some(entry.finish()?);
        Ok(())
    }

    fn take(&mut self) -> Result<W> {
        self.writer.take().context("an earlier entry could not be written")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn folders_come_first_and_once() {
        let mut archive = Archive::new(Vec::new());
        archive.file("/a/b/one", b"1").unwrap();
        archive.file("/a/b/two", b"22").unwrap();
        archive.link("/a/three", "b/two").unwrap();
        let bytes = archive.finish().unwrap();
        let mut rest = bytes.as_slice();
        let mut names = Vec::new();
        loop {
            let entry = cpio::NewcReader::new(rest).unwrap();
            if entry.entry().is_trailer() {
                break;
            }
            names.push((entry.entry().name().to_owned(), entry.entry().file_size()));
            rest = entry.finish().unwrap();
        }
        let expected = [("a", 0), ("a/b", 0), ("a/b/one", 1), ("a/b/two", 2), ("a/three", 5)];
        assert_eq!(names, expected.map(|(name, size)| (name.to_owned(), size)));
    }
}
