//! What a front half does, event by event.

use alloc::string::ToString;

use super::scene::{Driver, Scene};
use super::*;
use crate::bus::Generation;
use crate::bus::testing::{DEVICE, device};

const MS: Duration = Duration::from_millis(1);
const SECOND: Duration = Duration::from_secs(1);
const VANISHED: Step = Step::Ended(End::Vanished(Vanished::NoBackend));

#[test]
fn a_disk_connects_and_closes() {
    let mut scene = Scene::new(Driver::Disk, State::INITIALISING, State::INITIALISING);
    scene.run();
    assert_eq!(scene.told(), "", "the backend has nothing to offer yet");
    scene.backend(State::INIT_WAIT);
    assert_eq!(scene.told(), "connect =3");
    scene.backend(State::CONNECTED);
    assert_eq!(scene.told(), "complete =4");
    assert_eq!(scene.tree.get("device/vif/0/ring-ref").unwrap(), "8");
    scene.front.close();
    scene.run();
    assert_eq!(scene.told(), "stop:Asked =5");
    scene.backend(State::CLOSING);
    assert_eq!(scene.told(), "=6");
    assert_eq!(scene.backend(State::CLOSED), Step::Ended(End::Closed));
    assert_eq!(scene.told(), "release:Clean");
}

#[test]
fn a_network_interface_connects_in_one_step_less() {
    let mut scene = Scene::fresh(Driver::Net);
    scene.run();
    assert_eq!(scene.told(), "connect =4");
    assert!(!scene.front.is_connected(), "the backend has not agreed yet");
    scene.backend(State::CONNECTED);
    assert_eq!(scene.told(), "complete");
    assert!(scene.front.is_connected());
}

#[test]
fn hc_100_a_backend_that_is_connected_to_somebody_else_is_closed_first() {
    let mut scene = Scene::new(Driver::Net, State::INITIALISING, State::CONNECTED);
    scene.run();
    assert_eq!(scene.told(), "=5", "and no driver hears of it");
    scene.backend(State::CLOSING);
    scene.backend(State::CLOSED);
    scene.wait(SECOND);
    scene.backend(State::INIT_WAIT);
    assert_eq!(scene.told(), "=6 =1 connect =4");
}

#[test]
fn hc_100_init_wait_again_while_connected_is_not_negotiated() {
    let mut scene = Scene::connected(Driver::Net);
    scene.backend(State::INIT_WAIT);
    assert!(!scene.told().contains("connect "), "no second offer on the same connection");
    assert!(!scene.front.is_connected());
}

#[test]
fn hc_101_a_state_that_is_none_does_no_harm() {
    for junk in ["9", "255", "-1", "4x", "", "4294967300"] {
        let mut scene = Scene::connected(Driver::Disk);
        scene.tree.set(&device().backend_key("state"), junk);
        scene.front.look_again();
        scene.run();
        assert_eq!((scene.told().as_str(), scene.front.is_connected()), ("", true), "{junk:?}");
    }
}

#[test]
fn hc_102_closed_without_closing_is_closed() {
    let mut scene = Scene::connected(Driver::Disk);
    scene.backend(State::CLOSED);
    assert_eq!((scene.told().as_str(), scene.ours().as_str()), ("stop:BackendCloses =6 release:Clean", "6"));
}

#[test]
fn hc_103_toggling_is_coalesced_and_backed_off() {
    let mut scene = Scene::connected(Driver::Net);
    let start = scene.now;
    scene.tree.reads.set(0);
    for _ in 0..250_000 {
        for state in [State::CLOSING, State::CONNECTED, State::CLOSED, State::INIT_WAIT] {
            scene.backend(state);
            scene.now += MS / 50;
        }
    }
    let (seconds, log) = ((scene.now - start).as_secs(), scene.told());
    assert_eq!(seconds, 20);
    // Pauses of 10, 20, 40 ... 5120 ms fit in ten seconds.
    assert!(log.matches("connect").count() <= 12, "{log}");
    assert!(log.len() < 4000, "{log}");
    assert!(scene.tree.reads.get() / 5 < 20 * 100 + 100, "looks are bounded: {}", scene.tree.reads.get());
}

#[test]
fn hc_103_only_the_latest_state_counts() {
    let mut scene = Scene::connected(Driver::Net);
    for state in [State::CLOSING, State::CLOSED, State::INIT_WAIT, State::CONNECTED] {
        scene.tree.set(&device().backend_key("state"), state.0.to_string());
        scene.front.look_again();
    }
    scene.run();
    assert_eq!(scene.told(), "review", "as if nothing had been");
}

