//! The network backend, with faults.

use std::time::Duration;

use xen_hypercall::abi::grant_table::Command;
use xen_hypercall::abi::grant_table::Status as GrantStatus;
use xen_hypercall::abi::io::netif::{CtrlStatus, CtrlType, ExtraGso, ExtraInfo, ExtraType, GsoType, Status, TxFlags};
use xen_hypercall::abi::io::xenbus::State;
use xen_sim::netback::{Carrier, Checksum, Fault, Netback, Notify, Options, Packet, Progress, Restart, Switch, Which};
use xen_sim::{Domain, When};

use crate::net;
use crate::net::{Front, Rig, SECOND, Shape, bytes, tcp};

fn statuses(front: &mut Front) -> Vec<Status> {
    front.answers(0).iter().map(|answer| answer.status).collect()
}

/// The numbers of the packets that have come out.
fn sent(rig: &Rig) -> Vec<u8> {
    let port = rig.back.port();
    std::iter::from_fn(|| port.receive()).map(|packet| packet.data[5]).collect()
}

/// The numbers of those that the front has received.
fn received(front: &mut Front) -> Vec<u8> {
    front.receive(0).iter().map(|packet| packet.bytes.get(5).copied().unwrap_or(0)).collect()
}

#[test]
#[cfg_attr(miri, ignore = "hundreds of calls")]
fn packets_go_wrong_by_script_and_by_chance() {
    let mut rig = Rig::new(1, Options::DEFAULT);
    let mut front = rig.connect(&Shape::PLAIN);
    let control = rig.back.control();
    control.on(Which::Transmit, When::Nth(2), Fault::Refuse(Status::DROPPED));
    control.on(Which::Transmit, When::Nth(3), Fault::Lose);
    control.on(Which::Receive, When::Nth(2), Fault::Refuse(Status::ERROR));
    control.on(Which::Receive, When::Nth(3), Fault::Lose);
    for number in 1..5 {
        front.send(0, &bytes(60, number), &[60]);
        rig.back.push_packet(Packet::new(bytes(60, number)));
        rig.settle();
    }
    assert_eq!(statuses(&mut front), [Status::OKAY, Status::DROPPED, Status::OKAY, Status::OKAY]);
    assert_eq!((sent(&rig), received(&mut front)), (vec![1, 4], vec![1, 0, 4]));
    control.clear();
    control.on(Which::All, When::PerMille(500), Fault::Lose);
    for number in 0..40 {
        front.send(0, &bytes(60, number), &[60]);
        rig.back.push_packet(Packet::new(bytes(60, number)));
        rig.settle();
        front.refill(0, 1);
    }
    let (sent, received) = (sent(&rig).len(), received(&mut front).len());
    assert!((5..35).contains(&sent) && (5..35).contains(&received), "{sent}, {received}");
    rig.close(front);
}

#[test]
#[cfg_attr(miri, ignore = "hundreds of calls")]
fn packets_hang_with_their_pages_and_go_on() {
    let mut rig = Rig::new(2, Options::DEFAULT);
    let mut front = rig.connect(&Shape::CONTROL);
    let control = rig.back.control();
    control.on(Which::All, When::Nth(1), Fault::Hang);
    let ids = front.send(0, &bytes(100, 1), &[50, 50]);
    front.send(0, &bytes(60, 2), &[60]);
    rig.settle();
    assert_eq!((rig.back.unanswered(), statuses(&mut front).len(), sent(&rig)), (2, 1, vec![2]));
    let pages = std::mem::take(&mut front.queues[0].sent);
    assert_eq!(pages.len(), 2);
    let revoke =
        |(id, page): (u16, xen_grant_table::Grant<Domain>)| (id, page.revoke().expect_err("mapped").into_grant());
    front.queues[0].sent = pages.into_iter().map(revoke).collect();
    control.go_on();
    rig.settle();
    assert_eq!((front.answers(0).iter().map(|answer| answer.id).collect::<Vec<_>>(), sent(&rig)), (ids, vec![1]));
    assert!(front.queues[0].sent.is_empty(), "the pages are back");

    control.clear();
    control.on(Which::Receive, When::Nth(1), Fault::Hang);
    (1..3).for_each(|number| rig.back.push_packet(Packet::new(bytes(60, number))));
    rig.settle();
    rig.machine.advance(100 * SECOND);
    rig.settle();
    assert!(received(&mut front).is_empty(), "what comes later waits, too");
    control.go_on();
    rig.settle();
    assert_eq!(received(&mut front), [1, 2]);

    control.hang();
    front.send(0, &bytes(60, 3), &[60]);
    rig.settle();
    assert!(front.answers(0).is_empty());
    control.go_on();
    rig.settle();
    assert_eq!(statuses(&mut front), [Status::OKAY]);
    rig.close(front);
}

