//! What a front half does whatever the others do.

use alloc::string::ToString;
use alloc::vec;
use alloc::vec::Vec;
use core::time::Duration;

use proptest::prelude::*;

use super::scene::{Driver, Scene};
use super::*;
use crate::bus::testing::{DEVICE, device, plugged};

/// Something that happens to a front half.
#[derive(Clone, Copy, Debug)]
enum Act {
    Backend(u32),
    Junk,
    Online(bool),
    Wait(u64),
    Silent(bool),
    Mute(bool),
    Stopped,
    Released,
    GiveUp,
    Retry,
    Rearm,
    Close,
    Unplug,
    NoBackend,
    Replace,
    Resume,
}

fn acts() -> impl Strategy<Value = Vec<Act>> {
    let act = prop_oneof![
        8 => (0_u32..9).prop_map(Act::Backend),
        1 => Just(Act::Junk),
        1 => any::<bool>().prop_map(Act::Online),
        4 => (0_u64..40_000).prop_map(Act::Wait),
        1 => any::<bool>().prop_map(Act::Silent),
        1 => any::<bool>().prop_map(Act::Mute),
        1 => Just(Act::Stopped),
        1 => Just(Act::Released),
        1 => Just(Act::GiveUp),
        1 => Just(Act::Retry),
        1 => Just(Act::Rearm),
    ];
    proptest::collection::vec(act, 0..60)
}

fn ends() -> impl Strategy<Value = Act> {
    prop_oneof![Just(Act::Close), Just(Act::Unplug), Just(Act::NoBackend), Just(Act::Replace), Just(Act::Resume)]
}

impl Scene {
    fn act(&mut self, act: Act) {
        match act {
            Act::Backend(state) => self.tree.set(&device().backend_key("state"), state.to_string()),
            Act::Junk => self.tree.set(&device().backend_key("state"), "junk"),
            Act::Online(online) => self.tree.set(&device().backend_key("online"), if online { "1" } else { "0" }),
            Act::Wait(millis) => drop(self.wait(Duration::from_millis(millis))),
            Act::Silent(silent) => self.tree.silent.set(silent),
            Act::Mute(mute) => self.driver = if mute { Driver::Mute } else { Driver::Net },
            Act::Stopped => drop(self.front.stopped(self.now)),
            Act::Released => drop(self.front.released(self.now)),
            Act::GiveUp => drop(self.front.give_up(self.attempt, "a test", self.now)),
            Act::Retry => self.front.retry(self.now),
            Act::Rearm => self.front.rearm(self.now),
            Act::Close => self.front.close(),
            Act::Unplug => self.tree.remove(DEVICE),
            Act::NoBackend => self.tree.remove("/local/domain/3/backend/vif/7/0"),
            Act::Replace => self.tree.set("device/vif/0/backend-id", "4"),
            Act::Resume => self.front.resumed(),
        }
        self.front.look_again();
        self.run();
    }
}

proptest! {
    /// However it began and whatever happened, it ends when it is told to, in time, and with everything given back.
    #[test]
    fn hc_159_every_life_ends(ours in 0_u32..9, theirs in 0_u32..9, disk: bool, acts in acts(), end in ends()) {
        let driver = if disk { Driver::Disk } else { Driver::Net };
        let mut scene = Scene::new(driver, State(ours), State(theirs));
        acts.into_iter().for_each(|act| scene.act(act));
        scene.tree.silent.set(false);
        scene.driver = driver;
        // What the driver was told while it was mute.
        let _ = scene.front.released(scene.now);
        scene.act(end);
        let limits = Limits::DEFAULT;
        let step = scene.wait(limits.stop + limits.close + Duration::from_secs(10));
        prop_assert!(matches!(step, Step::Ended(_)), "{step:?}");
        prop_assert!(!scene.holds);
        prop_assert_eq!(scene.front.next_deadline(), None);
    }

    /// Whatever the backend does, the work that it causes is bounded by time.
    #[test]
    fn hc_103_work_is_bounded_by_time(states in proptest::collection::vec((0_u32..9, 0_u64..30), 1..2000)) {
        let mut scene = Scene::fresh(Driver::Net);
        let start = scene.now;
        for (state, millis) in states {
            scene.backend(State(state));
            scene.now += Duration::from_millis(millis);
        }
        let passed = scene.now - start;
        let mut pauses = Backoff::new();
        let mut most = 1;
        let mut time = Duration::ZERO;
        while time < passed {
            time += pauses.next_pause();
            most += 1;
        }
        let told = scene.told();
        prop_assert!(told.matches("connect").count() <= most, "{told}");
        prop_assert!(scene.tree.writes.get() <= 5 * most, "{told}");
    }

    /// The device is replaced at any moment of any life: what stands there then is never written by the old generation.
    #[test]
    fn m14_what_replaced_a_device_is_not_written(acts in acts(), later in acts(), domain: bool) {
        let mut scene = Scene::fresh(Driver::Disk);
        scene.run();
        acts.into_iter().for_each(|act| scene.act(act));
        let new = plugged(State::RECONFIGURED, State::INIT_WAIT);
        if domain {
            // The same state as before, by chance.
            new.set(&device().key("state"), scene.ours());
            new.set("device/vif/0/backend-id", "4");
        }
        scene.tree = new;
        let before = scene.tree.get(&device().key("state"));
        later.into_iter().for_each(|act| scene.act(act));
        prop_assert_eq!((scene.tree.get(&device().key("state")), scene.tree.writes.get()), (before, 0));
    }
}