#[test]
fn hc_104_a_backend_that_never_starts_is_told_and_may_come_late() {
    for theirs in [State::UNKNOWN, State::INITIALISING, State::CLOSED, State::RECONFIGURING] {
        let mut scene = Scene::new(Driver::Net, State::INITIALISING, theirs);
        scene.run();
        scene.log.clear();
        scene.wait(Limits::DEFAULT.connect - MS);
        assert_eq!(scene.told(), "", "{theirs:?}");
        scene.wait(MS * 2);
        assert_eq!(scene.told(), "trouble:ConnectTimeout", "{theirs:?}");
        scene.wait(SECOND * 1000);
        assert_eq!((scene.told().as_str(), scene.front.next_deadline()), ("", None), "it is told once");
        scene.backend(State::INIT_WAIT);
        assert_eq!(scene.told(), "connect =4");
    }
}

#[test]
fn hc_104_a_backend_that_never_agrees_is_closed_and_tried_again() {
    let mut scene = Scene::fresh(Driver::Disk);
    scene.run();
    scene.log.clear();
    scene.wait(Limits::DEFAULT.connect + Limits::DEFAULT.close + SECOND);
    let expected = "trouble:ConnectTimeout =5 =6 release:Clean =1 connect =3";
    assert_eq!(scene.told(), expected);
}

#[test]
fn an_error_says_what_stands_where_and_what_to_try() {
    let mut scene = Scene::new(Driver::Mute, State::INITIALISING, State::CLOSED);
    scene.run();
    scene.now += Limits::DEFAULT.connect;
    let Step::Tell(Event::Trouble(error)) = scene.front.poll(scene.now) else { panic!("no trouble") };
    let expected = "vif/0 of domain 3: the backend did not connect within 30s; device/vif/0/state is INITIALISING, \
                    /local/domain/3/backend/vif/7/0/state is CLOSED; is a backend of this kind running in that domain? \
                    `xenstore-ls -f` there shows its nodes";
    assert_eq!(error.to_string(), expected);
}

#[test]
fn hc_105_a_backend_that_never_closes_is_left_behind() {
    for theirs in [State::CONNECTED, State::INITIALISED, State::UNKNOWN, State::RECONFIGURED] {
        let mut scene = Scene::connected(Driver::Disk);
        scene.front.close();
        scene.backend(theirs);
        assert_eq!(scene.wait(Limits::DEFAULT.close), Step::Ended(End::Closed), "{theirs:?}");
        assert_eq!(scene.told(), "stop:Asked =5 =6 trouble:CloseTimeout release:Forced", "{theirs:?}");
    }
}

#[test]
fn hc_107_a_device_that_vanishes_is_written_nothing_and_waited_for_by_nobody() {
    let mut scene = Scene::connected(Driver::Disk);
    scene.tree.remove("/local/domain/3/backend/vif/7/0");
    scene.tree.writes.set(0);
    scene.front.look_again();
    assert_eq!(scene.run(), VANISHED);
    assert_eq!((scene.told().as_str(), scene.tree.writes.get()), ("release:Vanished", 0));
    assert_eq!(scene.front.next_deadline(), None);
}

#[test]
fn hc_108_a_state_that_somebody_else_set_is_another_device() {
    let mut scene = Scene::connected(Driver::Disk);
    scene.tree.set(&device().key("state"), "1");
    scene.front.look_again();
    assert_eq!(scene.run(), Step::Ended(End::Vanished(Vanished::Replaced)));
    assert_eq!((scene.told().as_str(), scene.ours().as_str()), ("release:Vanished", "1"));
}

#[test]
fn m14_a_device_that_was_replaced_during_its_teardown_is_left_alone() {
    let mut scene = Scene::connected(Driver::Disk);
    scene.front.close();
    scene.run();
    // Taken away by force and made anew, with the same backend, before anybody looked.
    scene.tree.set(&device().key("state"), "1");
    scene.tree.set(&device().backend_key("state"), "2");
    assert_eq!(scene.wait(SECOND * 10), Step::Ended(End::Vanished(Vanished::Replaced)));
    assert_eq!(scene.ours(), "1", "the new one's state is the new one's");
    let new = Device::new(device().name().clone(), device().backend().clone(), Generation(2));
    let mut new = Scene { front: Frontend::new(new, Limits::DEFAULT), attempt: Attempt(0), ..scene };
    new.run();
    assert_eq!(new.ours(), "3", "and it connects");
}

#[test]
fn hc_159_teardown_is_legal_at_any_time_and_any_number_of_times() {
    let mut scene = Scene::connected(Driver::Disk);
    scene.front.resumed();
    scene.front.resumed();
    scene.front.close();
    scene.front.close();
    assert_eq!(scene.run(), Step::Ended(End::Suspended));
    scene.tree.remove(DEVICE);
    scene.front.saw(Sight::Vanished(Vanished::Unplugged), scene.now);
    assert_eq!(scene.run(), Step::Ended(End::Suspended));
    assert_eq!(scene.told(), "release:Suspended");
    assert_eq!(scene.front.released(scene.now), Err(TooLate));
}

