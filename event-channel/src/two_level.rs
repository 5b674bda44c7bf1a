//! The 2-level ABI: a pending and a mask bit for each port, and for each vCPU a selector of the words that have events.
//!
//! A pass takes what was pending when it looked, and nothing twice: it cannot be kept busy by a peer, and no port keeps another
//! from being served, whatever their numbers.
//!
//! Source: `struct shared_info`, `struct vcpu_info`, public/xen.h

use crate::Events;
use crate::dispatch::attend;
use crate::order;
use crate::slot::Seen;
use crate::table::Chunk;
use crate::words::{self, PORTS, Shared};

/// The selector of a vCPU with events in the first word only.
pub(crate) const FIRST: u64 = 1;

/// Counts the events of the first word's ports, which most guests have no others beside.
///
/// The loop calls nothing, so that the usual upcall saves no registers: the first port that needs more than counting ends it,
/// and [`rest`] does what is left.
#[inline(always)]
pub(crate) fn first_word<P: Events>(platform: &P) {
    let mut bits = take(words::shared(platform), 0);
    let chunk = platform.event_channels().first();
    while bits != 0 {
        let seen = chunk.get(bits.trailing_zeros()).count_event();
        if seen.is_alert() {
            return rest(platform, bits, seen);
        }
        bits &= bits - 1;
    }
}

/// Counts the events of the words that a vCPU has selected.
pub(crate) fn pass<P: Events>(platform: &P, mut selected: u64) {
    while selected != 0 {
        let word = selected.trailing_zeros();
        selected &= selected - 1;
        count_all(platform, word, take(words::shared(platform), word));
    }
}

/// The rest of the first word, from a port on that was counted and needs more.
#[cold]
#[inline(never)]
fn rest<P: Events>(platform: &P, bits: u64, seen: Seen) {
    attend(platform, bits.trailing_zeros(), seen);
    count_all(platform, 0, bits & (bits - 1));
}

fn count_all<P: Events>(platform: &P, word: u32, mut bits: u64) {
    let chunk = platform.event_channels().chunk(word);
    while bits != 0 {
        count(platform, chunk, word, bits.trailing_zeros());
        bits &= bits - 1;
    }
}

fn count<P: Events>(platform: &P, chunk: Option<&Chunk>, word: u32, bit: u32) {
    let port = word * PORTS + bit;
    match chunk.map(|chunk| chunk.get(bit).count_event()) {
        Some(seen) if seen.is_alert() => attend(platform, port, seen),
        Some(_) => {}
        None => platform.event_channels().ignore(platform, port),
    }
}

/// Takes the pending ports of one word that are not masked.
#[inline(always)]
fn take(shared: &Shared, word: u32) -> u64 {
    let word = word as usize;
    let (Some(pending), Some(mask)) = (shared.pending.get(word), shared.mask.get(word)) else { return 0 };
    match order::mask(mask) {
        // The usual case, and the shorter way.
        0 => order::take_word(pending),
        mask => order::take_unmasked(pending, mask),
    }
}
