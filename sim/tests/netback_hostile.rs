//! The network backend, hostile: what its front sees.

#[path = "common/net.rs"]
mod net;

use std::collections::BTreeSet;

use net::{Front, Rig, Shape, Slot, Taken, bytes};
use xen_grant_table::Grant;
use xen_hypercall::abi::io::netif::{
    ExtraFlags, ExtraGso, ExtraInfo, ExtraType, GsoType, RxFlags, RxResponse, Status, TxFlags, TxResponse,
};
use xen_hypercall::abi::io::xenbus::State;
use xen_sim::netback::{Checksum, Fault, Gso, Misdeed, Options, Packet, RxAnswer, RxSlot, Which, XDP};
use xen_sim::{Domain, When};
use zerocopy::IntoBytes;

struct Scene {
    rig: Rig,
    front: Front,
    /// Buffers that were taken.
    pages: Vec<Grant<Domain>>,
}

fn scene(seed: u64) -> Scene {
    let mut rig = Rig::new(seed, Options::DEFAULT);
    let front = rig.connect(&Shape::PLAIN);
    Scene { rig, front, pages: Vec::new() }
}

const GSO: Gso = Gso { kind: GsoType::TCPV4, size: 1448 };

const fn extra(kind: u8, flags: ExtraFlags) -> ExtraInfo {
    ExtraInfo { kind: ExtraType(kind), flags, data: [1; 6] }
}

impl Scene {
    /// Transmits a packet of three slots and one extra, and what is answered; and whether the ring is broken.
    fn transmit(&mut self, misdeed: Misdeed) -> (Vec<u16>, Vec<TxResponse>, bool) {
        let extra = Gso { kind: GsoType::TCPV4, size: 1448 };
        let extra: ExtraInfo = zerocopy::transmute!(ExtraGso {
            kind: ExtraType::GSO,
            size: extra.size,
            gso_type: extra.kind,
            ..ExtraGso::default()
        });
        self.rig.back.control().on(Which::Transmit, When::Nth(1), Fault::Misdeed(misdeed));
        let packet = net::tcp(300, 1);
        let ids = self.front.send_as(0, &packet, &[100; 3], TxFlags::CSUM_BLANK, &[extra]);
        self.rig.settle();
        self.rig.back.control().clear();
        let answers = self.front.answers(0);
        assert!(self.rig.back.port().receive().is_some(), "the packet goes out whatever is answered");
        (ids, answers, self.front.queues[0].tx.violation().is_some())
    }

    /// Receives a packet, badly.
    fn receive(&mut self, misdeed: Misdeed, packet: Packet) -> Vec<Taken> {
        self.rig.back.control().on(Which::Receive, When::Nth(1), Fault::Misdeed(misdeed));
        self.rig.back.push_packet(packet);
        self.rig.settle();
        self.rig.back.control().clear();
        self.front.taken(0)
    }

    /// Receives a packet of one slot, badly: the answers, as they are in the ring.
    fn answers(&mut self, misdeed: Misdeed) -> Vec<RxResponse> {
        let taken = self.receive(misdeed, Packet::new(bytes(100, 1)));
        taken
            .into_iter()
            .map(|taken| {
                self.pages.push(taken.page);
                taken.response
            })
            .collect()
    }

    fn broken(&self) -> bool {
        self.front.queues[0].rx.violation().is_some()
    }

    /// All is given back in the end, whatever happened.
    fn end(mut self) {
        self.rig.set_state(State::CLOSING);
        self.rig.set_state(State::CLOSED);
        self.pages.into_iter().for_each(|page| drop(page.revoke().expect("unmapped at the end")));
        self.front.end();
    }
}

/// What an honest answer to a packet of so many bytes says.
fn honest(len: i16) -> RxResponse {
    RxResponse { status: Status(len), ..RxResponse::default() }
}

#[test]
#[cfg_attr(miri, ignore = "hundreds of calls")]
fn hc_023_to_026_ids_of_transmitted_slots() {
    for (misdeed, id) in [(Misdeed::Id(256), 256), (Misdeed::Id(200), 200), (Misdeed::IdBits(1 << 15), 1 << 15 | 1)] {
        let mut scene = scene(23);
        let (ids, answers, broken) = scene.transmit(misdeed);
        assert_eq!(ids, [1, 2, 3]);
        assert_eq!(answers.iter().map(|answer| answer.id).collect::<Vec<_>>(), [id, 1, 2, 3], "{misdeed:?}");
        assert!(!broken);
        scene.end();
    }
    // With another slot outstanding, the second answer is one that the ring's indices allow.
    for (misdeed, id) in [(Misdeed::Twice, 2), (Misdeed::Unpublished, 3)] {
        let mut scene = scene(25);
        scene.rig.back.control().on(Which::Transmit, When::Nth(1), Fault::Hang);
        scene.front.send(0, &bytes(60, 1), &[60]);
        scene.rig.settle();
        scene.rig.back.control().clear();
        let (ids, answers, broken) = scene.transmit(misdeed);
        assert_eq!(ids, [2, 3, 4]);
        assert_eq!((answers.len(), answers[4].id, broken), (5, id, false));
        scene.end();
    }
}

