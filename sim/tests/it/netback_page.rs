//! What `docs/simulator.md` shows of the network backend.

use std::time::Duration;

use xen_hypercall::abi::io::netif::RxFlags;
use xen_hypercall::abi::io::xenbus::State;
use xen_sim::netback::{
    Carrier, Fault, Form, Misdeed, NetOracle, Netback, Options, Order, Restart, RxSlot, Switch, Way, Which,
};
use xen_sim::{Device, Domain, Machine, When};

use crate::net::{Rig, SECOND, Shape};

#[test]
#[cfg_attr(miri, ignore = "hundreds of calls")]
fn two_guests_on_a_switch() {
    let machine = Machine::new(1);
    let (guest, other, host) = (machine.domain(), machine.domain(), machine.domain());
    let vif = |guest: &Domain, mac| Device::new("vif", 0, guest.id(), host.id()).front_key("mac", mac);
    let vifs = [vif(&guest, "00:16:3e:00:00:01"), vif(&other, "00:16:3e:00:00:02")];
    vifs.iter().for_each(|vif| machine.xenstore().plug(vif));

    let latency = Duration::from_micros(50)..Duration::from_millis(2);
    let options = Options { queues: 2, latency, order: Order::Mixed, ..Options::DEFAULT };
    let mut backs = vifs.each_ref().map(|vif| Netback::new(&machine, &host, vif, options.clone()));

    let switch = Switch::new();
    backs.iter().for_each(|back| switch.plug(back.port()));

    let run = machine.run(|vcpus| {
        vcpus.spawn(&guest, kernel);
        vcpus.spawn(&other, kernel);
        vcpus.spawn(&host, |_| Netback::serve_all(&mut backs, SECOND));
    });
    run.unwrap();
    for vif in &vifs {
        let state = machine.xenstore().read_text(&format!("{}/state", vif.back_path()));
        assert_eq!(state.as_deref(), Some("2"));
    }
}

fn kernel(guest: &Domain) {
    let _ = xen_hypercall::sched::poll(guest, &[], Some(guest.now() + SECOND));
}

#[test]
#[cfg_attr(miri, ignore = "hundreds of calls")]
fn a_backend_with_faults() {
    let mut rig = Rig::new(2, Options::DEFAULT);
    let mut front = rig.connect(&Shape::PLAIN);
    let back = &rig.back;
    let control = back.control();
    control.on(Which::Transmit, When::PerMille(50), Fault::Lose);
    control.on(Which::Receive, When::Nth(3), Fault::Late(Duration::from_secs(40)));
    control.on(Which::All, When::Nth(100), Fault::Misdeed(Misdeed::Twice));
    control.put_slots(0, [RxSlot::data([7; 60], RxFlags::MORE_DATA), RxSlot::Raw([0xff; 8])]);
    control.set_key("feature-sg", "yes");
    control.set_carrier(Carrier::Down);
    control.offer(Options { gso_tcpv4: false, ..Options::DEFAULT });
    control.restart(Restart::Orderly);

    rig.settle();
    assert_eq!((rig.state(), front.taken(0).len()), (State::CLOSING, 2));
    rig.set_state(State::CLOSED);
    assert_eq!(rig.state(), State::INIT_WAIT);
    front.end();
}

#[test]
#[cfg_attr(miri, ignore = "hundreds of calls")]
fn an_oracle_is_shown_what_arrives() {
    const GUEST: [u8; 6] = [0, 0x16, 0x3e, 0, 0, 1];
    const PEER: [u8; 6] = [0, 0x16, 0x3e, 0, 0, 2];
    let mut rig = Rig::new(3, Options::DEFAULT);
    let mut front = rig.connect(&Shape::PLAIN);
    let Rig { machine, host, back, .. } = &mut rig;
    let rings = [front.queues[0].tx.region().grefs()[0], front.queues[0].rx.region().grefs()[0]];
    let port = back.port();
    let mut oracle = NetOracle::new(GUEST, PEER);
    let packet = oracle.packet(Way::Out, Form::Plain, 1514);
    front.send(0, &packet.data, &[1514]);
    oracle.assert_nothing_exposed(machine, host, &rings);
    back.step();
    while let Some(packet) = port.receive() {
        oracle.assert_arrived(Way::Out, &packet.data);
    }

    back.push_packet(oracle.packet(Way::In, Form::Ipv4(80), 1514));
    back.step();
    for packet in front.receive(0) {
        oracle.assert_arrived(Way::In, &packet.bytes);
    }
    assert_eq!((oracle.counts(Way::Out).missing, oracle.counts(Way::In).missing), (0, 0));
    front.answers(0);
    rig.close(front);
}
