//! How much of its memory a guest holds, as a balloon driver asks a kernel to change it.

use crate::Errno;

/// A kernel's memory, as far as it can be given back to Xen while the guest runs.
///
/// Amounts are pages. The calls keep their work bounded: they may do less than they are asked for, and a driver calls again,
/// after it has let others run. What is given up are free pages. One that is granted, mapped elsewhere or in use is not
/// free, so that no call can take it away from its user.
pub trait Balloon {
    /// How many pages the guest holds.
    fn held(&self) -> usize;

    /// How many pages the guest can hold at most: as many as it was started with.
    fn most(&self) -> usize;

    /// How few pages the guest could hold now: those in use, and a reserve that the kernel wants for itself.
    fn least(&self) -> usize;

    /// Gives up to `pages` free pages back to Xen, with nothing of the guest's left in them. Answers with how many it were: 0
    /// once [`held`](Self::held) is as low as [`least`](Self::least).
    fn give_up(&self, pages: usize) -> usize;

    /// Takes up to `pages` pages back that were given up, as free ones. Answers with how many it were: 0 once
    /// [`held`](Self::held) is [`most`](Self::most).
    ///
    /// # Errors
    ///
    /// [`Errno::NOMEM`] where Xen has none to give, or the toolstack does not let the guest have more; try again later.
    fn take_back(&self, pages: usize) -> Result<usize, Errno>;
}
