//! The block backend, hostile: what its front sees.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use xen_grant_table::Grant;
use xen_hypercall::abi::io::blkif::{Operation, Response, Status};
use xen_hypercall::abi::io::xenbus::State;
use xen_sim::blkback::{Fault, Misdeed, Options, Which};
use xen_sim::{Domain, When};

use crate::block::{Front, Rig, Shape};

/// What the front gets for a read of so many pages, and the pages.
struct Answer {
    id: u64,
    responses: Vec<Response>,
    /// Whether the ring is broken.
    broken: bool,
    pages: Vec<Grant<Domain>>,
}

struct Scene {
    rig: Rig,
    front: Front,
}

fn scene(seed: u64) -> Scene {
    let mut rig = Rig::new(seed, Options::DEFAULT);
    rig.disk.write(0, &[7; 4096]);
    let front = rig.connect(Shape::PLAIN);
    Scene { rig, front }
}

impl Scene {
    fn ask(&mut self, misdeed: Misdeed, pages: usize) -> Answer {
        self.ask_for(misdeed, pages, 7)
    }

    fn ask_for(&mut self, misdeed: Misdeed, pages: usize, last: u8) -> Answer {
        let Self { rig, front } = self;
        rig.back.control().on(Which::All, When::Nth(1), Fault::Misdeed(misdeed));
        let mut grants: Vec<Grant<Domain>> = (0..pages).map(|_| front.grant()).collect();
        let sent = front.send_parts(0, Operation::READ, 0, &grants, last);
        rig.settle();
        rig.back.control().clear();
        grants.extend(sent.pages);
        let mut responses = Vec::new();
        let ring = &mut front.queues[0].ring;
        while let Ok(Some(response)) = ring.pop_or_arm() {
            responses.push(response.into_unverified());
        }
        Answer { id: sent.id, responses, broken: ring.violation().is_some(), pages: grants }
    }

    /// All is given back in the end, whatever happened.
    fn end(mut self, answer: Answer) {
        self.rig.set_state(State::CLOSING);
        self.rig.set_state(State::CLOSED);
        answer.pages.into_iter().for_each(|page| drop(page.revoke().expect("unmapped at the end")));
        self.front.end();
    }
}

/// The only answer's fields.
#[track_caller]
fn single(answer: &Answer) -> Response {
    assert_eq!(answer.responses.len(), 1);
    answer.responses[0]
}

#[test]
#[cfg_attr(miri, ignore = "hundreds of calls")]
fn hc_059_ids() {
    for (misdeed, expected) in [
        (Misdeed::Id(u64::MAX), None),
        (Misdeed::Id(1 << 32), None),
        (Misdeed::IdBits(1 << 63), Some(1 << 63)),
        (Misdeed::IdBits(1), Some(1)),
    ] {
        let mut scene = scene(59);
        let answer = scene.ask(misdeed, 1);
        match (expected, misdeed) {
            (Some(bits), _) => assert_eq!(single(&answer).id, answer.id ^ bits),
            (None, Misdeed::Id(id)) => assert_eq!(single(&answer).id, id),
            _ => unreachable!(),
        }
        scene.end(answer);
    }
}

#[test]
#[cfg_attr(miri, ignore = "hundreds of calls")]
fn hc_060_two_answers() {
    let mut scene = scene(60);
    // With another request outstanding, the second answer is one that the ring's indices allow.
    scene.rig.back.control().on(Which::Of(Operation::FLUSH_DISKCACHE), When::Always, Fault::Hang);
    scene.front.send(0, Operation::FLUSH_DISKCACHE, 0, &[]);
    scene.rig.settle();
    let answer = scene.ask(Misdeed::Twice, 1);
    assert_eq!(answer.responses.iter().map(|response| response.id).collect::<Vec<_>>(), [answer.id; 2]);
    scene.end(answer);
}