#[test]
fn hc_159_what_vanishes_while_it_is_given_back_is_given_back_once_and_ends_afterwards() {
    let mut scene = Scene::connected(Driver::Disk);
    scene.driver = Driver::Mute;
    scene.front.give_up(Attempt(1), "a test", scene.now).unwrap();
    scene.backend(State::CLOSED);
    scene.tree.remove(DEVICE);
    scene.front.look_again();
    assert_eq!(scene.run(), Step::Rest, "the driver has not answered");
    scene.front.released(scene.now).unwrap();
    assert_eq!(scene.run(), Step::Ended(End::Vanished(Vanished::Unplugged)));
    assert_eq!(scene.told(), "trouble:Broken =5 =6 release:Clean");
}

#[test]
fn hc_156_a_front_half_may_be_suspended_in_every_state() {
    // Each leaves the front half a step further on its way.
    let steps: [fn(&mut Scene); 9] = [
        |scene| drop(scene.run()),
        |scene| scene.front.offer(Attempt(1), Offer::initialised(), scene.now).unwrap(),
        |scene| drop(scene.run()),
        |scene| drop(scene.backend(State::CONNECTED)),
        |scene| scene.front.ready(Attempt(1), scene.now).unwrap(),
        |scene| drop(scene.run()),
        |scene| drop(scene.backend(State::CLOSING)),
        |scene| scene.front.stopped(scene.now).unwrap(),
        |scene| drop(scene.backend(State::CLOSED)),
    ];
    for made in 0..=steps.len() {
        let mut scene = Scene::fresh(Driver::Mute);
        steps.iter().take(made).for_each(|step| step(&mut scene));
        scene.tree.writes.set(0);
        scene.front.resumed();
        scene.run();
        let _ = scene.front.released(scene.now);
        assert_eq!(scene.run(), Step::Ended(End::Suspended), "after {made} steps");
        assert_eq!((scene.tree.writes.get(), scene.holds), (0, false), "after {made} steps");
    }
}

#[test]
fn hc_157_a_cancelled_suspend_changes_nothing_but_time_limits() {
    let mut scene = Scene::fresh(Driver::Disk);
    scene.run();
    scene.now += SECOND * 3600;
    scene.front.rearm(scene.now);
    scene.run();
    assert_eq!(scene.told(), "connect =3", "no time-out");
    scene.backend(State::CONNECTED);
    assert!(scene.front.is_connected());
}

#[test]
fn a_driver_that_refuses_is_asked_again_when_the_backend_has_changed() {
    let mut scene = Scene::fresh(Driver::Mute);
    scene.run();
    scene.front.refuse(Attempt(1), "a sector size of 7", scene.now).unwrap();
    scene.run();
    scene.front.released(scene.now).unwrap();
    scene.wait(SECOND * 100);
    assert_eq!(scene.told(), "connect trouble:Refused release:Unused");
    scene.backend(State::CLOSED);
    scene.backend(State::INIT_WAIT);
    scene.wait(SECOND);
    assert_eq!(scene.told(), "=1 connect");
    assert_eq!(scene.front.offer(Attempt(1), Offer::connected(), scene.now), Err(TooLate), "that was the last one");
}

#[test]
fn fault_04_a_backend_that_was_refused_and_closes_is_not_kept_waiting() {
    let mut scene = Scene::fresh(Driver::Mute);
    scene.run();
    scene.front.refuse(Attempt(1), "a sector size of 7", scene.now).unwrap();
    scene.run();
    scene.front.released(scene.now).unwrap();
    scene.backend(State::CLOSING);
    assert_eq!(scene.told(), "connect trouble:Refused release:Unused =6");
    scene.backend(State::CLOSED);
    scene.wait(SECOND);
    scene.backend(State::INIT_WAIT);
    assert_eq!(scene.told(), "=1 connect");
}

#[test]
fn a_driver_that_gives_up_is_connected_again() {
    let mut scene = Scene::connected(Driver::Disk);
    scene.front.give_up(Attempt(1), "an answer to no request", scene.now).unwrap();
    scene.run();
    scene.backend(State::CLOSING);
    scene.backend(State::CLOSED);
    scene.wait(SECOND);
    scene.backend(State::INIT_WAIT);
    assert_eq!(scene.told(), "trouble:Broken =5 =6 release:Clean =1 connect =3");
}

#[test]
fn hc_126_an_offer_that_is_withdrawn_during_negotiation_is_negotiated_anew() {
    let mut scene = Scene::fresh(Driver::Mute);
    scene.run();
    scene.backend(State::INITIALISING);
    assert_eq!(scene.told(), "connect release:Unused");
    assert_eq!(scene.front.offer(Attempt(1), Offer::connected(), scene.now), Err(TooLate));
    scene.front.released(scene.now).unwrap();
    scene.backend(State::INIT_WAIT);
    scene.wait(SECOND);
    assert_eq!(scene.told(), "=1 connect");
}
