//! The network backend, hostile: slots of the receive ring.

use std::collections::BTreeSet;

use xen_hypercall::abi::io::netif::{ExtraFlags, ExtraGso, ExtraInfo, ExtraType, GsoType, RxFlags, RxResponse, Status};
use xen_sim::When;
use xen_sim::netback::{Checksum, Fault, Misdeed, Options, Packet, Progress, RxAnswer, RxSlot, Which, XDP};
use zerocopy::IntoBytes;

use crate::scene;
use crate::scene::net::{self, Rig, Shape, Slot, Taken, bytes};
use crate::scene::{extra, honest, scene};

/// Slots that a grammar of four of them is made from.
fn letters() -> Vec<RxSlot> {
    let flags = [RxFlags::empty(), RxFlags::MORE_DATA, RxFlags::EXTRA_INFO, RxFlags::MORE_DATA | RxFlags::EXTRA_INFO];
    let data = flags.into_iter().map(|flags| RxSlot::data([9; 60], flags));
    let odd = RxAnswer { id: Some(500), offset: 4000, flags: RxFlags::GSO_PREFIX, status: 97, data: vec![9; 200] };
    let extras = [extra(1, ExtraFlags::empty()), extra(4, ExtraFlags::MORE)].map(RxSlot::extra);
    data.chain([RxSlot::Answer(odd)]).chain(extras).collect()
}

#[test]
#[cfg_attr(miri, ignore = "hundreds of calls")]
fn hc_034_to_037_answers_to_buffers() {
    for (misdeed, expected) in [
        (Misdeed::Id(77), RxResponse { id: 77, ..honest(100) }),
        (Misdeed::Status(-1), honest(-1)),
        (Misdeed::Status(0), honest(0)),
        (Misdeed::Status(4097), honest(4097)),
        (Misdeed::Status(i16::MIN), honest(i16::MIN)),
        (Misdeed::Offset(4095), RxResponse { offset: 4095, ..honest(100) }),
        (Misdeed::Offset(u16::MAX), RxResponse { offset: u16::MAX, ..honest(100) }),
        (Misdeed::Runt(0), honest(0)),
        (Misdeed::Runt(13), honest(13)),
        (Misdeed::Prefix, RxResponse { flags: RxFlags::GSO_PREFIX, ..honest(100) }),
        (Misdeed::Corrupts, RxResponse { flags: RxFlags::DATA_VALIDATED, ..honest(100) }),
        (Misdeed::Blank(20), RxResponse { flags: RxFlags::CSUM_BLANK, ..honest(20) }),
        (Misdeed::ExtraMissing, RxResponse { flags: RxFlags::EXTRA_INFO, ..honest(60) }),
        (Misdeed::Overruns, honest(100)),
        (Misdeed::Storm(3), honest(100)),
    ] {
        let mut scene = scene(34);
        assert_eq!(scene.answers(misdeed), [expected], "{misdeed:?}");
        assert!(!scene.broken());
        scene.end();
    }
    let mut scene = scene(58);
    assert_eq!(scene.answers(Misdeed::Silent), []);
    assert_eq!(scene.answers(Misdeed::Storm(1))[0].id, 1, "the first buffer is gone");
    scene.end();
}

#[test]
#[cfg_attr(miri, ignore = "hundreds of calls")]
fn hc_039_to_042_chains_of_slots() {
    for (misdeed, count, len, last) in [
        (Misdeed::Slots(18, 4096), 18, 4096, false),
        (Misdeed::Slots(30, 1), 30, 1, false),
        (Misdeed::Slots(3, 0), 3, 0, false),
        (Misdeed::Endless(1), 1, 60, true),
        (Misdeed::Endless(30), 30, 60, true),
    ] {
        let mut scene = scene(40);
        let answers = scene.answers(misdeed);
        assert_eq!(answers.len(), count);
        assert!(answers.iter().all(|answer| answer.status.0 == len));
        let more: Vec<bool> = answers.iter().map(|answer| answer.flags.contains(RxFlags::MORE_DATA)).collect();
        assert!(more[..count - 1].iter().all(|more| *more));
        assert_eq!(more[count - 1], last);
        scene.end();
    }
}

