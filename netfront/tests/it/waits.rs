//! Sleeping: what ends a wait, and what must not. An owner who is woken for nothing again and again has no processor left for others.

use xen_hypercall::abi::Port;
use xen_netfront::{Netfront, Options};
use xen_sim::netback::{Fault, Options as Offer, Packet, Which};
use xen_sim::{Domain, When};
use xen_xenbus::control::{Ready, Resumable};

use crate::common::{Rig, SECOND, packet};
use crate::perils::MS;

/// How often an owner who only waits comes back within half a second.
fn waits(rig: &mut Rig, mut look: impl FnMut(&mut Netfront<Domain>)) -> usize {
    let (end, mut waits) = (rig.now() + SECOND / 2, 0);
    while rig.now() < end && waits < 2000 {
        while rig.front.poll(rig.store.now()).is_some() {}
        look(&mut rig.front);
        rig.front.wait(end).expect("Xen lets guests wait");
        waits += 1;
    }
    waits
}

/// Everything that waits comes back at once while a watch has fired that nobody looks at.
#[test]
fn an_interface_that_is_gone_does_not_end_waits_at_once() {
    let mut rig = Rig::new(1, Options::DEFAULT, Offer::DEFAULT);
    rig.machine.xenstore().remove_device(&rig.device);
    assert!(rig.until(SECOND, |rig| rig.front.is_detached()), "{:?}", rig.events);
    rig.machine.xenstore().plug(&rig.device);
    let detached = waits(&mut rig, |_| ());
    assert!(detached < 50, "{detached}");
    rig.front.close();
    assert!(rig.until(SECOND, |rig| rig.front.is_ended()));
    rig.machine.xenstore().write(&format!("{}/state", rig.device.back_path()), "5");
    let ended = waits(&mut rig, |_| ());
    assert!(ended < 50, "{ended}");
}

/// An interface that has made its offer, to a backend that does not answer it.
fn offered(options: Options, before: impl FnOnce(&mut Rig)) -> Rig {
    let mut rig = Rig::plugged(1, options, Offer::DEFAULT, |device| device);
    let state = format!("{}/state", rig.device.back_path());
    let ready = |rig: &Rig| rig.machine.xenstore().read_text(&state).as_deref() == Some("2");
    while !ready(&rig) {
        rig.steps(1);
    }
    rig.control().hang();
    before(&mut rig);
    let state = format!("{}/state", rig.device.front_path());
    assert!(rig.until(SECOND, |rig| rig.machine.xenstore().read_text(&state).as_deref() == Some("4")));
    rig
}

#[test]
fn hc_092_a_backend_that_signals_and_does_not_connect_costs_no_processor() {
    let mut rig = offered(Options::DEFAULT, |_| ());
    for key in ["event-channel-tx", "event-channel-rx"] {
        rig.machine.spurious_event(&rig.guest, Port(rig.front_number(key)));
    }
    let waits = waits(&mut rig, |_| ());
    assert!(waits < 50, "{waits}");
    rig.control().go_on();
    rig.connect();
    rig.assert_works();
}

#[test]
fn fault_16_pages_that_are_missing_while_the_backend_does_not_connect_cost_no_processor() {
    let options = Options { transmit_pages: 18, receive_pages: 256, ..Options::DEFAULT };
    let mut rig = offered(options, |rig| {
        let used = (0..).find(|limit| {
            rig.machine.faults().limit(&rig.guest, xen_sim::Limit::Pages(*limit));
            xen_grant_table::Page::alloc(rig.guest.clone()).is_some()
        });
        rig.machine.faults().limit(&rig.guest, xen_sim::Limit::Pages(used.unwrap() + 100));
    });
    assert!(rig.front.statistics().received.starved > 0);
    let waits = waits(&mut rig, |_| ());
    assert!(waits < 50, "{waits}");
}

