//! `xen_version` and `console_io`.

use xen_hypercall::Errno;
use xen_hypercall::abi::console_io;
use xen_hypercall::abi::frame::PAGE_SIZE;
use xen_hypercall::abi::version::{CapabilitiesInfo, Command, ExtraVersion, FeatureInfo};

use super::{Answer, Call, Caller};
use crate::state::State;

/// The version that is told: the interface of Xen 4.17.
const VERSION: usize = 4 << 16 | 17;

/// The kinds of guests that are told.
const CAPABILITIES: &str = if cfg!(target_arch = "x86_64") { "xen-3.0-x86_64" } else { "xen-3.0-aarch64" };

impl State {
    pub(super) fn xen_version(&mut self, call: &Call) -> Answer {
        match Command(call.command()) {
            Command::VERSION => Ok(VERSION),
            Command::PAGESIZE => Ok(PAGE_SIZE),
            Command::EXTRAVERSION => {
                let operand = call.operand::<ExtraVersion>(1)?;
                self.give_back(&operand, 0, text(".0-sim"));
                Ok(0)
            }
            Command::GUEST_HANDLE => {
                let operand = call.operand::<ExtraVersion>(1)?;
                self.give_back(&operand, 0, [0; 16]);
                Ok(0)
            }
            Command::CAPABILITIES => {
                let operand = call.operand::<CapabilitiesInfo>(1)?;
                self.give_back(&operand, 0, text(CAPABILITIES));
                Ok(0)
            }
            Command::GET_FEATURES => {
                let operand = call.operand::<FeatureInfo>(1)?;
                let info = operand.get(0);
                if info.submap_idx != 0 {
                    return Err(Errno::INVAL);
                }
                self.give_back(&operand, 0, FeatureInfo { submap: 0, ..info });
                Ok(0)
            }
            Command::BUILD_ID => Err(Errno::NODATA),
            _ => Err(Errno::NOSYS),
        }
    }

    pub(super) fn console_io(&mut self, caller: Caller, call: &Call) -> Answer {
        let count = call.value(1);
        let console = &mut self.dom_mut(caller.domain).console;
        match console_io::Command(call.command()) {
            console_io::Command::WRITE => {
                console.output.extend(call.operands::<u8>(2, count)?.iter());
                Ok(0)
            }
            console_io::Command::READ => {
                let buffer = call.operands::<u8>(2, count)?;
                let taken = console.input.len().min(count);
                for (index, byte) in console.input.drain(..taken).enumerate() {
                    buffer.put(index, byte);
                }
                Ok(taken)
            }
            _ => Err(Errno::NOSYS),
        }
    }
}

fn text<const N: usize>(text: &str) -> [u8; N] {
    let mut bytes = [0; N];
    bytes[..text.len()].copy_from_slice(text.as_bytes());
    bytes
}
