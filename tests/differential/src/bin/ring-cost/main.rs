//! What the rings of `xen-shared-ring` cost a frontend.
//!
//! ```text
//! ring-cost SCENARIO BATCH ROUNDS
//! ```
//!
//! Each round sends a batch and reaps its responses; the backend between the two is not counted. valgrind counts the instructions
//! inside of `counted_send...` and `counted_reap...`. `c/cost.c` is the same over the macros of `xen/io/ring.h`.

mod blk;
mod net;

use std::process::ExitCode;
use xen_shared_ring::in_flight::Entry;
use xen_shared_ring::{InFlight, Notify, PeerError};

/// The largest batch, and the places of the table of requests in flight.
const MOST: usize = 256;

/// How often the backend was to be notified.
struct Notified(u64);

/// What comes out of the responses.
#[derive(Clone, Copy, Debug, Default)]
struct Outcome {
    failed: u64,
    ids: u64,
}

impl Notified {
    fn count(&mut self, notify: Notify) {
        self.0 += u64::from(notify.is_needed());
    }
}

impl Outcome {
    /// Counts a response; a status of zero is good in all protocols.
    #[inline]
    const fn add(&mut self, status: i16, id: u64) {
        if status != 0 {
            self.failed += 1;
        }
        self.ids += id;
    }
}

type Table<I> = InFlight<u64, I, [Entry<u64>; MOST]>;

fn table<I: xen_shared_ring::in_flight::Id>() -> Table<I> {
    InFlight::new([const { Entry::VACANT }; MOST])
}

fn main() -> ExitCode {
    let arguments: Vec<_> = std::env::args().skip(1).collect();
    match run(&arguments) {
        Some(Ok((Notified(notified), Outcome { failed, ids }))) => {
            println!("{notified} {failed} {ids}");
            ExitCode::SUCCESS
        }
        Some(Err(error)) => {
            eprintln!("{error}");
            ExitCode::FAILURE
        }
        None => {
            eprintln!("usage: ring-cost net|net-ids|blk|blk-ids BATCH ROUNDS");
            ExitCode::from(2)
        }
    }
}

fn run(arguments: &[String]) -> Option<Result<(Notified, Outcome), PeerError>> {
    let [scenario, batch, rounds] = arguments else { return None };
    let (batch, rounds) = (batch.parse().ok().filter(|batch| *batch <= MOST)?, rounds.parse().ok()?);
    Some(match scenario.as_str() {
        "net" if batch == 1 => net::single(rounds),
        "net" => net::bare(batch, rounds),
        "net-ids" => net::with_ids(batch, rounds),
        "blk" if batch == 1 => blk::single(rounds),
        "blk" => blk::bare(batch, rounds),
        "blk-ids" => blk::with_ids(batch, rounds),
        _ => return None,
    })
}
