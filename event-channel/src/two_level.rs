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
use crate::table::{Chunk, EventChannels};
use crate::words::{PORTS, Shared, Vcpu};

/// Counts the events of the words that `vcpu` has selected.
///
/// Its own loops call nothing, so that the usual upcall saves no registers: the first port that needs more than counting
/// ends them, and [`rest`] does what is left.
#[inline(always)]
pub(crate) fn dispatch<P: Events>(platform: &P, table: &EventChannels, shared: &Shared, vcpu: &Vcpu) {
    let mut words = order::take_selector(&vcpu.selector);
    while words != 0 {
        let word = words.trailing_zeros();
        words &= words - 1;
        let mut bits = take(shared, word);
        let Some(chunk) = table.chunk(word) else { return rest(platform, words, word, bits, None) };
        while bits != 0 {
            let bit = bits.trailing_zeros();
            bits &= bits - 1;
            let seen = chunk.get(bit).count_event();
            if seen.is_alert() {
                return rest(platform, words, word, bits, Some((bit, seen)));
            }
        }
    }
}

/// The rest of a pass, with all that an event can call for.
#[cold]
fn rest<P: Events>(platform: &P, mut words: u64, mut word: u32, mut bits: u64, first: Option<(u32, Seen)>) {
    let (table, shared) = (platform.event_channels(), crate::words::shared(platform));
    if let Some((bit, seen)) = first {
        attend(platform, word * PORTS + bit, seen);
    }
    loop {
        while bits != 0 {
            count(platform, table.chunk(word), word, bits.trailing_zeros());
            bits &= bits - 1;
        }
        if words == 0 {
            return;
        }
        word = words.trailing_zeros();
        words &= words - 1;
        bits = take(shared, word);
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
