//! What a disk wants to know of its device.

use alloc::format;
use alloc::string::String;
use alloc::vec::Vec;

use xen_xenbus::bus::{self, Attempt, Device};

use crate::disk::{DISK_KEYS, LIMIT_KEYS};

/// What the backend's keys are wanted for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Question {
    /// To make an offer.
    Limits(Attempt),
    /// To know the disk that was agreed upon.
    Disk(Attempt),
    /// To see what has changed.
    Change,
}

impl bus::Question for Question {
    fn keys(self, device: &Device) -> Vec<(String, &'static [&'static str])> {
        let names = match self {
            Self::Limits(_) => LIMIT_KEYS,
            Self::Disk(_) | Self::Change => DISK_KEYS,
        };
        [(device.backend().path.clone(), names)].into()
    }

    /// What the tools call the disk. It may be of any bytes, and may not be there.
    fn whole(self, device: &Device) -> Option<String> {
        matches!(self, Self::Disk(_)).then(|| format!("{}/params", device.backend().path))
    }
}
