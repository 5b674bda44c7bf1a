//! What each pair of states means for a front half.

use xen_hypercall::abi::io::xenbus::State;

/// What a front half does about a pair of states, its own and its backend's.
///
/// Nothing is done twice: a front half that is closing already takes [`Close`](Self::Close) as said.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Reaction {
    /// Nothing. The backend has no business to be there, and it does not matter.
    Ignore,
    /// Nothing. It is the backend's turn, for as long as the limits allow.
    Wait,
    /// Read what the backend offers, and make an offer.
    Negotiate,
    /// The backend is connected: finish the connection, if that is not done.
    Complete,
    /// Wait, if the backend never was connected since our offer; it has restarted if it was, so close.
    WaitOrClose,
    /// End the connection, or what is left of one: stop, then [`CLOSING`](State::CLOSING), unless the backend is there already, and
    /// [`CLOSED`](State::CLOSED).
    Close,
    /// The backend is closing as well: write [`CLOSED`](State::CLOSED).
    Finish,
    /// Both are closed: give back what the connection used.
    Release,
    /// The backend can be connected to: give back what the last connection used, then write
    /// [`INITIALISING`](State::INITIALISING).
    Reopen,
}

/// Reads a state, strictly: one digit from 0 to 8. Everything else, such as `9`, `-1`, `04`, `4x`, no bytes at all or 4294967300,
/// is [`State::UNKNOWN`], as the number 0 is.
///
/// ```
/// use xen_xenbus::bus::{State, parse_state};
/// assert_eq!(parse_state(b"4"), State::CONNECTED);
/// assert_eq!(parse_state(b"4 "), State::UNKNOWN);
/// ```
#[must_use]
pub fn parse_state(value: &[u8]) -> State {
    match value {
        [digit @ b'1'..=b'8'] => State(u32::from(digit - b'0')),
        _ => State::UNKNOWN,
    }
}

/// What a front half does that stands at `ours` and sees its backend at `theirs`.
///
/// A backend that is gone does not get here: its directory is missing, which is told by [`Sight`](super::Sight).
///
/// `enum xenbus_state`, public/io/xenbus.h
#[must_use]
pub const fn reaction(ours: State, theirs: State) -> Reaction {
    match ours {
        State::UNKNOWN => from_unknown(theirs),
        State::INITIALISING => from_initialising(theirs),
        State::INITIALISED => from_initialised(theirs),
        State::CONNECTED => from_connected(theirs),
        State::CLOSING => from_closing(theirs),
        State::CLOSED => from_closed(theirs),
        // INIT_WAIT, RECONFIGURING, RECONFIGURED, and numbers that are no states.
        _ => from_what_we_never_are(theirs),
    }
}

/// Our state is missing or makes no sense: an earlier kernel, or the tools, left it so.
const fn from_unknown(theirs: State) -> Reaction {
    match theirs {
        // It is starting, or can start: so do we.
        State::INITIALISING | State::INIT_WAIT | State::INITIALISED | State::CLOSED => Reaction::Reopen,
        // It still serves somebody who is no more, or is about to stop.
        State::CONNECTED | State::CLOSING | State::RECONFIGURING | State::RECONFIGURED => Reaction::Close,
        // Nobody says anything.
        _ => Reaction::Ignore,
    }
}

/// We have started, and have offered nothing.
const fn from_initialising(theirs: State) -> Reaction {
    match theirs {
        // It is starting as well.
        State::INITIALISING => Reaction::Wait,
        // What it offers is complete.
        State::INIT_WAIT => Reaction::Negotiate,
        // It waits for something, and did not say that its offer is complete.
        State::INITIALISED => Reaction::Wait,
        // To whom? To a kernel that ran here before this one.
        State::CONNECTED => Reaction::Close,
        // It goes before we connected, and waits for us to agree.
        State::CLOSING => Reaction::Close,
        // It has not started yet, or starts when it notices us.
        State::CLOSED => Reaction::Wait,
        // There is nothing to reconfigure.
        State::RECONFIGURING | State::RECONFIGURED => Reaction::Ignore,
        // Not a state.
        _ => Reaction::Ignore,
    }
}

/// We made an offer, and need the backend's agreement.
const fn from_initialised(theirs: State) -> Reaction {
    match theirs {
        // It restarted: what we offered was for the one before.
        State::INITIALISING => Reaction::Close,
        // It has not seen the offer.
        State::INIT_WAIT => Reaction::Wait,
        // It is looking at the offer.
        State::INITIALISED => Reaction::Wait,
        // It agreed.
        State::CONNECTED => Reaction::Complete,
        // It did not agree, or goes.
        State::CLOSING => Reaction::Close,
        // The same, and we missed the state before.
        State::CLOSED => Reaction::Close,
        // There is nothing to reconfigure.
        State::RECONFIGURING | State::RECONFIGURED => Reaction::Ignore,
        // Not a state.
        _ => Reaction::Ignore,
    }
}

/// We are connected, or have made an offer that needs no more than the backend's agreement.
const fn from_connected(theirs: State) -> Reaction {
    match theirs {
        // It restarted.
        State::INITIALISING => Reaction::Close,
        // It has not seen the offer, or it restarted.
        State::INIT_WAIT => Reaction::WaitOrClose,
        // It is looking at the offer, or it restarted.
        State::INITIALISED => Reaction::WaitOrClose,
        // It agreed. It may say so again, when what it offers changed: the size of a disk, for instance.
        State::CONNECTED => Reaction::Complete,
        // It goes.
        State::CLOSING => Reaction::Close,
        // It went, and we missed the state before.
        State::CLOSED => Reaction::Close,
        // Not with us.
        State::RECONFIGURING | State::RECONFIGURED => Reaction::Ignore,
        // Not a state; the connection is none the worse for it.
        _ => Reaction::Ignore,
    }
}