#[test]
#[cfg_attr(miri, ignore = "hundreds of calls")]
fn hc_061_operations() {
    let mut scene = scene(61);
    let answer = scene.ask(Misdeed::Operation(Operation::DISCARD), 1);
    assert_eq!(single(&answer).operation, Operation::DISCARD);
    scene.end(answer);
    let mut scene = self::scene(61);
    let answer = scene.ask(Misdeed::EchoIndirect, 12);
    assert_eq!(single(&answer).operation, Operation::INDIRECT);
    scene.end(answer);
}

#[test]
#[cfg_attr(miri, ignore = "hundreds of calls")]
fn hc_067_statuses() {
    let mut scene = scene(67);
    let answer = scene.ask(Misdeed::Status(i16::MIN), 1);
    assert_eq!(single(&answer).status, Status(i16::MIN));
    scene.end(answer);
}

#[test]
#[cfg_attr(miri, ignore = "hundreds of calls")]
fn hc_001_indices() {
    for by in [1, -1, i32::MIN, 1 << 20] {
        let mut scene = scene(1);
        let answer = scene.ask(Misdeed::Producer(by), 1);
        assert!(answer.broken || by == -1, "{by}");
        scene.end(answer);
    }
    let mut scene = scene(1);
    let answer = scene.ask(Misdeed::Unpublished, 1);
    assert!(answer.broken);
    scene.end(answer);
}

#[test]
#[cfg_attr(miri, ignore = "hundreds of calls")]
fn hc_071_silence() {
    let mut scene = scene(71);
    let mut answer = scene.ask(Misdeed::Silent, 1);
    assert!(answer.responses.is_empty());
    let page = answer.pages.remove(0).revoke().expect("unmapped");
    assert_eq!(page.bytes()[0], 7);
    scene.end(answer);
}

#[test]
#[cfg_attr(miri, ignore = "hundreds of calls")]
fn hc_074_pages_stay_mapped() {
    let mut scene = scene(74);
    let mut answer = scene.ask(Misdeed::KeepsMapped, 1);
    assert_eq!(single(&answer).status, Status::OKAY);
    let page = answer.pages.remove(0).revoke().expect_err("mapped").into_grant();
    answer.pages.push(page);
    scene.end(answer);
}

#[test]
#[cfg_attr(miri, ignore = "hundreds of calls")]
fn hc_078_and_068_bytes() {
    let read = |misdeed| {
        let mut scene = scene(78);
        let answer = scene.ask_for(misdeed, 1, 3);
        assert_eq!(single(&answer).status, Status::OKAY);
        let mut bytes = [0; 4096];
        assert_eq!(answer.pages[0].read(0, &mut bytes), 4096);
        scene.end(answer);
        bytes
    };
    let honest = read(Misdeed::RewritesRequests);
    assert_eq!(honest, *[[7; 2048], [0; 2048]].as_flattened());
    assert_eq!(read(Misdeed::Pretends), [0; 4096]);
    assert_ne!(read(Misdeed::ChangesLater)[..2048], honest[..2048]);
    let overrun = read(Misdeed::Overruns);
    assert_eq!(overrun[..2048], honest[..2048]);
    assert_ne!(overrun[2048..], honest[2048..]);
}

#[test]
#[cfg_attr(miri, ignore = "hundreds of calls")]
fn hc_073_indirect_pages_change() {
    let mut scene = scene(73);
    let answer = scene.ask(Misdeed::RewritesIndirect, 12);
    let mut bytes = [0; 8];
    assert_eq!(answer.pages[12].read(0, &mut bytes), 8);
    assert_ne!(bytes[..4], answer.pages[0].gref().0.to_le_bytes());
    scene.end(answer);
}

/// The ring, before and after a misdeed.
fn ring_with(misdeed: Misdeed) -> [Box<[u8; 4096]>; 2] {
    let mut scene = scene(18);
    let gref = scene.front.queues[0].ring.region().grefs()[0];
    let ring = |scene: &Scene| {
        let pages = scene.rig.machine.readable_by(&scene.rig.host);
        pages.into_iter().find(|page| page.gref == gref).expect("it is granted").bytes
    };
    let before = ring(&scene);
    let answer = scene.ask(misdeed, 1);
    let after = ring(&scene);
    scene.end(answer);
    [before, after]
}

