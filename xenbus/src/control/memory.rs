//! How much memory the domain is to use.

use crate::bus::{KeyError, Keys, Nodes};

/// What the tools say about the domain's memory, in KiB.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct MemoryTarget {
    /// How much it is to use now: `memory/target`. None says that nobody asks for anything.
    pub target: Option<u64>,
    /// How much it may ever use: `memory/static-max`.
    pub static_max: Option<u64>,
}

impl MemoryTarget {
    /// The node to watch.
    pub const PATH: &'static str = "memory/target";

    /// Reads both. Within a transaction they belong together.
    ///
    /// # Errors
    ///
    /// The store's; then, within, that one of them is no number.
    ///
    /// `~/memory/target`, `~/memory/static-max`, docs/misc/xenstore-paths.pandoc
    pub fn read<N: Nodes>(nodes: &N) -> Result<Result<Self, KeyError>, N::Error> {
        Ok(Self::of(&Keys::read(nodes, "memory", &["target", "static-max"])?))
    }

    fn of(keys: &Keys) -> Result<Self, KeyError> {
        Ok(Self { target: keys.u64("target")?, static_max: keys.u64("static-max")? })
    }

    /// The target in pages: no more than what the domain may ever use.
    #[must_use]
    pub fn pages(&self) -> Option<usize> {
        let target = self.target?;
        Some(pages(target.min(self.static_max.unwrap_or(u64::MAX))))
    }
}

/// How many whole pages of 4 KiB are in so many KiB.
#[must_use]
pub fn pages(kib: u64) -> usize {
    usize::try_from(kib / 4).unwrap_or(usize::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::bus::tree::Tree;

    fn read(nodes: &[(&str, &str)]) -> Result<MemoryTarget, KeyError> {
        MemoryTarget::read(&Tree::of(nodes)).unwrap()
    }

    #[test]
    fn a_target_is_whole_pages_and_no_more_than_the_maximum() {
        let target = read(&[("memory/target", "65539"), ("memory/static-max", "131072")]).unwrap();
        assert_eq!(target.pages(), Some(16384));
        let target = read(&[("memory/target", "18446744073709551615"), ("memory/static-max", "131072")]).unwrap();
        assert_eq!(target.pages(), Some(32768));
    }

    #[test]
    fn hc_109_without_a_target_nothing_is_asked_for() {
        assert_eq!(read(&[]).unwrap().pages(), None);
        assert_eq!(read(&[("memory/target", "4")]).unwrap().pages(), Some(1), "and without a maximum there is none");
    }

    #[test]
    fn hc_110_a_malformed_target_is_an_error_and_not_a_target() {
        for value in ["", "-1", "64M", "0x1000", "18446744073709551616"] {
            assert_eq!(read(&[("memory/target", value)]).unwrap_err().path, "memory/target");
        }
    }
}
