//! A part of all mutants, so that a push has time for them: the next push tries the next part.

use std::fmt::{self, Display, Formatter};
use std::str::FromStr;

use anyhow::{Context, Error, Result, ensure};

use crate::{paths, process};

/// One of several parts of about the same size. What stands together is in one part: few packages are built for it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Share {
    /// Which one, from 0.
    number: usize,
    /// Of how many.
    count: usize,
}

impl Share {
    /// Everything.
    pub const ALL: Self = Self { number: 0, count: 1 };

    /// Returns the share whose turn it is: each commit tries the one after its parent's.
    ///
    /// Without git, or where it knows only the newest commits, it is one of them all the same.
    #[must_use]
    pub fn of_commit(count: usize) -> Self {
        let number = commits().unwrap_or(0) % count.max(1);
        Self { number, count: count.max(1) }
    }

    /// Returns those of all things that are in this share.
    #[must_use]
    pub fn of<T>(self, all: Vec<T>) -> Vec<T> {
        let bound = |number: usize| all.len() * number / self.count;
        let (begin, end) = (bound(self.number), bound(self.number + 1));
        all.into_iter().skip(begin).take(end - begin).collect()
    }
}

fn commits() -> Option<usize> {
    let mut git = std::process::Command::new("git");
    git.args(["rev-list", "--count", "HEAD"]).current_dir(paths::workspace().ok()?);
    process::output(git).ok()?.trim().parse().ok()
}

impl FromStr for Share {
    type Err = Error;

    fn from_str(text: &str) -> Result<Self> {
        let (number, count) = text.split_once('/').context("a share is written as 2/5: the second of five")?;
        let (number, count): (usize, usize) = (number.trim().parse()?, count.trim().parse()?);
        ensure!((1..=count).contains(&number), "there is no share {number} of {count}: they are 1 to {count}");
        Ok(Self { number: number - 1, count })
    }
}

/// As it is written on a command line.
impl Display for Share {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}", self.number + 1, self.count)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn shares_are_all_and_none_is_in_two() {
        let all: Vec<u32> = (0..17).collect();
        let shares = (1..=5).map(|number| format!("{number}/5").parse::<Share>().unwrap());
        let found: Vec<Vec<u32>> = shares.map(|share| share.of(all.clone())).collect();
        assert!(found.iter().all(|share| (3..=4).contains(&share.len())), "{found:?}");
        assert_eq!(found.concat(), all);
        assert_eq!(Share::ALL.of(all.clone()), all);
    }

    #[test]
    fn a_share_is_read_as_it_is_written() {
        assert_eq!("2/5".parse::<Share>().unwrap().to_string(), "2/5");
        for wrong in ["", "5", "0/5", "6/5", "1/0", "a/b"] {
            assert!(wrong.parse::<Share>().is_err(), "{wrong}");
        }
    }

    #[test]
    fn a_commit_has_a_share() {
        let share = Share::of_commit(5);
        assert!(share.number < share.count && share.count == 5);
    }
}