#[test]
#[cfg_attr(miri, ignore = "hundreds of calls")]
fn hc_018_and_007_rings_are_rewritten() {
    let [before, after] = ring_with(Misdeed::Status(0));
    assert_eq!(before[64 + 112..], after[64 + 112..], "an honest answer changes one slot");
    let [_, after] = ring_with(Misdeed::RewritesRequests);
    assert!(after[64 + 112..].chunks(112).all(|slot| slot.iter().any(|byte| *byte != 0)));
    let [before, after] = ring_with(Misdeed::RewritesIndices);
    assert_ne!(before[16..24], after[16..24], "words that no honest end writes");
}

#[test]
#[cfg_attr(miri, ignore = "hundreds of calls")]
fn hc_084_rings_stay_mapped() {
    let mut scene = scene(84);
    scene.rig.back.control().keep_mappings();
    scene.rig.set_state(State::CLOSING);
    scene.rig.set_state(State::CLOSED);
    let ring = scene.front.queues.remove(0).ring.into_region();
    let ring = ring.revoke().expect_err("mapped").into_grant();
    scene.rig.back.control().let_go();
    scene.rig.settle();
    assert!(ring.revoke().is_ok());
}

#[test]
#[cfg_attr(miri, ignore = "hundreds of calls")]
fn hc_090_storms() {
    let mut scene = scene(90);
    let before = scene.rig.machine.trace().iter().len();
    let answer = scene.ask(Misdeed::Storm(100), 1);
    assert!(scene.rig.machine.trace().iter().len() > before + 100);
    let before = scene.rig.machine.trace().iter().len();
    scene.rig.back.control().storm(50);
    scene.rig.settle();
    assert!(scene.rig.machine.trace().iter().len() >= before + 50);
    scene.end(answer);
}

#[test]
#[cfg_attr(miri, ignore = "hundreds of calls")]
fn hc_103_states_toggle() {
    let mut scene = scene(103);
    let written = Arc::new(AtomicUsize::new(0));
    let (path, count) = (format!("{}/state", scene.rig.device.back_path()), Arc::clone(&written));
    scene.rig.machine.xenstore().watch(&path, move |_, _| {
        count.fetch_add(1, Ordering::Relaxed);
    });
    scene.rig.back.control().toggle(100);
    scene.rig.settle();
    scene.rig.machine.settle();
    assert!(written.load(Ordering::Relaxed) > 10, "{written:?}");
    assert_eq!(scene.rig.state(), State::CONNECTED);
    scene.rig.back.control().write_state(State(255));
    scene.rig.settle();
    assert_eq!(scene.rig.state(), State(255));
}

#[test]
#[cfg_attr(miri, ignore = "hundreds of calls")]
fn all_misdeeds_and_chance_leave_the_backend_in_order() {
    for (seed, misdeed) in (0..).zip(Misdeed::ALL) {
        for pages in [1, 12] {
            let mut scene = scene(seed);
            let answer = scene.ask(misdeed, pages);
            scene.end(answer);
        }
    }
    for seed in 0..30 {
        let mut scene = scene(seed);
        scene.rig.back.control().misbehave(When::PerMille(700));
        let mut pages = Vec::new();
        for _ in 0..20 {
            let grant = scene.front.grant();
            let id = scene.front.id();
            let request = xen_hypercall::abi::io::blkif::Request {
                nr_segments: 1,
                id,
                seg: [xen_hypercall::abi::io::blkif::Segment { gref: grant.gref(), last_sect: 3, ..Default::default() };
                    11],
                ..Default::default()
            };
            let _ = scene.front.queues[0].ring.push(request);
            scene.front.publish(0);
            pages.push(grant);
            scene.rig.back.step();
            while let Ok(Some(_)) = scene.front.queues[0].ring.pop_or_arm() {}
        }
        scene.end(Answer { id: 0, responses: Vec::new(), broken: false, pages });
    }
}