#[test]
#[cfg_attr(miri, ignore = "hundreds of calls")]
fn packets_come_late() {
    let mut rig = Rig::new(3, Options::DEFAULT);
    let mut front = rig.connect(&Shape::PLAIN);
    rig.back.control().on(Which::All, When::Always, Fault::Late(7 * SECOND));
    front.send(0, &bytes(60, 1), &[60]);
    rig.back.push_packet(Packet::new(bytes(60, 2)));
    rig.back.step();
    assert!(matches!(rig.back.step(), Progress::Until(time) if time > rig.machine.now() + 6 * SECOND));
    rig.settle();
    assert_eq!((sent(&rig), received(&mut front)), (vec![], vec![]));
    rig.machine.advance(7 * SECOND);
    rig.settle();
    assert_eq!((sent(&rig), received(&mut front)), (vec![1], vec![2]));
    rig.close(front);
}

#[test]
#[cfg_attr(miri, ignore = "hundreds of calls")]
fn the_control_ring_has_faults() {
    let mut rig = Rig::new(4, Options::DEFAULT);
    let mut front = rig.connect(&Shape::CONTROL);
    let control = rig.back.control();
    control.on(Which::Control, When::Nth(1), Fault::Refuse(Status::ERROR));
    let ask = |rig: &mut Rig, front: &mut Front| front.ask(&mut rig.back, CtrlType::SET_HASH_ALGORITHM, [1, 0, 0]);
    assert_eq!(ask(&mut rig, &mut front), Err(CtrlStatus::NOT_SUPPORTED));
    assert_eq!(ask(&mut rig, &mut front), Ok(0));
    assert_eq!(rig.back.statistics().controls, 2);
    rig.close(front);
}

#[test]
#[cfg_attr(miri, ignore = "hundreds of calls")]
fn a_backend_without_notifications_answers_all_the_same() {
    for (notify, expected) in [(Notify::Never, 0), (Notify::Every(3), 2), (Notify::Always, 6)] {
        let mut rig = Rig::new(5, Options { notify, ..Options::DEFAULT });
        let mut front = rig.connect(&Shape::PLAIN);
        for number in 0..6 {
            front.send(0, &bytes(60, number), &[60]);
            rig.settle();
            assert_eq!(statuses(&mut front), [Status::OKAY]);
        }
        assert_eq!(rig.back.statistics().notifications, expected);
        rig.close(front);
    }
}

#[test]
#[cfg_attr(miri, ignore = "hundreds of calls")]
fn the_link_goes_down_and_up() {
    let mut rig = Rig::new(6, Options { carrier: Some(Carrier::Up), ..Options::DEFAULT });
    let mut front = rig.connect(&Shape::PLAIN);
    let control = rig.back.control();
    for (carrier, key) in [(Carrier::Up, "1"), (Carrier::Down, "0"), (Carrier::Up, "1")] {
        control.set_carrier(carrier);
        rig.settle();
        assert_eq!(rig.back_key("carrier").as_deref(), Some(key));
        front.send(0, &bytes(60, 1), &[60]);
        rig.back.push_packet(Packet::new(bytes(60, 1)));
        rig.settle();
        assert_eq!(statuses(&mut front), [Status::OKAY]);
        let count = usize::from(carrier == Carrier::Up);
        assert_eq!((sent(&rig).len(), received(&mut front).len()), (count, count));
    }
    assert_eq!(rig.back.statistics().unlinked, 2);
    rig.close(front);
}