/// A stack that answers at once has packets only together with room.
#[test]
fn hc_033_a_packet_without_room_for_an_answer_costs_no_processor() {
    let mut rig = Rig::new(1, Options::DEFAULT, Offer::DEFAULT);
    rig.control().on(Which::Transmit, When::Always, Fault::Hang);
    while rig.send(&packet(100, 1)) {}
    rig.port.send(Packet::new(packet(100, 2)));
    rig.steps(10);
    let mut came = 0;
    let mut answer = |front: &mut Netfront<Domain>| {
        while let Some((packet, _room)) = front.receive_and_transmit() {
            packet.discard();
            came += 1;
        }
    };
    let waits_in_vain = waits(&mut rig, &mut answer);
    assert!(waits_in_vain < 50, "{waits_in_vain}");
    // It comes as soon as there is room, or as somebody asks for it alone.
    rig.control().clear();
    rig.control().go_on();
    rig.steps(10);
    assert!(waits(&mut rig, &mut answer) < 50);
    assert_eq!(came, 1);
    rig.assert_works();
}

/// Whoever polls once more between the try to send and the sleep is told of the room nonetheless.
#[test]
fn room_that_was_found_meanwhile_ends_the_next_wait() {
    let mut rig = Rig::new(1, Options::DEFAULT, Offer::DEFAULT);
    while rig.send(&packet(100, 1)) {}
    rig.steps(10);
    while rig.front.poll(rig.store.now()).is_some() {}
    let start = rig.now();
    rig.front.wait(start + SECOND).unwrap();
    assert!(rig.now() - start < MS, "{:?}", rig.now() - start);
    assert!(rig.front.transmit().is_some());
    // Once it was told, it is not told again.
    rig.front.wait(start + SECOND / 20).unwrap();
    assert!(rig.now() - start >= SECOND / 20);
}

#[test]
fn hc_156_a_packet_that_comes_before_a_suspend_costs_no_processor() {
    let mut rig = Rig::new(1, Options::DEFAULT, Offer::DEFAULT);
    rig.control().on(Which::Transmit, When::Always, Fault::Hang);
    assert!(rig.send(&packet(100, 1)));
    rig.port.send(Packet::new(packet(100, 2)));
    rig.steps(1);
    let now = rig.now();
    assert_eq!(rig.front.prepare(now), Ready::NotYet);
    let waits = waits(&mut rig, |front| assert!(front.receive_and_transmit().is_none()));
    assert!(waits < 50, "{waits}");
    let now = rig.now();
    rig.front.cancelled(now);
    while rig.front.poll(now).is_some() {}
    assert!(!rig.front.prepare_to_wait(now), "it is there");
    assert_eq!(rig.front.receive_and_transmit().expect("it has stayed").0.len(), 100);
}

/// The backend went away with something that was sent, and nobody waits for that any more.
#[test]
fn fault_02_what_a_backend_took_with_it_costs_no_processor() {
    let mut rig = Rig::new(1, Options { patience: SECOND, ..Options::DEFAULT }, Offer::DEFAULT);
    rig.control().hang();
    assert!(rig.send(&packet(100, 1)));
    rig.pass(SECOND / 10);
    rig.machine.xenstore().remove_device(&rig.device);
    assert!(rig.until(SECOND / 10, |rig| rig.front.is_detached()), "{:?}", rig.events);
    rig.machine.advance(SECOND * 2);
    let waits = waits(&mut rig, |_| ());
    assert!(waits < 50, "{waits}");
}

/// Others need longer: a disk may have ten seconds.
#[test]
fn hc_156_an_interface_that_is_ready_for_a_suspend_costs_no_processor() {
    let mut rig = Rig::new(1, Options::DEFAULT, Offer::DEFAULT);
    rig.control().hang();
    assert!(rig.send(&packet(100, 1)));
    let start = rig.now();
    while rig.front.prepare(rig.now()) == Ready::NotYet {
        rig.front.wait(start + SECOND * 5).unwrap();
        while rig.front.poll(rig.store.now()).is_some() {}
    }
    let took = rig.now() - start;
    assert!(took >= SECOND && took < SECOND + MS, "it wakes its owner in time: {took:?}");
    let waits = waits(&mut rig, |_| ());
    assert!(waits < 50, "{waits}");
    assert_eq!(rig.front.prepare(rig.now()), Ready::Yes);
}
