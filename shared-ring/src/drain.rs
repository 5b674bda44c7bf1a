//! All messages that are there, one by one.

use core::fmt;
use core::marker::PhantomData;

use crate::page::RingPage;
use crate::protocol::{Entries, Protocol};
use crate::role::Role;
use crate::untrusted::Untrusted;

/// Messages that a peer has published, each taken by [`next`](Iterator::next).
#[must_use = "the messages are taken one by one"]
pub struct Drain<'r, R: Role, P: Protocol, S: Entries<P>> {
    page: RingPage<P, S>,
    /// A copy, which can live in a register: that is what makes this cheaper than single calls.
    popped: u32,
    seen: u32,
    /// The ring's own.
    ring_popped: &'r mut u32,
    ring_push_limit: &'r mut u32,
    role: PhantomData<R>,
}

impl<'r, R: Role, P: Protocol, S: Entries<P>> Drain<'r, R, P, S> {
    /// Messages of `page`, from the index that `popped` holds up to `seen`.
    #[inline(always)]
    pub(crate) const fn new(page: RingPage<P, S>, popped: &'r mut u32, push_limit: &'r mut u32, seen: u32) -> Self {
        Self { page, popped: *popped, seen, ring_popped: popped, ring_push_limit: push_limit, role: PhantomData }
    }
}

impl<R: Role, P: Protocol, S: Entries<P>> Iterator for Drain<'_, R, P, S> {
    type Item = Untrusted<R::In<P>>;

    #[inline(always)]
    fn next(&mut self) -> Option<Self::Item> {
        if self.popped == self.seen {
            return None;
        }
        let message = self.page.slot(self.popped).load();
        self.popped = self.popped.wrapping_add(1);
        Some(Untrusted::new(message))
    }

    #[inline(always)]
    fn size_hint(&self) -> (usize, Option<usize>) {
        let left = self.seen.wrapping_sub(self.popped) as usize;
        (left, Some(left))
    }
}

impl<R: Role, P: Protocol, S: Entries<P>> ExactSizeIterator for Drain<'_, R, P, S> {}

/// What was taken stays taken. (Who forgets the value instead gets the same messages again: the ring is as before.)
impl<R: Role, P: Protocol, S: Entries<P>> Drop for Drain<'_, R, P, S> {
    #[inline(always)]
    fn drop(&mut self) {
        *self.ring_popped = self.popped;
        *self.ring_push_limit = self.popped.wrapping_add(R::push_ahead(self.page.entries()));
    }
}

impl<R: Role, P: Protocol, S: Entries<P>> fmt::Debug for Drain<'_, R, P, S> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Drain").field("popped", &self.popped).field("seen", &self.seen).finish_non_exhaustive()
    }
}
