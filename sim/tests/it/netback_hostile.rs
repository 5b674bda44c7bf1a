//! The network backend, hostile: what its front sees.

use xen_hypercall::abi::io::netif::{CtrlRequest, CtrlType, Status};
use xen_hypercall::abi::io::xenbus::State;
use xen_sim::When;
use xen_sim::netback::{Fault, Misdeed, Options, Packet, Which};

use crate::scene::net::{Front, Rig, Shape, bytes};
use crate::scene::{Scene, scene};

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
    for seed in 0..12 {
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

#[test]
#[cfg_attr(miri, ignore = "hundreds of calls")]
fn answers_on_the_control_ring() {
    for (misdeed, expected) in
        [(Misdeed::Id(500), (500, 0, 128)), (Misdeed::Status(-1), (9, u32::MAX, 128)), (Misdeed::Storm(3), (9, 0, 128))]
    {
        let mut rig = Rig::new(300, Options::DEFAULT);
        let mut front = rig.connect(&Shape::CONTROL);
        rig.back.control().on(Which::Control, When::Nth(1), Fault::Misdeed(misdeed));
        let answers = control(&mut rig, &mut front);
        assert_eq!(answers, [expected], "{misdeed:?}");
        rig.close(front);
    }
    for (misdeed, broken) in [(Misdeed::Silent, false), (Misdeed::Twice, true), (Misdeed::Producer(1), true)] {
        let mut rig = Rig::new(301, Options::DEFAULT);
        let mut front = rig.connect(&Shape::CONTROL);
        rig.back.control().on(Which::Control, When::Nth(1), Fault::Misdeed(misdeed));
        assert_eq!(control(&mut rig, &mut front), []);
        assert_eq!(front.control.as_ref().unwrap().0.violation().is_some(), broken, "{misdeed:?}");
        rig.close(front);
    }
}

/// Asks how large the table of queues can be; each answer's id, status and size.
fn control(rig: &mut Rig, front: &mut Front) -> Vec<(u16, u32, u32)> {
    let (ring, channel) = front.control.as_mut().unwrap();
    let kind = CtrlType::GET_HASH_MAPPING_SIZE;
    ring.push(CtrlRequest { id: 9, kind, ..CtrlRequest::default() }).map_err(drop).unwrap();
    let _ = ring.publish();
    channel.notify().unwrap();
    rig.settle();
    let mut answers = Vec::new();
    while let Ok(Some(answer)) = ring.pop_or_arm() {
        let answer = answer.into_unverified();
        answers.push((answer.id, answer.status.0, answer.data));
    }
    answers
}
