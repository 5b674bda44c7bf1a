//! A message of a peer that nobody has validated.

/// A private copy of what a peer wrote: it does not change any more, and nothing in it can be believed.
///
/// The copy is the only way to the message. There is no second read of the slot, so that what was validated is what is
/// used. (Tests: `hc_016`, `hc_017` in `tests/slots.rs`.)
///
/// ```
/// use xen_shared_ring::Untrusted;
///
/// fn offset_in_page(response: Untrusted<u32>) -> Result<u16, &'static str> {
///     response.validate(|offset| u16::try_from(*offset).ok().filter(|offset| *offset < 4096).ok_or("beyond the page"))
/// }
/// ```
///
/// (Aligned so that an `Option` of it has its tag in another word than the message; the compiler then keeps both in registers.)
#[must_use = "the peer's message is gone from the ring"]
#[derive(Debug)]
#[repr(C, align(8))]
pub struct Untrusted<T>(T);

impl<T> Untrusted<T> {
    /// Marks a copy of a peer's bytes as not validated.
    #[inline]
    pub const fn new(copy: T) -> Self {
        Self(copy)
    }

    /// Makes a checked value of the message, which then owns all that it needs of it.
    ///
    /// # Errors
    ///
    /// What `check` finds wrong.
    #[inline]
    pub fn validate<U, E>(self, check: impl FnOnce(&T) -> Result<U, E>) -> Result<U, E> {
        check(&self.0)
    }

    /// The message as the peer wrote it, for who checks each part where it is used.
    #[inline]
    #[must_use]
    pub fn into_unverified(self) -> T {
        self.0
    }
}