#[test]
#[cfg_attr(miri, ignore = "hundreds of calls")]
fn hc_044_to_052_what_is_said_of_packets() {
    let (more, none) = (ExtraFlags::MORE, ExtraFlags::empty());
    let gso = |kind, size, flags| -> ExtraInfo {
        zerocopy::transmute!(ExtraGso { kind: ExtraType::GSO, flags, size, gso_type: kind, ..ExtraGso::default() })
    };
    let headroom = ExtraInfo { kind: XDP, flags: none, data: [0xff, 0xff, 0, 0, 0, 0] };
    let twice = ExtraInfo { data: [2; 6], ..extra(1, none) };
    let blank = RxFlags::CSUM_BLANK;
    let cases: [(Misdeed, RxFlags, Vec<ExtraInfo>); 10] = [
        (Misdeed::Extra(0), RxFlags::empty(), vec![extra(0, none)]),
        (Misdeed::Extra(255), RxFlags::empty(), vec![extra(255, none)]),
        (Misdeed::Extra(2), RxFlags::empty(), vec![extra(2, none)]),
        (
            Misdeed::Extras(6),
            RxFlags::empty(),
            [1, 2, 3, 4, 1].map(|kind| extra(kind, more)).into_iter().chain([extra(2, none)]).collect(),
        ),
        (Misdeed::ExtraTwice(1), RxFlags::empty(), vec![extra(1, more), twice]),
        (Misdeed::ExtraOpen, RxFlags::empty(), vec![gso(GsoType::TCPV4, 1448, more)]),
        (Misdeed::Gso(0, 1448), blank, vec![gso(GsoType::NONE, 1448, none)]),
        (Misdeed::Gso(1, 0), blank, vec![gso(GsoType::TCPV4, 0, none)]),
        (Misdeed::GsoUnblank, RxFlags::empty(), vec![gso(GsoType::TCPV4, 1448, none)]),
        (Misdeed::Headroom(u16::MAX), RxFlags::empty(), vec![headroom]),
    ];
    for (misdeed, flags, expected) in cases {
        let mut scene = scene(44);
        let answers = scene.answers(misdeed);
        assert_eq!(answers[0].flags, flags | RxFlags::EXTRA_INFO, "{misdeed:?}");
        let extras: Vec<ExtraInfo> = answers[1..].iter().map(|answer| zerocopy::transmute!(*answer)).collect();
        assert_eq!(extras, expected, "{misdeed:?}");
        scene.end();
    }
    // What is said already comes after that.
    let mut scene = scene(46);
    let whole = Packet { gso: Some(scene::GSO), checksum: Checksum::Blank, ..Packet::new(net::tcp(3000, 1)) };
    scene.rig.back.control().on(Which::Receive, When::Nth(1), Fault::Misdeed(Misdeed::Extra(1)));
    scene.rig.back.push_packet(whole);
    scene.rig.settle();
    let slots = scene.front.slots(0);
    let extras: Vec<&Slot> = slots.iter().filter(|slot| matches!(slot, Slot::Extra(_))).collect();
    assert_eq!(extras, [&Slot::Extra(extra(1, more)), &Slot::Extra(gso(GsoType::TCPV4, 1448, none))]);
    scene.end();
}

#[test]
#[cfg_attr(miri, ignore = "hundreds of calls")]
fn hc_048_and_057_slots_that_are_not_the_first() {
    let mut scene = scene(48);
    let answers = scene.answers(Misdeed::ExtraLate);
    assert_eq!(
        answers.iter().map(|answer| answer.flags).collect::<Vec<_>>(),
        [RxFlags::MORE_DATA, RxFlags::EXTRA_INFO]
    );
    assert_eq!(answers.iter().map(|answer| answer.status.0).collect::<Vec<_>>(), [50, 50]);
    scene.end();
    let mut scene = self::scene(57);
    for (place, misdeed) in [Misdeed::Skips, Misdeed::Storm(1)].into_iter().enumerate() {
        let taken = scene.receive(misdeed, Packet::new(bytes(100, 1)));
        assert_eq!(taken.len(), 1);
        assert_eq!((usize::from(taken[0].own), usize::from(taken[0].response.id)), (place, place + 1));
    }
    scene.end();
}

#[test]
#[cfg_attr(miri, ignore = "hundreds of calls")]
fn any_slots_come_as_they_are() {
    let letters = letters();
    let mut scene = scene(200);
    let mut seen = BTreeSet::new();
    let count = letters.len();
    for word in (0..count.pow(4)).step_by(7) {
        let chosen = [word, word / count, word / count.pow(2), word / count.pow(3)].map(|letter| letter % count);
        let slots = chosen.map(|letter| letters[letter].clone());
        scene.rig.back.control().put_slots(0, slots.clone());
        while scene.rig.back.step() == Progress::Worked {}
        let taken = scene.front.taken(0);
        assert_eq!(taken.len(), 4);
        let mut answers = Vec::new();
        for (slot, Taken { response, own, page }) in slots.iter().zip(taken) {
            match slot {
                RxSlot::Raw(bytes) => assert_eq!(response.as_bytes(), bytes),
                RxSlot::Answer(RxAnswer { id, offset, flags, status, data }) => {
                    let (id, status) = (id.unwrap_or(own), Status(*status));
                    assert_eq!(response, RxResponse { id, offset: *offset, flags: *flags, status });
                    let mut bytes = vec![0; data.len().min(4096 - usize::from(*offset))];
                    assert_eq!(page.read(usize::from(*offset), &mut bytes), bytes.len());
                    assert!(bytes.iter().all(|byte| *byte == 9) && !bytes.is_empty());
                }
            }
            answers.extend_from_slice(response.as_bytes());
        }
        seen.insert(chosen);
        scene.front.refill(0, 4);
    }
    assert!(seen.len() > 300);
    scene.end();
}

#[test]
#[cfg_attr(miri, ignore = "hundreds of calls")]
fn slots_wait_for_buffers_and_are_shown_at_once() {
    let mut rig = Rig::new(201, Options::DEFAULT);
    let mut front = rig.connect(&Shape { buffers: 2, ..Shape::PLAIN });
    rig.back.control().put_slots(0, vec![RxSlot::data([1; 60], RxFlags::MORE_DATA); 3]);
    rig.settle();
    assert!(front.taken(0).is_empty());
    front.refill(0, 1);
    rig.settle();
    assert_eq!(front.taken(0).len(), 3);
    rig.close(front);
}
