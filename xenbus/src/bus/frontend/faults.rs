//! What a front half does when something fails: the faults of the catalogue.

use super::scene::{Driver, Scene};
use super::*;
use crate::bus::testing::{DEVICE, device};

const SECOND: Duration = Duration::from_secs(1);

#[test]
fn fault_01_a_backend_that_restarts_is_connected_to_again() {
    let mut scene = Scene::connected(Driver::Disk);
    scene.backend(State::CLOSING);
    assert_eq!(scene.told(), "stop:BackendCloses =6");
    scene.backend(State::CLOSED);
    assert_eq!(scene.told(), "release:Clean");
    scene.backend(State::INIT_WAIT);
    scene.wait(SECOND);
    assert_eq!(scene.told(), "=1 connect =3");
    scene.backend(State::CONNECTED);
    assert_eq!((scene.told().as_str(), scene.attempt), ("complete =4", Attempt(2)));
}

#[test]
fn fault_01_a_backend_that_is_closed_and_not_removed_is_shown_that_we_are_there() {
    let mut scene = Scene::connected(Driver::Disk);
    scene.backend(State::CLOSED);
    scene.wait(SECOND);
    assert_eq!(scene.told(), "stop:BackendCloses =6 release:Clean =1");
    scene.backend(State::INIT_WAIT);
    assert_eq!(scene.told(), "connect =3");
}

#[test]
fn fault_01_a_backend_that_restarts_without_closing_is_closed_and_connected_to_again() {
    for theirs in [State::INITIALISING, State::INIT_WAIT, State::INITIALISED] {
        let mut scene = Scene::connected(Driver::Net);
        scene.backend(theirs);
        assert_eq!(scene.told(), "stop:BackendRestarted =5", "{theirs:?}");
        scene.backend(State::CLOSING);
        scene.backend(State::CLOSED);
        scene.wait(SECOND);
        assert_eq!(scene.told(), "=6 release:Clean =1", "it waits for us to start");
        scene.backend(State::INIT_WAIT);
        assert_eq!(scene.told(), "connect =4");
    }
}

#[test]
fn fault_27_what_an_earlier_kernel_left_is_closed_first() {
    for ours in [State::INIT_WAIT, State::INITIALISED, State::CONNECTED, State::CLOSING, State::RECONFIGURING] {
        let mut scene = Scene::new(Driver::Net, ours, State::CONNECTED);
        scene.run();
        scene.backend(State::CLOSING);
        scene.backend(State::CLOSED);
        scene.wait(SECOND);
        scene.backend(State::INIT_WAIT);
        assert_eq!(scene.told(), "=5 =6 =1 connect =4", "{ours:?}");
    }
    let mut scene = Scene::new(Driver::Net, State::CLOSED, State::CLOSED);
    scene.wait(SECOND);
    assert_eq!(scene.told(), "=1");
}

#[test]
fn fault_05_forced_removal_ends_it() {
    let mut scene = Scene::connected(Driver::Disk);
    scene.tree.remove(DEVICE);
    scene.front.look_again();
    assert_eq!(scene.run(), Step::Ended(End::Vanished(Vanished::Unplugged)));
    assert!(scene.tree.get(&device().key("state")).is_none(), "nothing was made anew");
}

#[test]
fn fault_04_a_driver_that_hangs_does_not_keep_the_device() {
    let mut scene = Scene::connected(Driver::Disk);
    scene.driver = Driver::Mute;
    scene.backend(State::CLOSING);
    scene.wait(Limits::DEFAULT.stop);
    scene.backend(State::CLOSED);
    assert_eq!(scene.told(), "stop:BackendCloses trouble:DriverTimeout =6 release:Clean");
    assert!(Limits::DEFAULT.stop + Limits::DEFAULT.close < SECOND * 10);
}

#[test]
fn fault_11_a_store_that_is_silent_costs_retries_and_no_connection() {
    let mut scene = Scene::connected(Driver::Disk);
    scene.tree.silent.set(true);
    scene.front.look_again();
    scene.tree.reads.set(0);
    scene.wait(SECOND * 100);
    assert!(scene.front.is_connected());
    assert!(scene.tree.reads.get() < 30, "{}", scene.tree.reads.get());
    scene.tree.silent.set(false);
    scene.wait(SECOND * 10);
    assert_eq!(scene.told(), "review");
}

