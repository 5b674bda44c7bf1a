//! Scripts to begin with: each kind of step, and what comes of it.

use xen_hypercall::abi::io::netif::RxFlags;

use super::step;
use crate::Seed;
use crate::script::with_bytes;

fn answer(flags: RxFlags, offset: u16, status: i16) -> Vec<u8> {
    [&[step::ANSWER, flags.bits() as u8][..], &offset.to_le_bytes(), &status.to_le_bytes()].concat()
}

/// What says more of a packet: its type, whether more follows, and six bytes.
fn extra(kind: u8, flags: u8, rest: [u8; 6]) -> Vec<u8> {
    [&[step::RAW, kind, flags][..], &rest].concat()
}

pub(super) fn seeds() -> Vec<Seed> {
    const PLAIN: RxFlags = RxFlags::empty();
    let come = [step::SHOW, step::POLL, step::TAKE];
    let script = |agreed: u8, slots: &[Vec<u8>]| [&[agreed][..], &slots.concat(), &come].concat();
    let more = |len| answer(RxFlags::MORE_DATA, 0, len);
    let tcp: Vec<u8> = [
        &[2, 0, 0, 0, 0, 9, 2, 0, 0, 0, 0, 8, 8, 0, 0x45, 0][..],
        &2040_u16.to_be_bytes(),
        &[0, 1, 0, 0, 64, 6, 0, 0, 10, 0, 0, 1, 10, 0, 0, 2, 0, 80, 0, 81, 0, 0, 0, 1, 0, 0, 0, 2, 0x50, 0x10],
    ]
    .concat();
    let fill = || with_bytes(&[step::FILL], &tcp);
    let blank = RxFlags::CSUM_BLANK | RxFlags::DATA_VALIDATED;
    let gso = |size: u16| extra(1, 0, [size as u8, (size >> 8) as u8, 1, 0, 0, 0]);
    let cut = || answer(blank | RxFlags::EXTRA_INFO, 0, 2054);
    vec![
        Seed::new("small", script(0, &[answer(PLAIN, 0, 60)]), &[("packets", 1)]),
        Seed::new("page", script(1, &[answer(RxFlags::DATA_VALIDATED, 100, 1514)]), &[("packets", 1)]),
        Seed::new("pieces", script(16, &[more(4096), more(2000), answer(PLAIN, 0, 900)]), &[("packets", 1)]),
        Seed::new(
            "looks",
            [&[0][..], &answer(PLAIN, 0, 600), &[step::SHOW, step::TAKE | 8, step::TAKE]].concat(),
            &[("packets", 1)],
        ),
        Seed::new(
            "little-room",
            [&[0][..], &answer(PLAIN, 0, 600), &answer(PLAIN, 0, 60), &[step::SHOW, step::TAKE | 16]].concat(),
            &[("packets", 2)],
        ),
        Seed::new(
            "failed",
            script(0, &[answer(PLAIN, 0, -1), answer(PLAIN, 0, 60)]),
            &[("dropped", 1), ("packets", 1)],
        ),
        Seed::new("out-of-page", script(0, &[answer(PLAIN, 4000, 100)]), &[("dropped", 1)]),
        Seed::new("too-long", script(8, &[answer(PLAIN, 0, 87)]), &[("dropped", 1)]),
        Seed::new("too-many", script(24, &[vec![more(10); 19].concat(), answer(PLAIN, 0, 10)]), &[("dropped", 1)]),
        Seed::new("blank", script(18, &[fill(), answer(blank, 0, 2054)]), &[("packets", 1)]),
        Seed::new("blank-nowhere", script(2, &[answer(blank, 0, 1000)]), &[("dropped", 1)]),
        Seed::new("segments", script(6, &[fill(), cut(), gso(1448)]), &[("packets", 1), ("segments", 1)]),
        Seed::new("segments-small", script(6, &[fill(), cut(), gso(1)]), &[("dropped", 1)]),
        Seed::new("extras", script(6, &[cut(), extra(4, 1, [0; 6]), extra(9, 0, [0; 6])]), &[("dropped", 1)]),
        Seed::new("endless", script(0, &[more(60)]), &[]),
        Seed::new("wrong-id", script(0, &[extra(77, 0, [0; 6])]), &[("violations", 1)]),
        Seed::new(
            "beyond",
            [&[0, step::LIE][..], &33_u32.to_le_bytes(), &[step::POLL, step::TAKE]].concat(),
            &[("violations", 1)],
        ),
        Seed::new(
            "early",
            [
                &[0][..],
                &answer(PLAIN, 0, 60),
                &[step::LIE],
                &1_u32.to_le_bytes(),
                &[step::TAKE, step::SHOW, step::TAKE],
            ]
            .concat(),
            &[("packets", 1)],
        ),
        Seed::new(
            "back",
            [&script(0, &[answer(PLAIN, 0, 60)])[..], &[step::LIE], &(-1_i32).to_le_bytes(), &[step::POLL, step::TAKE]]
                .concat(),
            &[("packets", 1), ("violations", 1)],
        ),
    ]
}
