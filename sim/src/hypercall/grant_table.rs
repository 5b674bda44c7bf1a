//! `grant_table_op`.

use xen_hypercall::Errno;
use xen_hypercall::abi::Gfn;
use xen_hypercall::abi::grant_table::{
    Command, Copy, DumpTable, GetStatusFrames, GetVersion, Handle, MapGrantRef, QuerySize, SetVersion, SetupTable,
    Status, SwapGrantRef, UnmapGrantRef,
};

use super::arguments::{Operand, Operands};
use super::{Answer, Call, Caller};
use crate::state::State;

/// An element with a status.
trait Element: Operand {
    fn put_status(&mut self, status: Status);
}

macro_rules! elements {
    ($($element:ty)*) => { $(
        impl Element for $element {
            fn put_status(&mut self, status: Status) {
                self.status = status;
            }
        }
    )* };
}

elements! { Copy GetStatusFrames MapGrantRef QuerySize SetupTable SwapGrantRef UnmapGrantRef DumpTable }

impl State {
    pub(super) fn grant_table_op(&mut self, caller: Caller, call: &Call) -> Answer {
        let command = Command(call.command());
        if i32::try_from(call.value(2)).is_err() {
            return Err(Errno::INVAL);
        }
        match command {
            Command::MAP_GRANT_REF => self.elements(caller, call, Self::map_element),
            Command::UNMAP_GRANT_REF => self
                .elements(caller, call, |state, caller, unmap: &mut UnmapGrantRef| state.unmap(caller.domain, unmap)),
            Command::COPY => {
                self.elements(caller, call, |state, caller, copy: &mut Copy| state.copy(caller.domain, copy))
            }
            Command::SETUP_TABLE => self.elements(caller, call, Self::setup_table),
            Command::QUERY_SIZE => self.elements(caller, call, Self::query_size),
            Command::GET_STATUS_FRAMES => self.elements(caller, call, Self::get_status_frames),
            Command::SWAP_GRANT_REF => self.elements(caller, call, Self::swap_grant_ref),
            Command::DUMP_TABLE => self.elements(caller, call, Self::dump_table),
            Command::SET_VERSION => self.set_version(caller, call),
            Command::GET_VERSION => self.get_version(caller, call),
            _ => Err(Errno::NOSYS),
        }
    }

    /// Carries a batch out; each element has a status of its own, and faults strike elements too.
    fn elements<T: Element>(
        &mut self,
        caller: Caller,
        call: &Call,
        each: impl Fn(&mut Self, Caller, &mut T) -> Result<(), Status>,
    ) -> Answer {
        let operands = call.operands::<T>(1, call.value(2))?;
        for index in 0..operands.len() {
            let mut element = operands.get(index);
            let status = match self.faults.of_element(Command(call.command()), caller.domain) {
                Some(status) => {
                    self.note(caller.domain, format!("element {index} fails by a fault: {status}"));
                    Err(status)
                }
                None => each(self, caller, &mut element),
            };
            element.put_status(status.err().unwrap_or(Status::OKAY));
            self.give_back(&operands, index, element);
        }
        Ok(0)
    }

    fn map_element(&mut self, caller: Caller, map: &mut MapGrantRef) -> Result<(), Status> {
        map.handle = Handle(u32::MAX);
        let (handle, address) = self.map(caller.domain, map)?;
        (map.handle, map.dev_bus_addr) = (handle, address);
        Ok(())
    }

    fn setup_table(&mut self, caller: Caller, setup: &mut SetupTable) -> Result<(), Status> {
        let domain = self.own_table(caller, setup.dom)?;
        self.grow_table(domain, setup.nr_frames)?;
        let frames = self.dom(domain).table.frames().iter().map(|entry| entry.gfn);
        write_frames(setup.frame_list, frames.take(setup.nr_frames as usize))
    }

    fn get_status_frames(&mut self, caller: Caller, get: &mut GetStatusFrames) -> Result<(), Status> {
        let domain = self.own_table(caller, get.dom)?;
        let frames = self.dom(domain).table.status_frames();
        if frames.is_empty() || get.nr_frames as usize > frames.len() {
            return Err(Status::GENERAL_ERROR);
        }
        write_frames(get.frame_list, frames.iter().map(|entry| entry.gfn).take(get.nr_frames as usize))
    }

    fn query_size(&mut self, caller: Caller, query: &mut QuerySize) -> Result<(), Status> {
        let domain = self.own_table(caller, query.dom)?;
        let table = &self.dom(domain).table;
        query.nr_frames = table.frames().len() as u32;
        query.max_nr_frames = table.max_frames;
        Ok(())
    }

    fn swap_grant_ref(&mut self, caller: Caller, swap: &mut SwapGrantRef) -> Result<(), Status> {
        self.swap_entries(caller.domain, swap.ref_a, swap.ref_b)
    }

    fn dump_table(&mut self, caller: Caller, dump: &mut DumpTable) -> Result<(), Status> {
        self.own_table(caller, dump.dom).map(drop)
    }

    fn set_version(&mut self, caller: Caller, call: &Call) -> Answer {
        let operand = call.operand::<SetVersion>(1)?;
        let mut set = operand.get(0);
        let done = self.set_table_version(caller.domain, set.version);
        set.version = self.dom(caller.domain).table.version();
        self.give_back(&operand, 0, set);
        done.map(|()| 0)
    }

    fn get_version(&mut self, caller: Caller, call: &Call) -> Answer {
        let operand = call.operand::<GetVersion>(1)?;
        let mut get = operand.get(0);
        let domain = self.resolve_self(caller.domain, get.dom)?;
        get.version = self.dom(domain).table.version();
        self.give_back(&operand, 0, get);
        Ok(0)
    }

    /// The domain, where it is the caller, for others' tables are not its to see.
    fn own_table(&self, caller: Caller, who: xen_hypercall::abi::DomId) -> Result<xen_hypercall::abi::DomId, Status> {
        let domain = self.resolve(caller.domain, who).map_err(|_| Status::BAD_DOMAIN)?;
        if domain == caller.domain { Ok(domain) } else { Err(Status::PERMISSION_DENIED) }
    }
}

fn write_frames(list: *mut Gfn, frames: impl Iterator<Item = Gfn>) -> Result<(), Status> {
    let frames: Vec<Gfn> = frames.collect();
    // SAFETY: the list has room for `nr_frames`, as the call's contract says, and these are not more.
    let places = unsafe { Operands::nested(list, frames.len()) }.map_err(|_| Status::GENERAL_ERROR)?;
    for (index, frame) in frames.into_iter().enumerate() {
        places.put(index, frame);
    }
    Ok(())
}
