//! The book's own code: a driver that is small enough to be read at once, and the chapters' examples, which are run.

#![forbid(unsafe_code)]

mod reader;

pub use reader::{Kernel, ReadError, Reader, Sectors};

/// The chapters with code of their own.
#[cfg(doctest)]
mod chapters {
    #[doc = include_str!("../../../docs/book/src/bring-your-own-kernel.md")]
    mod bring_your_own_kernel {}
    #[doc = include_str!("../../../docs/book/src/test-your-driver.md")]
    mod test_your_driver {}
}