#[test]
#[cfg_attr(miri, ignore = "hundreds of calls")]
fn hc_027_to_033_answers_to_transmitted_slots() {
    let (okay, null) = (Status::OKAY, Status::NULL);
    for (misdeed, expected) in [
        (Misdeed::Status(1), vec![null, null, okay, okay]),
        (Misdeed::Status(-2), vec![Status::DROPPED, null, okay, okay]),
        (Misdeed::Status(i16::MIN), vec![Status(i16::MIN), null, okay, okay]),
        (Misdeed::Headless, vec![null, okay, okay]),
        (Misdeed::Nulls(-1), vec![okay, okay, okay]),
        (Misdeed::Silent, vec![]),
    ] {
        let mut scene = scene(27);
        let (ids, answers, broken) = scene.transmit(misdeed);
        assert_eq!(answers.iter().map(|answer| answer.status).collect::<Vec<_>>(), expected, "{misdeed:?}");
        assert!(!broken);
        if misdeed == Misdeed::Headless {
            assert_eq!(
                answers.iter().filter(|answer| answer.status == okay).map(|answer| answer.id).collect::<Vec<_>>(),
                ids[1..]
            );
        }
        scene.end();
    }
    let mut scene = scene(28);
    let (_, answers, broken) = scene.transmit(Misdeed::Nulls(1));
    assert_eq!((answers.len(), broken), (0, true), "more than there are slots");
    scene.end();
}