/// We want to close, and have stopped.
const fn from_closing(theirs: State) -> Reaction {
    match theirs {
        // It restarted, but whether that was before it let go of our pages is not known: it is to say so.
        State::INITIALISING | State::INIT_WAIT | State::INITIALISED => Reaction::Wait,
        // It has not noticed.
        State::CONNECTED => Reaction::Wait,
        // It agrees.
        State::CLOSING => Reaction::Finish,
        // It is ahead of us.
        State::CLOSED => Reaction::Finish,
        // It has not noticed.
        State::RECONFIGURING | State::RECONFIGURED => Reaction::Wait,
        // Not a state.
        _ => Reaction::Ignore,
    }
}

/// We are closed.
const fn from_closed(theirs: State) -> Reaction {
    match theirs {
        // It starts again.
        State::INITIALISING => Reaction::Reopen,
        // It has started again, and waits for us.
        State::INIT_WAIT => Reaction::Reopen,
        // It waits for something else.
        State::INITIALISED => Reaction::Wait,
        // It has not noticed.
        State::CONNECTED => Reaction::Wait,
        // It lets go of our pages.
        State::CLOSING => Reaction::Wait,
        // It has let go of them.
        State::CLOSED => Reaction::Release,
        // It has not noticed.
        State::RECONFIGURING | State::RECONFIGURED => Reaction::Wait,
        // Not a state.
        _ => Reaction::Ignore,
    }
}

/// We are where this front half never goes: an earlier kernel did. Whatever its backend thinks of it, it ends here.
const fn from_what_we_never_are(theirs: State) -> Reaction {
    match theirs {
        State::UNKNOWN => Reaction::Ignore,
        _ => Reaction::Close,
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    /// A row for each of our states, a column for each of theirs.
    ///
    /// `-` ignore, `w` wait, `n` negotiate, `c` complete, `?` wait or close, `x` close, `f` finish, `r` release, `o` reopen.
    const TABLE: [&str; 9] = [
        "-oooxxoxx", // unknown
        "-wnwxxw--", // initialising
        "-xxxxxxxx", // init-wait
        "-xwwcxx--", // initialised
        "-x??cxx--", // connected
        "-wwwwffww", // closing
        "-oowwwrww", // closed
        "-xxxxxxxx", // reconfiguring
        "-xxxxxxxx", // reconfigured
    ];

    const fn letter(reaction: Reaction) -> u8 {
        match reaction {
            Reaction::Ignore => b'-',
            Reaction::Wait => b'w',
            Reaction::Negotiate => b'n',
            Reaction::Complete => b'c',
            Reaction::WaitOrClose => b'?',
            Reaction::Close => b'x',
            Reaction::Finish => b'f',
            Reaction::Release => b'r',
            Reaction::Reopen => b'o',
        }
    }

    #[test]
    fn hc_100_every_pair_of_states_has_its_reaction() {
        for (ours, row) in (0..9).map(State).zip(TABLE) {
            for (theirs, expected) in (0..9).map(State).zip(row.bytes()) {
                let reaction = reaction(ours, theirs);
                assert_eq!(letter(reaction), expected, "{ours:?}, {theirs:?}: {reaction:?}");
            }
        }
    }

    #[test]
    fn hc_100_connected_before_init_wait_closes_and_init_wait_again_does_not_negotiate() {
        assert_eq!(reaction(State::INITIALISING, State::CONNECTED), Reaction::Close);
        assert_eq!(reaction(State::CONNECTED, State::INIT_WAIT), Reaction::WaitOrClose);
    }

    #[test]
    fn hc_101_what_is_no_state_is_unknown() {
        for (digit, state) in (b'0'..=b'8').zip((0..9).map(State)) {
            assert_eq!(parse_state(&[digit]), state);
        }
        let values = ["9", "255", "-1", "4x", "", "4294967300", "04", "+4", " 4", "4 ", "4\0", "\x04", "four", "0x4"];
        for value in values {
            assert_eq!(parse_state(value.as_bytes()), State::UNKNOWN, "{value:?}");
        }
    }

    #[test]
    fn hc_102_closed_without_closing_is_closing() {
        for ours in [State::INITIALISED, State::CONNECTED] {
            assert_eq!(reaction(ours, State::CLOSED), reaction(ours, State::CLOSING));
        }
    }

    #[test]
    fn hc_106_unsolicited_reconfiguring_is_ignored() {
        for ours in [State::INITIALISING, State::INITIALISED, State::CONNECTED] {
            for theirs in [State::RECONFIGURING, State::RECONFIGURED] {
                assert_eq!(reaction(ours, theirs), Reaction::Ignore);
            }
        }
    }

    proptest! {
        #[test]
        fn hc_101_any_number_in_place_of_a_state_has_a_reaction(ours: u32, theirs: u32) {
            let _ = reaction(State(ours), State(theirs));
        }

        #[test]
        fn hc_101_only_nine_values_are_states(value: alloc::vec::Vec<u8>) {
            let one_digit = value.len() == 1 && (b'1'..=b'8').contains(&value[0]);
            prop_assert_eq!(parse_state(&value) != State::UNKNOWN, one_digit);
        }
    }
}
