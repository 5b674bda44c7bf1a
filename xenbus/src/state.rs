//! Device states as xenstore holds them.

use xen_hypercall::abi::io::xenbus::State;

/// The state that a node's value says. Whatever is not one of the nine, written in one digit, is [`State::UNKNOWN`].
pub(crate) fn parse(value: &[u8]) -> State {
    match value {
        [digit @ b'1'..=b'8'] => State(u32::from(digit - b'0')),
        _ => State::UNKNOWN,
    }
}
