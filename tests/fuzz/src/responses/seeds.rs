//! Scripts to begin with: each kind of step, and what comes of it.

use xen_hypercall::abi::io::blkif::{Operation, Response};
use zerocopy::IntoBytes;

use super::step;
use crate::Seed;

fn answer(which: u8, status: i16) -> Vec<u8> {
    [&[step::ANSWER, which][..], &status.to_le_bytes()].concat()
}

fn forge(which: u8, change: Response) -> Vec<u8> {
    [&[step::FORGE, which][..], change.as_bytes()].concat()
}

fn lie(by: i32) -> Vec<u8> {
    [&[step::LIE][..], &by.to_le_bytes(), &[step::POLL]].concat()
}

/// Reads of pages that follow each other, more than the ring has room for: those that wait become one request.
fn merged() -> Vec<u8> {
    let reads = (0..36).flat_map(|at| [step::ASK, 0, at, 0]);
    let answers = (0..33).flat_map(|_| answer(0, 0).into_iter().chain([step::SHOW, step::POLL]));
    [0].into_iter().chain(reads).chain(answers).collect()
}

pub(super) fn seeds() -> Vec<Seed> {
    const READ: [u8; 4] = [step::ASK, 0, 9, 0];
    const WRITE: [u8; 4] = [step::ASK, 1, 9, 3];
    const FLUSH: [u8; 4] = [step::ASK, 2, 0, 0];
    let come = [step::SHOW, step::POLL];
    let one = |used: u8, what: &[u8], rest: &[u8]| [&[used][..], what, rest, &come].concat();
    let nothing = Response::default();
    vec![
        Seed::new("read", one(0, &READ, &answer(0, 0)), &[("transferred", 1)]),
        Seed::new("write-kept", one(5, &WRITE, &answer(0, 0)), &[("transferred", 1)]),
        Seed::new(
            "flush",
            one(0, &[WRITE, FLUSH].concat(), &[&answer(0, 0)[..], &come, &answer(0, 0)].concat()),
            &[("flushed", 1), ("transferred", 1)],
        ),
        Seed::new("discard", one(0, &[step::ASK, 3, 8, 7], &answer(0, 0)), &[("discarded", 1)]),
        Seed::new("indirect", one(0, &[step::ASK, 0, 0, 39], &answer(0, 0)), &[("transferred", 1)]),
        Seed::new(
            "parts",
            one(3, &[step::ASK, 1, 0, 22], &[answer(2, 0), answer(0, 0), answer(0, 0)].concat()),
            &[("transferred", 1)],
        ),
        Seed::new(
            "any-order",
            one(0, &[READ, WRITE, READ].concat(), &[answer(2, 0), answer(0, 0), answer(0, 0)].concat()),
            &[("transferred", 3)],
        ),
        Seed::new("merged", merged(), &[("transferred", 36)]),
        Seed::new("failed", one(0, &READ, &answer(0, -1)), &[("failed", 1)]),
        Seed::new("unsupported", one(0, &FLUSH, &answer(0, -2)), &[("failed", 1)]),
        Seed::new("no-status", one(0, &WRITE, &answer(0, 7)), &[("failed", 1)]),
        Seed::new("stalled", one(0, &READ, &[step::PASS, 31, step::POLL]), &[("stalled", 1)]),
        Seed::new("abandoned", one(0, &READ, &[&[step::ABANDON, 0][..], &answer(0, 0)].concat()), &[("failed", 1)]),
        Seed::new(
            "other-id",
            one(0, &READ, &forge(0, Response { id: 1, ..nothing })),
            &[("failed", 1), ("violations", 1)],
        ),
        Seed::new(
            "high-id",
            one(1, &READ, &forge(0, Response { id: 1 << 40, ..nothing })),
            &[("failed", 1), ("violations", 1)],
        ),
        Seed::new(
            "other-operation",
            one(0, &READ, &forge(0, Response { operation: Operation(1), ..nothing })),
            &[("failed", 1), ("violations", 1)],
        ),
        Seed::new("beyond", [&[0][..], &READ, &lie(2)].concat(), &[("failed", 1), ("violations", 1)]),
        Seed::new(
            "back",
            [&one(0, &READ, &answer(0, 0))[..], &lie(-1)].concat(),
            &[("transferred", 1), ("violations", 1)],
        ),
    ]
}