#[test]
#[cfg_attr(miri, ignore = "hundreds of calls")]
fn a_backend_restarts() {
    for how in [Restart::Orderly, Restart::Abrupt] {
        let mut rig = Rig::new(7, Options::DEFAULT);
        rig.settle();
        let before = rig.machine.checkpoint();
        let mut front = rig.connect(&Shape::CONTROL);
        let control = rig.back.control();
        control.on(Which::Transmit, When::Nth(1), Fault::Hang);
        front.send(0, &bytes(60, 1), &[60]);
        rig.back.push_packet(Packet::new(bytes(9000, 2)));
        rig.settle();
        control.offer(Options { sg: false, ..Options::DEFAULT });
        control.restart(how);
        rig.settle();
        assert_eq!(rig.state(), if how == Restart::Orderly { State::CLOSING } else { State::CLOSED });
        if how == Restart::Orderly {
            front.send(0, &bytes(60, 3), &[60]);
            rig.settle();
            assert_eq!(sent(&rig), [3], "it works until the front closes");
        }
        rig.set_state(State::CLOSING);
        rig.set_state(State::CLOSED);
        assert!(!rig.back.is_connected());
        front.end();
        rig.set_state(State::INITIALISING);
        assert_eq!(rig.back_key("feature-sg").as_deref(), Some("0"));
        assert_eq!(rig.state(), State::INIT_WAIT);
        let mut front = rig.connect(&Shape::CONTROL);
        front.send(0, &bytes(60, 4), &[60]);
        rig.settle();
        assert_eq!(sent(&rig), [4], "what hung is not there any more");
        rig.close(front);
        rig.machine.assert_no_leaks_since(&before);
    }
}

#[test]
#[cfg_attr(miri, ignore = "hundreds of calls")]
fn a_backend_closes_and_its_keys_change() {
    let mut rig = Rig::new(8, Options::DEFAULT);
    let front = rig.connect(&Shape::PLAIN);
    let control = rig.back.control();
    control.set_key("feature-sg", "yes");
    control.remove_key("feature-gso-tcpv4");
    control.set_front_key("mac", "zz:16:3e:00:00:01");
    rig.settle();
    assert_eq!(rig.back_key("feature-sg").as_deref(), Some("yes"));
    assert_eq!(rig.back_key("feature-gso-tcpv4"), None);
    let mac = rig.machine.xenstore().read_text(&format!("{}/mac", rig.device.front_path()));
    assert_eq!(mac.as_deref(), Some("zz:16:3e:00:00:01"));
    control.close();
    rig.settle();
    assert_eq!(rig.state(), State::CLOSING);
    rig.close(front);
    rig.set_state(State::INITIALISING);
    assert_eq!(rig.back_key("feature-sg").as_deref(), Some("yes"));
    control.honest_keys();
    control.close();
    rig.settle();
    rig.set_state(State::CLOSED);
    rig.set_state(State::INITIALISING);
    assert_eq!(rig.back_key("feature-sg").as_deref(), Some("1"));
}

#[test]
#[cfg_attr(miri, ignore = "hundreds of calls")]
fn a_backend_that_is_gone_is_replaced() {
    let mut rig = Rig::new(9, Options::DEFAULT);
    let mut front = rig.connect(&Shape::PLAIN);
    let back = Netback::new(&rig.machine, &rig.host, &rig.device, Options::DEFAULT);
    drop(std::mem::replace(&mut rig.back, back));
    rig.settle();
    assert_eq!(rig.state(), State::CLOSED, "what was left is closed");
    front.send(0, &bytes(60, 1), &[60]);
    rig.settle();
    assert!(front.answers(0).is_empty());
    rig.set_state(State::CLOSED);
    front.end();
    rig.set_state(State::INITIALISING);
    let front = rig.connect(&Shape::PLAIN);
    let Rig { machine, host, back, .. } = &mut rig;
    machine.destroy(host);
    assert!(!back.is_alive());
    assert_eq!(back.step(), Progress::Idle);
    drop(rig);
    front.end();
}

