//! Which structure belongs to which command, and what in it is input only.

use xen_hypercall::Arg;
use xen_hypercall::abi::console_io::Command as Console;
use xen_hypercall::abi::event_channel::{
    AllocUnbound, BindInterdomain, BindIpi, BindVcpu, BindVirq, Close, Command as EventChannel, ExpandArray,
    InitControl, Reset, Send, SetPriority, Status as ChannelStatus, Unmask,
};
use xen_hypercall::abi::grant_table::{
    Command as GrantTable, Copy, CopyFlags, DumpTable, GetStatusFrames, GetVersion, MapFlags, MapGrantRef, QuerySize,
    SetVersion, SetupTable, SwapGrantRef, UnmapGrantRef,
};
use xen_hypercall::abi::memory::{AddToPhysmap, Command as Memory, Domain, Reservation};
use xen_hypercall::abi::multicall::Entry;
use xen_hypercall::abi::sched::{Command as Sched, Poll, Shutdown};
use xen_hypercall::abi::vcpu::{Command as Vcpu, RegisterVcpuInfo, RunstateInfo, SetPeriodicTimer, SetSingleshotTimer};
use xen_hypercall::abi::version::{CapabilitiesInfo, Command as Version, ExtraVersion, FeatureInfo};
use xen_hypercall::abi::{DomId, Gfn, GrantRef, Number, Port, VcpuId, Virq};

use super::arguments::{Operand, Role};

macro_rules! operands {
    ($($number:ident $commands:ident { $($role:ident $type:ty => $($command:ident)|+ $(, |$value:ident, $junk:ident| $scribble:block)?;)* })*) => { $($(
        // SAFETY: the header has this structure for this command.
        unsafe impl Operand for $type {
            const NUMBER: Number = Number::$number;
            const COMMANDS: &'static [u32] = &[$($commands::$command.0),+];
            const ROLE: Role = Role::$role;
            $(
                fn scribble(&mut self, $junk: u64) {
                    let $value = self;
                    $scribble
                }
            )?
        }
    )*)* };
}

operands! {
    GRANT_TABLE_OP GrantTable {
        Both MapGrantRef => MAP_GRANT_REF, |map, junk| {
            map.host_addr = junk;
            map.flags = MapFlags::from_bits_retain(junk as u32);
            map.gref = GrantRef(junk as u32);
            map.dom = DomId(junk as u16);
        };
        Both UnmapGrantRef => UNMAP_GRANT_REF, |unmap, junk| {
            unmap.host_addr = junk;
            unmap.dev_bus_addr = !junk;
            unmap.handle.0 = junk as u32;
        };
        Both Copy => COPY, |copy, junk| {
            (copy.source.u, copy.dest.u) = (junk, !junk);
            (copy.source.domid, copy.dest.domid) = (DomId(junk as u16), DomId(!junk as u16));
            (copy.source.offset, copy.dest.offset) = (junk as u16, !junk as u16);
            copy.len = junk as u16;
            copy.flags = CopyFlags::from_bits_retain(junk as u16);
        };
        Both SetupTable => SETUP_TABLE, |setup, junk| {
            setup.dom = DomId(junk as u16);
            setup.nr_frames = junk as u32;
            setup.frame_list = std::ptr::without_provenance_mut(junk as usize);
        };
        Both QuerySize => QUERY_SIZE, |query, junk| { query.dom = DomId(junk as u16); };
        Both SetVersion => SET_VERSION;
        Both GetStatusFrames => GET_STATUS_FRAMES, |get, junk| {
            get.dom = DomId(junk as u16);
            get.nr_frames = junk as u32;
            get.frame_list = std::ptr::without_provenance_mut(junk as usize);
        };
        Both GetVersion => GET_VERSION, |get, junk| { get.dom = DomId(junk as u16); };
        Both DumpTable => DUMP_TABLE, |dump, junk| { dump.dom = DomId(junk as u16); };
        Both SwapGrantRef => SWAP_GRANT_REF, |swap, junk| {
            swap.ref_a = GrantRef(junk as u32);
            swap.ref_b = GrantRef(!junk as u32);
        };
    }
    EVENT_CHANNEL_OP EventChannel {
        Both AllocUnbound => ALLOC_UNBOUND, |alloc, junk| {
            alloc.dom = DomId(junk as u16);
            alloc.remote_dom = DomId(!junk as u16);
        };
        Both BindInterdomain => BIND_INTERDOMAIN, |bind, junk| {
            bind.remote_dom = DomId(junk as u16);
            bind.remote_port = Port(junk as u32);
        };
        Both BindVirq => BIND_VIRQ, |bind, junk| {
            bind.virq = Virq(junk as u32);
            bind.vcpu = VcpuId(!junk as u32);
        };
        Both BindIpi => BIND_IPI, |bind, junk| { bind.vcpu = VcpuId(junk as u32); };
        Both ChannelStatus => STATUS, |status, junk| {
            status.dom = DomId(junk as u16);
            status.port = Port(junk as u32);
        };
        Both InitControl => INIT_CONTROL, |init, junk| {
            init.control_gfn = Gfn(junk);
            init.offset = junk as u32;
            init.vcpu = VcpuId(!junk as u32);
        };
        Input Close => CLOSE;
        Input Send => SEND;
        Input BindVcpu => BIND_VCPU;
        Input Unmask => UNMASK;
        Input Reset => RESET;
        Input ExpandArray => EXPAND_ARRAY;
        Input SetPriority => SET_PRIORITY;
    }
    SCHED_OP Sched {
        Input Poll => POLL;
        Input Shutdown => SHUTDOWN;
    }
    VCPU_OP Vcpu {
        Input RegisterVcpuInfo => REGISTER_VCPU_INFO;
        Input SetSingleshotTimer => SET_SINGLESHOT_TIMER;
        Input SetPeriodicTimer => SET_PERIODIC_TIMER;
        Both RunstateInfo => GET_RUNSTATE_INFO;
    }
    XEN_VERSION Version {
        Both ExtraVersion => EXTRAVERSION | GUEST_HANDLE;
        Both CapabilitiesInfo => CAPABILITIES;
        Both FeatureInfo => GET_FEATURES, |info, junk| { info.submap_idx = junk as u32; };
    }
    MEMORY_OP Memory {
        Input AddToPhysmap => ADD_TO_PHYSMAP;
        Input Domain => CURRENT_RESERVATION | MAXIMUM_RESERVATION | MAXIMUM_GPFN;
        Input Reservation => INCREASE_RESERVATION | DECREASE_RESERVATION | POPULATE_PHYSMAP;
    }
}

// SAFETY: `CONSOLEIO_write` reads bytes, `CONSOLEIO_read` writes them.
unsafe impl Operand for u8 {
    const NUMBER: Number = Number::CONSOLE_IO;
    const COMMANDS: &'static [u32] = &[Console::WRITE.0, Console::READ.0];
    const ROLE: Role = Role::Input;
}

// SAFETY: the header has this structure for this call, whose first argument is its address.
unsafe impl Operand for Entry {
    const NUMBER: Number = Number::MULTICALL;
    const COMMANDS: &'static [u32] = &[];
    const ROLE: Role = Role::Both;

    fn scribble(&mut self, junk: u64) {
        self.op = junk;
        self.args = [Arg::value(junk as usize); _];
    }
}
