//! How a guest ends.

use core::fmt::Display;

/// The status with which a guest ends, 0 for success.
///
/// The runtime prints it as its last console line (`domu: exit status N`), from which `cargo xtask run` takes
/// its own exit status, and powers the domain off.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ExitCode(u8);

impl ExitCode {
    /// Everything went well.
    pub const SUCCESS: Self = Self(0);
    /// Something went wrong, in no particular way.
    pub const FAILURE: Self = Self(1);

    /// The status as a number.
    #[must_use]
    pub const fn to_u8(self) -> u8 {
        self.0
    }
}

impl From<u8> for ExitCode {
    fn from(status: u8) -> Self {
        Self(status)
    }
}

/// What an [`entry`](crate::entry) function may return.
pub trait Termination {
    /// The exit status that the value stands for.
    fn report(self) -> ExitCode;
}

impl Termination for ExitCode {
    fn report(self) -> ExitCode {
        self
    }
}

impl Termination for () {
    fn report(self) -> ExitCode {
        ExitCode::SUCCESS
    }
}

impl<T: Termination, E: Display> Termination for Result<T, E> {
    /// An error is logged in its own words, and stands for [`ExitCode::FAILURE`].
    fn report(self) -> ExitCode {
        self.map_or_else(
            |error| {
                log::error!("{error}");
                ExitCode::FAILURE
            },
            T::report,
        )
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn results_report_the_status_they_hold() {
        assert_eq!(().report(), ExitCode::SUCCESS);
        assert_eq!(Ok::<_, &str>(ExitCode::from(7)).report().to_u8(), 7);
        assert_eq!(Err::<(), _>("no").report(), ExitCode::FAILURE);
    }
}