#[test]
#[cfg_attr(miri, ignore = "hundreds of calls")]
fn a_front_that_was_migrated_starts_anew() {
    let mut rig = Rig::new(10, Options::DEFAULT);
    rig.machine.xenstore().introduce(&rig.guest);
    let mut front = rig.connect(&Shape::CONTROL);
    rig.back.control().on(Which::Transmit, When::Nth(1), Fault::Hang);
    front.send(0, &bytes(60, 1), &[60]);
    rig.settle();
    net::device::migrate(&rig.guest);
    drop(front);
    rig.settle();
    assert!(!rig.back.is_connected());
    assert_eq!(rig.state(), State::INIT_WAIT);
    let mut front = rig.connect(&Shape::PLAIN);
    front.send(0, &bytes(60, 2), &[60]);
    rig.settle();
    assert_eq!(sent(&rig), [2]);
    rig.close(front);
}

#[test]
#[cfg_attr(miri, ignore = "hundreds of calls")]
fn xen_refuses_a_copy() {
    let mut rig = Rig::new(11, Options::DEFAULT);
    let mut front = rig.connect(&Shape::PLAIN);
    let host = rig.host.clone();
    rig.machine.faults().fail_element_of(&host, Command::COPY, When::Nth(2), GrantStatus::BAD_PAGE);
    front.send(0, &bytes(100, 1), &[50, 50]);
    rig.settle();
    assert_eq!(statuses(&mut front), [Status::OKAY, Status::ERROR]);
    assert_eq!(sent(&rig), []);
    rig.machine.faults().clear();
    rig.machine.faults().fail_element_of(&host, Command::COPY, When::Nth(2), GrantStatus::BAD_PAGE);
    rig.back.push_packet(Packet::new(bytes(5000, 1)));
    rig.settle();
    assert_eq!(front.receive(0)[0].statuses, [4096, GrantStatus::BAD_PAGE.0]);
    rig.close(front);
}

#[test]
#[cfg_attr(miri, ignore = "hundreds of calls")]
fn what_one_guest_leaves_to_others_is_done_for_one_that_cannot() {
    let mut rig = Rig::new(12, Options::DEFAULT);
    let mut other = Rig::on(&rig.machine, Options::DEFAULT);
    let switch = Switch::new();
    switch.plug(rig.back.port());
    switch.plug(other.back.port());
    let (mut front, mut bare) = (rig.connect(&Shape::PLAIN), other.connect(&Shape::BARE));
    let gso: ExtraInfo = zerocopy::transmute!(ExtraGso {
        kind: ExtraType::GSO,
        size: 1000,
        gso_type: GsoType::TCPV4,
        ..ExtraGso::default()
    });
    let whole = tcp(54 + 2500, 1);
    front.send_as(0, &whole, &[2554], TxFlags::CSUM_BLANK, &[gso]);
    rig.settle();
    other.settle();
    let segments = bare.receive(0);
    assert_eq!(segments.iter().map(|packet| packet.bytes.len()).collect::<Vec<_>>(), [1054, 1054, 554]);
    let payload: Vec<u8> = segments.iter().flat_map(|packet| &packet.bytes[54..]).copied().collect();
    assert_eq!(payload, whole[54..]);
    assert!(segments.iter().all(|packet| packet.flags.is_empty()));

    front.send_as(0, &bytes(60, 2), &[60], TxFlags::CSUM_BLANK, &[]);
    rig.settle();
    assert_eq!((statuses(&mut front).len(), rig.back.statistics().malformed), (3, 1));
    let junk = Packet { checksum: Checksum::Blank, ..Packet::new(bytes(60, 3)) };
    other.back.push_packet(junk);
    other.settle();
    assert_eq!((bare.receive(0).len(), other.back.statistics().unfit), (0, 1));
    rig.close(front);
    other.close(bare);
}

#[test]
#[cfg_attr(miri, ignore = "hundreds of calls")]
fn options_change_while_it_works() {
    let mut rig = Rig::new(13, Options::DEFAULT);
    let mut front = rig.connect(&Shape::PLAIN);
    let time = Duration::from_millis(3);
    rig.back.control().update(|options| {
        options.latency = time..time;
        options.queues = 17;
    });
    rig.settle();
    front.send(0, &bytes(60, 1), &[60]);
    rig.settle();
    assert_eq!(rig.back.unanswered(), 1);
    rig.machine.advance(time);
    rig.settle();
    assert_eq!(statuses(&mut front), [Status::OKAY]);
    rig.close(front);
}