#[test]
#[cfg_attr(miri, ignore = "hundreds of calls")]
fn hc_001_to_004_indices() {
    for by in [1, -1, i32::MIN, 1 << 20] {
        let mut scene = scene(1);
        let (_, _, broken) = scene.transmit(Misdeed::Producer(by));
        assert!(broken || by == -1, "{by}");
        scene.end();
        let mut scene = self::scene(1);
        let answers = scene.answers(Misdeed::Producer(by));
        // With buffers outstanding, one more is what an honest end could say.
        assert_eq!(
            (answers.len(), scene.broken()),
            match by {
                1 => (2, false),
                -1 => (0, false),
                _ => (0, true),
            }
        );
        scene.end();
    }
    let mut scene = scene(1);
    let (_, answers, broken) = scene.transmit(Misdeed::Unpublished);
    assert_eq!((answers.len(), broken), (0, true));
    scene.end();
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
    let whole = Packet { gso: Some(GSO), checksum: Checksum::Blank, ..Packet::new(net::tcp(3000, 1)) };
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
fn hc_053_and_021_bytes() {
    let read = |misdeed| {
        let mut scene = scene(53);
        let mut taken = scene.receive(misdeed, Packet::new(bytes(100, 1)));
        let mut page = [0; 4096];
        assert_eq!(taken[0].page.read(0, &mut page), 4096);
        scene.pages.extend(taken.drain(..).map(|taken| taken.page));
        scene.end();
        page
    };
    let honest = read(Misdeed::Storm(1));
    assert_eq!(honest[..100], bytes(100, 1));
    assert_eq!(honest[100..], [0; 3996]);
    let corrupt = read(Misdeed::Corrupts);
    assert_eq!((&corrupt[..99], corrupt[99]), (&honest[..99], honest[99] ^ 0x55));
    let overrun = read(Misdeed::Overruns);
    assert_eq!(overrun[..100], honest[..100]);
    assert_ne!(overrun[100..], honest[100..]);
    assert_ne!(read(Misdeed::ChangesLater)[..100], honest[..100]);
}

#[test]
#[cfg_attr(miri, ignore = "hundreds of calls")]
fn hc_022_and_079_pages_stay_mapped() {
    let mut scene = scene(22);
    let (ids, answers, _) = scene.transmit(Misdeed::KeepsMapped);
    assert_eq!(answers.len(), 4);
    assert_eq!(scene.front.queues[0].sent.keys().copied().collect::<Vec<_>>(), ids, "none of them can be taken back");
    let taken = scene.receive(Misdeed::KeepsMapped, Packet::new(bytes(100, 1)));
    let page = taken.into_iter().next().unwrap().page;
    scene.pages.push(page.revoke().expect_err("mapped").into_grant());
    scene.end();
}

#[test]
#[cfg_attr(miri, ignore = "hundreds of calls")]
fn hc_084_rings_stay_mapped() {
    let mut scene = scene(84);
    scene.rig.back.control().keep_mappings();
    scene.rig.set_state(State::CLOSING);
    scene.rig.set_state(State::CLOSED);
    let queue = scene.front.queues.remove(0);
    let tx = queue.tx.into_region().revoke().expect_err("mapped").into_grant();
    let rx = queue.rx.into_region().revoke().expect_err("mapped").into_grant();
    scene.rig.back.control().let_go();
    scene.rig.settle();
    assert!(tx.revoke().is_ok() && rx.revoke().is_ok());
}

/// A ring, before and after a packet each way.
fn rings_with(misdeed: Misdeed) -> [Box<[u8; 4096]>; 4] {
    let mut scene = scene(18);
    let queue = &scene.front.queues[0];
    let grefs = [queue.tx.region().grefs()[0], queue.rx.region().grefs()[0]];
    let rings = |scene: &Scene| {
        let pages = scene.rig.machine.readable_by(&scene.rig.host);
        grefs.map(|gref| pages.iter().find(|page| page.gref == gref).expect("it is granted").bytes.clone())
    };
    let [tx, rx] = rings(&scene);
    // A ring that it has rewritten is of no use to the backend itself.
    scene.answers(misdeed);
    scene.transmit(misdeed);
    let [tx_after, rx_after] = rings(&scene);
    scene.end();
    [tx, tx_after, rx, rx_after]
}

#[test]
#[cfg_attr(miri, ignore = "hundreds of calls")]
fn hc_018_and_007_rings_are_rewritten() {
    let [tx, tx_after, rx, rx_after] = rings_with(Misdeed::Status(0));
    assert_eq!(tx[64 + 4 * 12..], tx_after[64 + 4 * 12..], "an honest answer changes the slots of its request");
    assert_eq!(rx[64 + 8..], rx_after[64 + 8..]);
    let [_, tx_after, _, rx_after] = rings_with(Misdeed::RewritesRequests);
    assert!(tx_after[64 + 4 * 12..64 + 256 * 12].chunks(12).all(|slot| slot.iter().any(|byte| *byte != 0)));
    assert_ne!(rx[64 + 8..], rx_after[64 + 8..]);
    let [tx, tx_after, rx, rx_after] = rings_with(Misdeed::RewritesIndices);
    assert_ne!(tx[16..24], tx_after[16..24], "words that no honest end writes");
    assert_ne!(rx[16..24], rx_after[16..24]);
    let [.., rx_after] = rings_with(Misdeed::Junk);
    assert_ne!(rx_after[8..12], 1_u32.to_le_bytes());
}

#[test]
#[cfg_attr(miri, ignore = "hundreds of calls")]
fn hc_090_storms() {
    let mut scene = scene(90);
    let sends = |scene: &Scene| {
        scene.rig.machine.trace().iter().filter(|event| event.to_string().contains("EVTCHNOP_send")).count()
    };
    scene.answers(Misdeed::Storm(100));
    assert!(sends(&scene) > 100);
    let before = scene.front.queues[0].tx_channel.count();
    scene.rig.back.control().storm(3);
    scene.rig.settle();
    assert!(scene.front.queues[0].tx_channel.count() > before, "an event without work");
    scene.end();
}

#[test]
#[cfg_attr(miri, ignore = "hundreds of calls")]
fn hc_109_to_126_keys() {
    let mut scene = scene(110);
    let control = scene.rig.back.control();
    let texts: [&[u8]; 6] = [b"", b"-1", b"0x1", b" 1", b"1\0", &[0xff; 4096]];
    for text in texts {
        control.set_key("multi-queue-max-queues", text);
        control.set_front_key("mtu", text);
        scene.rig.settle();
        let read = |path: &str, key: &str| scene.rig.machine.xenstore().read(&format!("{path}/{key}"));
        assert_eq!(read(&scene.rig.device.back_path(), "multi-queue-max-queues").as_deref(), Some(text));
        assert_eq!(read(&scene.rig.device.front_path(), "mtu").as_deref(), Some(text));
    }
    scene.end();
}

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
fn any_slots_come_as_they_are() {
    let letters = letters();
    let mut scene = scene(200);
    let mut seen = BTreeSet::new();
    let count = letters.len();
    for word in (0..count.pow(4)).step_by(7) {
        let chosen = [word, word / count, word / count.pow(2), word / count.pow(3)].map(|letter| letter % count);
        let slots = chosen.map(|letter| letters[letter].clone());
        scene.rig.back.control().put_slots(0, slots.clone());
        while scene.rig.back.step() == xen_sim::netback::Progress::Worked {}
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

#[test]
#[cfg_attr(miri, ignore = "hundreds of calls")]
fn all_misdeeds_and_chance_leave_the_backend_in_order() {
    for (seed, misdeed) in (0..).zip(Misdeed::TRANSMITTED.into_iter().chain(Misdeed::RECEIVED)) {
        let mut scene = scene(seed);
        scene.transmit(misdeed);
        scene.answers(misdeed);
        scene.answers(misdeed);
        scene.end();
    }
    for seed in 0..30 {
        let mut scene = scene(seed);
        scene.rig.back.control().misbehave(When::PerMille(700));
        for number in 0..30 {
            let queue = &mut scene.front.queues[0];
            if queue.tx.room() > 4 && queue.tx.violation().is_none() {
                scene.front.send(0, &bytes(100, number), &[50, 50]);
            }
            scene.rig.back.push_packet(Packet::new(bytes(5000, number)));
            scene.rig.back.step();
            scene.front.answers(0);
            let taken = scene.front.taken(0);
            scene.pages.extend(taken.into_iter().map(|taken| taken.page));
            if scene.front.queues[0].rx.room() > 2 && !scene.broken() {
                scene.front.refill(0, 2);
            }
        }
        scene.end();
    }
}
