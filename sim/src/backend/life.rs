//! The device's life in xenstore, as Linux's backends have it.

use xen_hypercall::abi::io::xenbus::State;

use super::control::{Restart, Wish};
use super::half::Seen;
use super::{Backend, Fate, Freshness};

/// Looks at the states, and does what they ask for; says whether anything was done.
pub(super) fn follow<B: Backend>(back: &mut B) -> bool {
    if !back.half().take_changed() {
        return false;
    }
    let seen = back.half().look();
    if !seen.exists {
        leave(back, State::UNKNOWN);
    } else if seen.own == State::INITIALISING {
        leave(back, State::UNKNOWN);
        probe(back);
    } else {
        follow_front(back, &seen);
    }
    true
}

fn follow_front<B: Backend>(back: &mut B, seen: &Seen) {
    let fresh = std::mem::replace(&mut back.half_mut().front_state, seen.front) != seen.front;
    back.notice(seen.front, if fresh { Freshness::Fresh } else { Freshness::Stale });
    match (seen.front, back.half().state) {
        // Somebody else's device until now: that backend is gone.
        (_, State::UNKNOWN) => back.half_mut().set_state(State::CLOSED),
        (State::INITIALISING, State::CLOSED) => probe(back),
        (ready, State::INIT_WAIT) if B::READY.contains(&ready) => connect(back),
        (State::CLOSING, State::INIT_WAIT | State::CONNECTED) if fresh => back.half_mut().set_state(State::CLOSING),
        (State::CLOSED | State::UNKNOWN, State::CLOSED) if !seen.online => remove(back),
        (State::CLOSED | State::UNKNOWN, State::INIT_WAIT) if !fresh => {}
        (State::CLOSED | State::UNKNOWN, State::INIT_WAIT | State::CONNECTED | State::CLOSING) => {
            close_down(back, seen.online);
        }
        _ => {}
    }
}

/// The front has closed.
fn close_down<B: Backend>(back: &mut B, online: bool) {
    back.disconnect(Fate::Chance);
    back.half_mut().set_state(State::CLOSED);
    if std::mem::take(&mut back.half_mut().restarts) && online {
        // What the front has written was for the one before.
        let front = back.half().front_state;
        probe(back);
        back.half_mut().front_state = front;
    }
}

/// The device is new: what can be had is written, and a front waited for.
pub(super) fn probe<B: Backend>(back: &mut B) {
    let keys = back.probe();
    let half = back.half_mut();
    half.write_keys(keys, Some(State::INIT_WAIT));
    (half.state, half.front_state) = (State::INIT_WAIT, State::UNKNOWN);
    half.touch();
}

/// The front is ready.
fn connect<B: Backend>(back: &mut B) {
    back.disconnect(Fate::Chance);
    match back.connect() {
        Ok(keys) => {
            let half = back.half_mut();
            half.write_keys(keys, Some(State::CONNECTED));
            half.state = State::CONNECTED;
        }
        Err(error) => {
            back.disconnect(Fate::Lost);
            back.half_mut().fail(&error);
        }
    }
}

/// Nothing is left of the device.
pub(super) fn leave<B: Backend>(back: &mut B, state: State) {
    back.disconnect(Fate::Lost);
    let half = back.half_mut();
    (half.state, half.front_state, half.restarts) = (state, State::UNKNOWN, false);
}

/// The device was unplugged and both halves have closed: the toolstack's part.
fn remove<B: Backend>(back: &mut B) {
    leave(back, State::UNKNOWN);
    let half = back.half();
    half.xenstore().remove_device(&half.device);
}

/// Does one thing that a test wants done; says whether there was one.
pub(super) fn fulfil<B: Backend>(back: &mut B) -> bool {
    let Some(wish) = back.half().control.next_wish() else { return false };
    match wish {
        Wish::Restart(Restart::Orderly) => {
            back.half_mut().restarts = true;
            back.half_mut().set_state(State::CLOSING);
        }
        Wish::Restart(Restart::Abrupt) => {
            back.disconnect(Fate::Chance);
            back.half_mut().set_state(State::CLOSED);
        }
        Wish::Close => back.half_mut().set_state(State::CLOSING),
        Wish::Keys => back.half().rewrite_keys(),
        Wish::GoOn => back.go_on(),
        Wish::Storm(events) => back.storm(events),
        Wish::State(state) => back.half().write_state(state),
        Wish::Toggle(times) => toggle(back, times),
        Wish::Update => back.update(),
        Wish::LetGo => back.let_go(),
        Wish::Own(wish) => back.fulfil(wish),
    }
    true
}

fn toggle<B: Backend>(back: &B, times: u32) {
    let half = back.half();
    for _ in 0..times {
        [State::CLOSING, half.state].into_iter().for_each(|state| half.write_state(state));
    }
}
