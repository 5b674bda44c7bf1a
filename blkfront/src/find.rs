//! Waiting for a disk.

use alloc::boxed::Box;
use alloc::format;
use alloc::string::{String, ToString};
use alloc::vec::Vec;
use core::time::Duration;

use xen_xenbus::Store;
use xen_xenbus::bus::{Device, DeviceError, Lookout};

use crate::Platform;
use crate::device::Blkfront;
use crate::error::FindError;
use crate::event::Event;
use crate::options::Options;

/// The kind of device that disks are.
pub const KIND: &str = "vbd";

/// Which disk.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Which<'a> {
    /// The one with the lowest number.
    First,
    /// The one with this name: `xvda`, `hda`, `sda`, `xvda2`, or its number, `51712`.
    Named(&'a str),
}

impl<P: Platform> Blkfront<P> {
    /// Waits for a disk, and until it is connected. For who has one disk, and no use for those that come and go.
    ///
    /// # Errors
    ///
    /// Those of [`FindError`], no later than after `within` and the time that xenstore takes for its last answer.
    pub fn find(store: &Store<P>, which: Which<'_>, options: Options, within: Duration) -> Result<Self, FindError> {
        let until = store.now().saturating_add(within);
        let device = wait_for(store, which, within)?;
        let mut disk = Self::open(store, device, options)?;
        let mut trouble = None;
        loop {
            match disk.poll(store.now()) {
                Some(Event::Connected) => return Ok(disk),
                Some(Event::Trouble(error)) => trouble = Some(error),
                Some(_) => {}
                None if store.now() >= until || disk.wait(until).is_err() || disk.is_ended() => {
                    return Err(not_connected(trouble, within));
                }
                None => {}
            }
        }
    }
}

fn not_connected(trouble: Option<DeviceError>, within: Duration) -> FindError {
    FindError::NotConnected { trouble: trouble.map(Box::new), within }
}

/// Waits until there is such a disk.
fn wait_for<P: Platform>(store: &Store<P>, which: Which<'_>, within: Duration) -> Result<Device, FindError> {
    let until = store.now().saturating_add(within);
    let mut lookout = Lookout::new(store, KIND)?;
    let device = lookout.find(store, |device| which.is(device), until)?;
    device.ok_or_else(|| FindError::Missing { wanted: which.to_string(), found: list(lookout.devices()), within })
}

fn list<'d>(disks: impl Iterator<Item = &'d Device>) -> String {
    let numbers: Vec<_> = disks.map(|device| device.name().id.to_string()).collect();
    if numbers.is_empty() { "none".into() } else { numbers.join(", ") }
}

impl Which<'_> {
    fn is(self, device: &Device) -> bool {
        match self {
            Self::First => true,
            Self::Named(name) => number(name) == Some(device.name().id),
        }
    }
}

impl core::fmt::Display for Which<'_> {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        match self {
            Self::First => f.write_str("at all"),
            Self::Named(name) => f.write_str(&format!("named {name}")),
        }
    }
}

/// The number of a virtual device, by its name.
///
/// Source: docs/man/xen-vbd-interface.7.pandoc ("Concrete encoding in the VBD interface")
#[must_use]
pub fn number(name: &str) -> Option<u32> {
    if let Ok(number) = name.parse() {
        return Some(number);
    }
    let digits = name.find(|letter: char| letter.is_ascii_digit()).unwrap_or(name.len());
    let (letters, partition) = name.split_at_checked(digits)?;
    let partition = if partition.is_empty() { 0 } else { partition.parse().ok()? };
    match (letters.get(..letters.len().min(3))?, letters.get(3.min(letters.len())..)?) {
        ("xvd", disk) => xvd(index(disk)?, partition),
        _ => legacy(letters, partition),
    }
}

const fn xvd(disk: u32, partition: u32) -> Option<u32> {
    match (disk, partition) {
        (0..16, 0..16) => Some(202 << 8 | disk << 4 | partition),
        (_, 0..256) if disk < 1 << 20 => Some(1 << 28 | disk << 8 | partition),
        _ => None,
    }
}

fn legacy(letters: &str, partition: u32) -> Option<u32> {
    let disk = index(letters.get(2..)?)?;
    match (letters.get(..2)?, disk, partition) {
        ("hd", 0..2, 0..64) => Some(3 << 8 | disk << 6 | partition),
        ("hd", 2..4, 0..64) => Some(22 << 8 | (disk - 2) << 6 | partition),
        ("sd", 0..16, 0..16) => Some(8 << 8 | disk << 4 | partition),
        _ => None,
    }
}

/// `a` is 0, `z` is 25, `aa` is 26.
fn index(letters: &str) -> Option<u32> {
    if letters.is_empty() || letters.len() > 4 {
        return None;
    }
    let digits = letters.bytes().map(|letter| letter.is_ascii_lowercase().then(|| u32::from(letter - b'a') + 1));
    let number = digits.into_iter().try_fold(0_u32, |number, digit| Some(number * 26 + digit?))?;
    Some(number - 1)
}

#[cfg(test)]
mod tests {
    use super::number;

    #[test]
    fn names_have_the_numbers_of_xens_documentation() {
        let known = [
            ("xvda", 51712),
            ("xvdb", 51728),
            ("xvda2", 51714),
            ("xvdp", 51952),
            ("xvdq", 268_439_552),
            ("xvdaa", 268_442_112),
            ("hda", 768),
            ("hdb", 832),
            ("hdc", 5632),
            ("sda", 2048),
            ("sdb1", 2065),
            ("51712", 51712),
        ];
        for (name, expected) in known {
            assert_eq!(number(name), Some(expected), "{name}");
        }
    }

    #[test]
    fn what_is_no_name_has_no_number() {
        for name in ["", "xvd", "xvd1", "xvdA", "hdz", "sd", "disk", "xvda999", "xvdaaaaaa", "éxvda", "-1"] {
            assert_eq!(number(name), None, "{name}");
        }
    }
}
