//! Scripts to begin with: each kind of step, and what comes of it.

use xen_xenbus::bus::State;

use super::{manner, step};
use crate::Seed;
use crate::script::with_bytes;

fn set(node: u8, value: &[u8]) -> Vec<u8> {
    with_bytes(&[step::SET, node], value)
}

const fn state(state: State) -> [u8; 2] {
    [step::STATE, state.0 as u8]
}

pub(super) fn seeds() -> Vec<Seed> {
    let connected = || [state(State::INIT_WAIT), state(State::CONNECTED)].concat();
    let with = |more: &[u8]| [&connected()[..], more].concat();
    let one = [("completes", 1), ("connects", 1), ("releases", 1)];
    let life = |more: &[(&'static str, u32)]| one.iter().chain(more).copied().collect::<Vec<_>>();
    let left = step::STATE | manner::LEAVES << 3;
    vec![
        Seed::new("connect", connected(), &life(&[("closed", 1), ("stops", 1), ("troubles", 1)])),
        Seed::new(
            "review",
            with(&[step::KEYS, step::STATE, 4]),
            &life(&[("closed", 1), ("good keys", 5), ("reviews", 2), ("stops", 1), ("troubles", 1)]),
        ),
        Seed::new("unplug", with(&[step::REMOVE, 254]), &life(&[("vanished", 1)])),
        Seed::new("backend-gone", with(&[step::REMOVE, 255]), &life(&[("vanished", 1)])),
        Seed::new("replaced", with(&set(1, b"4")), &life(&[("replaced", 1)])),
        Seed::new("our-state", with(&set(2, b"1")), &life(&[("replaced", 1)])),
        Seed::new(
            "restart",
            with(&[5, 6, 2, 4].map(|number| [step::STATE, number, step::PASS, 20]).concat()),
            &[
                ("closed", 1),
                ("completes", 2),
                ("connects", 2),
                ("releases", 2),
                ("reviews", 1),
                ("stops", 2),
                ("troubles", 1),
            ],
        ),
        Seed::new(
            "silent-store",
            with(&[step::SILENCE, step::STATE, 5, step::PASS, 9, step::SILENCE]),
            &life(&[("closed", 1), ("stops", 1), ("troubles", 1)]),
        ),
        Seed::new(
            "no-answer",
            [&[left, 2][..], &[step::PASS, 255, step::PASS, 60, step::ANSWER]].concat(),
            &[("closed", 1), ("connects", 1), ("releases", 1), ("too late", 1), ("troubles", 1)],
        ),
        Seed::new(
            "refused",
            vec![step::STATE | manner::REFUSES << 3, 2, step::OWNER, 1],
            &[("closed", 1), ("connects", 1), ("releases", 1), ("troubles", 1)],
        ),
        Seed::new(
            "given-up",
            vec![step::STATE | manner::GIVES_UP << 3, 2, step::PASS, 9],
            &[("closed", 1), ("connects", 2), ("releases", 2), ("troubles", 1)],
        ),
        Seed::new("never", vec![step::PASS, 255, step::PASS, 255], &[("closed", 1), ("troubles", 1)]),
        Seed::new("suspended", with(&[step::OWNER, 2]), &life(&[("suspended", 1)])),
        Seed::new("no-state", with(&set(3, b"4294967300")), &life(&[("closed", 1), ("stops", 1), ("troubles", 1)])),
        Seed::new(
            "keys",
            [set(5, b"1048576"), set(6, b"1"), set(7, b"00:16:3e:12:34:56"), set(8, b"w"), vec![step::KEYS]].concat(),
            &[("closed", 1), ("good keys", 5)],
        ),
        Seed::new(
            "key-long",
            [set(8, &[b'w'; 65]), vec![step::KEYS]].concat(),
            &[("bad keys", 1), ("closed", 1), ("good keys", 4)],
        ),
        Seed::new(
            "keys-malformed",
            [set(5, b"07"), set(6, b"2"), set(7, b"01:16:3e:12:34:56"), set(8, b"w\n"), set(9, b"x"), vec![step::KEYS]]
                .concat(),
            &[("bad keys", 4), ("closed", 1), ("good keys", 1)],
        ),
    ]
}
