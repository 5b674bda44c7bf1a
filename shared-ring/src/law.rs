//! The two laws of every ring, each in one place.
//!
//! Indices count without end and are kept modulo 2^32, so that only differences between them mean anything. Both laws hold
//! for any width of index as long as the true distances are below 2^width, which the size of a ring sees to; the tests
//! enumerate all of them in 8 bits, against the same laws over integers that never wrap.

/// What a publishing end owes its peer.
#[must_use = "the peer may sleep until it gets an event"]
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Notify {
    /// The peer sleeps, or may: send it an event.
    Needed,
    /// The peer will come by without one.
    NotNeeded,
}

impl Notify {
    /// Whether the peer wants an event.
    #[inline]
    #[must_use]
    pub const fn is_needed(self) -> bool {
        matches!(self, Self::Needed)
    }
}

/// An index that wraps.
pub(crate) trait Index: Copy + Ord {
    /// How far `self` is ahead of `before`.
    fn ahead_of(self, before: Self) -> Self;
}

impl Index for u32 {
    #[inline]
    fn ahead_of(self, before: Self) -> Self {
        self.wrapping_sub(before)
    }
}

/// The index law: whether a peer that was at `before`, and may go up to `limit`, can be at `now`.
///
/// What it may reach is what is outstanding, never just the size of the ring. What is left to the limit cannot be more than it
/// was before: a step back leaves more, a step too far wraps to a huge rest.
#[inline]
pub(crate) fn may_move<I: Index>(before: I, now: I, limit: I) -> bool {
    limit.ahead_of(now) <= limit.ahead_of(before)
}

/// The notify law: whether a producer that went from `old` to `new` passed the index `event` at which its peer wants to be
/// woken. (`RING_PUSH_REQUESTS_AND_CHECK_NOTIFY`, public/io/ring.h)
#[inline]
pub(crate) fn notify<I: Index>(old: I, new: I, event: I) -> Notify {
    if new.ahead_of(event) < new.ahead_of(old) { Notify::Needed } else { Notify::NotNeeded }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// As small as an index can be for all cases to be tried.
    impl Index for u8 {
        fn ahead_of(self, before: Self) -> Self {
            self.wrapping_sub(before)
        }
    }

    fn for_all_triples(check: impl Fn(u8, u8, u8)) {
        for first in 0..=u8::MAX {
            for second in 0..=u8::MAX {
                (0..=u8::MAX).for_each(|third| check(first, second, third));
            }
        }
    }

    /// The first integer that is `index` modulo 256 and at least `from`.
    fn unwrapped(index: u8, from: i32) -> i32 {
        from + (i32::from(index) - from).rem_euclid(256)
    }

    /// Over integers: some position between `before` and `limit` looks like `now`.
    #[test]
    #[cfg_attr(miri, ignore = "no memory is touched; too slow interpreted")]
    fn the_index_law_holds_for_all_8_bit_indices() {
        for_all_triples(|before, now, limit| {
            let start = i32::from(before);
            let end = unwrapped(limit, start);
            let possible = unwrapped(now, start) <= end;
            assert_eq!(may_move(before, now, limit), possible, "{before} -> {now}, limit {limit}");
        });
    }

    /// Over integers: one of the positions after `old`, up to `new`, is the one that the peer waits for.
    #[test]
    #[cfg_attr(miri, ignore = "no memory is touched; too slow interpreted")]
    fn the_notify_law_holds_for_all_8_bit_indices() {
        for_all_triples(|old, new, event| {
            let start = i32::from(old);
            let end = unwrapped(new, start);
            let passed = unwrapped(event, start + 1) <= end;
            assert_eq!(notify(old, new, event).is_needed(), passed, "{old} -> {new}, event {event}");
        });
    }

    #[test]
    fn the_widths_agree_where_the_distances_do() {
        for start in [0, u32::MAX - 5, u32::MAX / 2] {
            for (now, limit) in (0..300).flat_map(|now| [0, 1, 7, 255].map(|limit| (now, limit))) {
                let at = |distance| start.wrapping_add(distance);
                assert_eq!(may_move(start, at(now), at(limit)), now <= limit);
            }
        }
    }
}
