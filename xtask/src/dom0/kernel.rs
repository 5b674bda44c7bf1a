//! Domain 0's kernel, unpacked once here instead of slowly by Xen at each boot.

use std::fs::File;
use std::io::Write as _;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use anyhow::{Context, Result, bail};

use crate::cache::{self, Key};
use crate::packages::{self, Tree};
use crate::process::Guarded;
use crate::progress::Progress;

const XZ_MAGIC: &[u8] = b"\xfd7zXZ\0";

/// Returns the kernel as an ELF file, or the compressed image itself if it is packed in a way that only Xen knows.
pub(super) fn unpack(tree: &Tree, image: &Path, progress: &Progress) -> Result<PathBuf> {
    cache::file("vmlinux", &Key::default().with_file(image), |target| {
        let _step = progress.step("dom0", "unpacking Linux");
        let data = std::fs::read(image).with_context(|| format!("cannot read {}", image.display()))?;
        match payload(&data) {
            Some(payload) if payload.starts_with(XZ_MAGIC) => {
                let mut file = File::create(target)?;
                unxz(tree, payload, Stdio::from(file.try_clone()?))?;
                Ok(file.flush()?)
            }
            _ => Ok(std::fs::write(target, data)?),
        }
    })
}

/// Unpacks data in the xz format with the packages' own program.
pub(super) fn unxz(tree: &Tree, data: &[u8], output: Stdio) -> Result<Vec<u8>> {
    let mut command = Command::new(tree.elf("xz")?);
    command.env("LD_LIBRARY_PATH", packages::library_path(tree, "xz")?);
    command.args(["--decompress", "--stdout"]).stdin(Stdio::piped()).stdout(output);
    let mut process = Guarded::spawn(command)?;
    let mut input = process.child().stdin.take().context("xz has no input")?;
    let stdout = process.child().stdout.take();
    let data = data.to_vec();
    // In a thread, as xz writes while it reads; if it stops reading, its exit status tells.
    let writer = std::thread::spawn(move || drop(input.write_all(&data)));
    let mut unpacked = Vec::new();
    if let Some(mut stdout) = stdout {
        std::io::Read::read_to_end(&mut stdout, &mut unpacked)?;
    }
    let status = process.wait(None)?;
    // The thread ends with the pipe.
    let _ = writer.join();
    if !status.success() {
        bail!("xz failed ({status})");
    }
    Ok(unpacked)
}

/// Returns the compressed kernel inside a bzImage, without the size that follows it (Linux boot protocol 2.08: `setup_sects`,
/// `payload_offset`, `payload_length`).
fn payload(image: &[u8]) -> Option<&[u8]> {
    let word = |at: usize| Some(u32::from_le_bytes(image.get(at..at + 4)?.try_into().ok()?) as usize);
    if image.get(0x202..0x206)? != b"HdrS" {
        return None;
    }
    let sectors = match image[0x1f1] {
        0 => 4,
        count => usize::from(count),
    };
    let start = (sectors + 1) * 512 + word(0x248)?;
    let length = word(0x24c)?.checked_sub(4)?;
    image.get(start..start.checked_add(length)?)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_payload_is_found_and_a_short_image_is_refused() {
        let mut image = vec![0; 0x400];
        image[0x1f1] = 1;
        image[0x202..0x206].copy_from_slice(b"HdrS");
        image[0x248] = 2;
        image[0x24c] = 7;
        assert_eq!(payload(&image), None);
        image.extend(b"..abcSIZE");
        assert_eq!(payload(&image), Some(b"abc".as_slice()));
        assert_eq!(payload(b"short"), None);
    }
}