#[test]
fn fault_11_closing_without_a_store_ends_in_time() {
    let mut scene = Scene::connected(Driver::Disk);
    scene.tree.silent.set(true);
    scene.front.close();
    scene.run();
    assert_eq!(scene.wait(SECOND * 10), Step::Ended(End::Closed));
    assert!(scene.told().ends_with("release:Forced"));
}

#[test]
fn fault_11_a_write_whose_answer_was_lost_is_not_taken_for_somebody_elses() {
    let mut scene = Scene::fresh(Driver::Mute);
    scene.run();
    scene.front.offer(Attempt(1), Offer::initialised(), scene.now).unwrap();
    let Step::Write(switch) = scene.front.poll(scene.now) else { panic!("nothing to write") };
    switch.apply(&scene.tree).unwrap();
    scene.front.wrote(Written::Unanswered, scene.now);
    scene.backend(State::CONNECTED);
    assert_eq!(scene.told(), "connect complete");
    // And where another write takes its place, the one in doubt is still ours.
    let mut scene = Scene::fresh(Driver::Mute);
    scene.run();
    scene.front.offer(Attempt(1), Offer::initialised(), scene.now).unwrap();
    let Step::Write(switch) = scene.front.poll(scene.now) else { panic!("nothing to write") };
    switch.apply(&scene.tree).unwrap();
    scene.front.wrote(Written::Unanswered, scene.now);
    scene.front.close();
    scene.wait(SECOND);
    assert_eq!(scene.told(), "connect =5");
}

#[test]
fn fault_11_an_offer_that_may_have_been_made_is_taken_back_by_a_handshake() {
    let mut scene = Scene::fresh(Driver::Mute);
    scene.run();
    scene.front.offer(Attempt(1), Offer::initialised(), scene.now).unwrap();
    assert!(matches!(scene.front.poll(scene.now), Step::Write(_)));
    scene.front.wrote(Written::Unanswered, scene.now);
    scene.backend(State::INITIALISING);
    scene.wait(SECOND / 10);
    assert_eq!(scene.told(), "connect =5", "nothing is released that the backend may have");
}

#[test]
fn fault_01_a_backend_that_restarts_before_we_are_ready_is_closed() {
    for theirs in [State::INITIALISING, State::INIT_WAIT, State::INITIALISED] {
        let mut scene = Scene::fresh(Driver::Mute);
        scene.run();
        scene.front.offer(Attempt(1), Offer::initialised(), scene.now).unwrap();
        scene.run();
        scene.backend(State::CONNECTED);
        scene.backend(theirs);
        assert_eq!(scene.told(), "connect =3 complete =5", "{theirs:?}");
        assert_eq!(scene.front.ready(Attempt(1), scene.now), Err(TooLate));
    }
}

#[test]
fn fault_29_a_store_that_refuses_our_keys_closes_the_device() {
    let mut scene = Scene::fresh(Driver::Mute);
    scene.run();
    scene.front.offer(Attempt(1), Offer::initialised(), scene.now).unwrap();
    assert!(matches!(scene.front.poll(scene.now), Step::Write(_)));
    scene.front.wrote(Written::Refused("ENOSPC".into()), scene.now);
    scene.wait(SECOND);
    assert_eq!(scene.told(), "connect trouble:Store =5");
}

#[test]
fn fault_26_a_backend_that_dies_while_it_is_reconnected_to() {
    let mut scene = Scene::connected(Driver::Disk);
    scene.backend(State::CLOSED);
    scene.backend(State::INIT_WAIT);
    scene.wait(SECOND);
    scene.log.clear();
    scene.backend(State::CLOSED);
    assert_eq!(scene.told(), "=6 release:Clean");
    scene.wait(SECOND);
    scene.backend(State::INIT_WAIT);
    scene.wait(SECOND);
    scene.backend(State::CONNECTED);
    assert!(scene.front.is_connected());
}
