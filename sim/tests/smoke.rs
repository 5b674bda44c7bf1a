//! The first steps.

use std::num::NonZeroUsize;

use xen_event_channel::Events;
use xen_hypercall::abi::grant_table::{GrantFlags, GrantRef, MapFlags, MapGrantRef, UnmapGrantRef};
use xen_hypercall::abi::{DomId, VcpuId};
use xen_hypercall::{Pages, event_channel, grant_table};
use xen_grant_table::{Memory, TableFrame};
use xen_sim::Machine;

#[test]
fn map_and_unmap() {
    let machine = Machine::new(1);
    let (front, back) = (machine.domain(), machine.domain());
    let table = front.map_table_frame(TableFrame::Shared, 0).unwrap().cast::<u16>();
    let page = front.alloc(NonZeroUsize::MIN).unwrap();
    let gfn = front.gfn(page);
    // SAFETY: an entry of the table.
    unsafe {
        table.add(4 * 8 + 1).write(back.id().0);
        table.add(4 * 8 + 2).cast::<u32>().write(gfn.0 as u32);
        table.add(4 * 8).write(GrantFlags::PERMIT_ACCESS.bits());
    }
    let at = back.reserve_foreign(NonZeroUsize::MIN).unwrap();
    let operation = MapGrantRef {
        host_addr: back.host_address(at),
        flags: MapFlags::HOST_MAP,
        gref: GrantRef(8),
        dom: front.id(),
        ..MapGrantRef::default()
    };
    let mapped = unsafe { grant_table::map_one(&back, operation) }.unwrap();
    assert_eq!(back.mapped(at), page);
    let unmap = UnmapGrantRef { host_addr: back.host_address(at), handle: mapped.handle, ..UnmapGrantRef::default() };
    unsafe { grant_table::unmap_one(&back, unmap) }.unwrap();
    machine.settle();
    unsafe {
        assert_eq!(table.add(4 * 8).read(), GrantFlags::PERMIT_ACCESS.bits());
        table.add(4 * 8).write(0);
        front.dealloc(page);
    }
}

#[test]
fn events_reach_the_other_side() {
    let machine = Machine::new(1);
    let (front, back) = (machine.domain(), machine.domain());
    let open = event_channel::alloc_unbound(&front, DomId::SELF, back.id()).unwrap();
    let theirs = event_channel::bind_interdomain(&back, front.id(), open).unwrap();
    event_channel::send(&back, theirs).unwrap();
    assert_eq!(front.vcpu(), VcpuId(0));
    assert_eq!(front.event_channels().ignored(), 1);
}
