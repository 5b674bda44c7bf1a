//! Grants: what works, and what Xen answers to each misuse.

#[path = "it/common/mod.rs"]
mod common;

use std::num::NonZeroUsize;
use std::sync::atomic::Ordering::Relaxed;

use common::{Table, copy, free, granted, map, page, pair, unmap, word};
use xen_grant_table::{Memory, TableFrame};
use xen_hypercall::abi::grant_table::{CopyFlags, CopyPtr, GrantFlags, GrantRef, MapFlags, MapGrantRef, Status};
use xen_hypercall::abi::{DomId, Gfn};
use xen_hypercall::grant_table::{self, Error, Version};
use xen_hypercall::{Errno, Pages};
use xen_sim::{Leniency, Machine};

const NONE: GrantFlags = GrantFlags::empty();
const HOST: MapFlags = MapFlags::HOST_MAP;
const READ: MapFlags = MapFlags::HOST_MAP.union(MapFlags::READONLY);

#[test]
fn a_mapped_page_is_the_same_memory() {
    let machine = Machine::new(1);
    let (front, back) = pair(&machine);
    let (page, table, gref) = granted(&front, &back, NONE);
    let mapped = map(&back, front.id(), gref, HOST).unwrap();
    word(back.mapped(mapped.at), 64).store(7, Relaxed);
    assert_eq!(word(page, 64).load(Relaxed), 7);
    assert_eq!(table.flags(gref), GrantFlags::PERMIT_ACCESS | GrantFlags::READING | GrantFlags::WRITING);
    unmap(&back, mapped).unwrap();
    machine.settle();
    assert_eq!(table.flags(gref), GrantFlags::PERMIT_ACCESS);
    table.clear(gref);
    free(&front, page);
    machine.assert_no_leaks();
}

#[test]
fn bits_are_cleared_by_the_last_use() {
    let machine = Machine::builder(1).allow(Leniency::PromptUnmap).build();
    let (front, back) = pair(&machine);
    let (_, table, gref) = granted(&front, &back, NONE);
    let writer = map(&back, front.id(), gref, HOST).unwrap();
    let reader = map(&back, front.id(), gref, READ).unwrap();
    unmap(&back, writer).unwrap();
    assert_eq!(table.flags(gref), GrantFlags::PERMIT_ACCESS | GrantFlags::READING);
    unmap(&back, reader).unwrap();
    assert_eq!(table.flags(gref), GrantFlags::PERMIT_ACCESS);
}

#[test]
fn a_map_is_refused_as_xen_does() {
    let machine = Machine::new(1);
    let (front, back) = pair(&machine);
    let (_, table, gref) = granted(&front, &back, GrantFlags::READONLY);
    let other = table.grant(9, DomId(77), Gfn(1), NONE);
    let foreign = table.grant(10, back.id(), back.gfn(page(&back)), NONE);
    let nowhere = table.grant(11, back.id(), Gfn(3), NONE);
    let refused = |owner, gref, flags| map(&back, owner, gref, flags).unwrap_err();
    assert_eq!(refused(DomId::SELF, gref, READ), Status::BAD_DOMAIN);
    assert_eq!(refused(DomId(99), gref, READ), Status::BAD_DOMAIN);
    assert_eq!(refused(front.id(), GrantRef(512), READ), Status::BAD_GNTREF);
    assert_eq!(refused(front.id(), gref, MapFlags::READONLY), Status::BAD_GNTREF);
    assert_eq!(refused(front.id(), gref, HOST), Status::GENERAL_ERROR, "writable, of a read-only grant");
    assert_eq!(refused(front.id(), GrantRef(20), READ), Status::GENERAL_ERROR, "an empty entry");
    assert_eq!(refused(front.id(), other, READ), Status::GENERAL_ERROR, "another domain's grant");
    assert_eq!(refused(front.id(), foreign, READ), Status::BAD_PAGE, "a page that is not the granter's");
    assert_eq!(refused(front.id(), nowhere, READ), Status::BAD_PAGE);
    assert_eq!(table.flags(foreign), GrantFlags::PERMIT_ACCESS, "a failed map leaves no bits behind");
}

#[test]
fn addresses_and_handles_are_checked() {
    let machine = Machine::new(1);
    let (front, back) = pair(&machine);
    let (_, _, gref) = granted(&front, &back, NONE);
    let mapped = map(&back, front.id(), gref, HOST).unwrap();
    let again = MapGrantRef { host_addr: mapped.address, flags: HOST, gref, dom: front.id(), ..MapGrantRef::default() };
    // SAFETY: it is refused.
    let twice = unsafe { grant_table::map_one(&back, again) };
    assert_eq!(twice, Err(Error::Status(Status::BAD_VIRT_ADDR)));
    let elsewhere = common::Mapped { address: mapped.address + 4096, ..mapped };
    assert_eq!(unmap(&back, elsewhere), Err(Status::GENERAL_ERROR));
    assert_eq!(unmap(&front, mapped), Err(Status::BAD_HANDLE), "handles are the mapper's");
    assert_eq!(unmap(&back, mapped), Ok(()));
    assert_eq!(unmap(&back, mapped), Err(Status::BAD_HANDLE));
}

#[test]
fn copies_go_both_ways() {
    let machine = Machine::new(1);
    let (front, back) = pair(&machine);
    let (theirs, table, gref) = granted(&front, &back, NONE);
    let own = page(&back);
    word(theirs, 8).store(0x1234, Relaxed);
    let grant = |offset| CopyPtr::grant(front.id(), gref, offset);
    copy(&back, grant(8), CopyPtr::own(back.gfn(own), 100), 4, CopyFlags::SOURCE_GREF).unwrap();
    assert_eq!(word(own, 100).load(Relaxed), 0x1234);
    copy(&back, CopyPtr::own(back.gfn(own), 96), grant(4092), 4, CopyFlags::DEST_GREF).unwrap();
    assert_eq!(word(theirs, 4092).load(Relaxed), 0);
    assert_eq!(table.flags(gref), GrantFlags::PERMIT_ACCESS, "a copy uses the entry for its own time only");
}

#[test]
fn a_copy_is_refused_as_xen_does() {
    let machine = Machine::new(1);
    let (front, back) = pair(&machine);
    let (theirs, _, gref) = granted(&front, &back, GrantFlags::READONLY);
    let own = CopyPtr::own(back.gfn(page(&back)), 0);
    let source = CopyFlags::SOURCE_GREF;
    let grant = |offset| CopyPtr::grant(front.id(), gref, offset);
    assert_eq!(copy(&back, grant(4000), own, 97, source), Err(Status::BAD_COPY_ARG));
    assert_eq!(copy(&back, own, grant(0), 4, CopyFlags::DEST_GREF), Err(Status::GENERAL_ERROR), "it is read-only");
    assert_eq!(copy(&back, CopyPtr::grant(DomId(99), gref, 0), own, 4, source), Err(Status::BAD_DOMAIN));
    assert_eq!(copy(&back, CopyPtr::grant(front.id(), GrantRef(9999), 0), own, 4, source), Err(Status::BAD_GNTREF));
    assert_eq!(copy(&back, CopyPtr::grant(DomId::SELF, GrantRef(0), 0), own, 4, source), Err(Status::GENERAL_ERROR));
    let foreign = CopyPtr { domid: front.id(), ..CopyPtr::own(front.gfn(theirs), 0) };
    assert_eq!(copy(&back, foreign, own, 4, CopyFlags::empty()), Err(Status::PERMISSION_DENIED));
    assert_eq!(copy(&back, CopyPtr::own(Gfn(1), 0), own, 4, CopyFlags::empty()), Err(Status::BAD_PAGE));
}

#[test]
fn a_domain_can_grant_to_itself() {
    let machine = Machine::new(1);
    let own = machine.domain();
    let (_, _, gref) = granted(&own, &own, NONE);
    let mapped = map(&own, own.id(), gref, HOST).unwrap();
    let to = CopyPtr::own(own.gfn(page(&own)), 0);
    assert_eq!(copy(&own, CopyPtr::grant(DomId::SELF, gref, 0), to, 8, CopyFlags::SOURCE_GREF), Ok(()));
    unmap(&own, mapped).unwrap();
}

#[test]
fn the_table_grows_to_its_limit() {
    let machine = Machine::new(1);
    let domain = machine.domain_builder().max_grant_frames(3).build();
    let size = || grant_table::query_size(&domain, DomId::SELF).unwrap();
    assert_eq!((size().frames, size().max_frames), (1, 3));
    domain.map_table_frame(TableFrame::Shared, 2).unwrap();
    assert_eq!(size().frames, 3);
    assert_eq!(domain.map_table_frame(TableFrame::Shared, 3), Err(Error::Status(Status::GENERAL_ERROR)));
    assert_eq!(grant_table::query_size(&domain, DomId(9)), Err(Error::Status(Status::BAD_DOMAIN)));
    let other = machine.domain();
    assert_eq!(grant_table::query_size(&domain, other.id()), Err(Error::Status(Status::PERMISSION_DENIED)));
}

#[test]
fn version_2_keeps_its_bits_apart() {
    let machine = Machine::builder(1).first_frame(1 << 33).allow(Leniency::PromptUnmap).build();
    let (front, back) = pair(&machine);
    // SAFETY: no entry was made in version 1.
    assert_eq!(unsafe { grant_table::set_version(&front, Version::V2) }, Ok(Version::V2));
    assert_eq!(grant_table::get_version(&front, DomId::SELF), Ok(Version::V2));
    let status = front.map_table_frame(TableFrame::Status, 0).unwrap();
    let (theirs, table) = (page(&front), Table::of(&front));
    assert!(front.gfn(theirs).0 > u64::from(u32::MAX));
    let gref = table.grant_v2(8, back.id(), front.gfn(theirs), GrantFlags::PERMIT_ACCESS, (0, 0));
    let mapped = map(&back, front.id(), gref, HOST).unwrap();
    assert_eq!(Table::status(status, gref), (GrantFlags::READING | GrantFlags::WRITING).bits());
    // SAFETY: it is refused.
    assert_eq!(unsafe { grant_table::set_version(&front, Version::V1) }, Err(Errno::BUSY));
    table.clear_v2(gref);
    unmap(&back, mapped).unwrap();
    assert_eq!(Table::status(status, gref), 0);
    assert_eq!(map(&back, front.id(), gref, HOST).unwrap_err(), Status::GENERAL_ERROR);
}

#[test]
fn version_2_grants_parts_and_by_way_of_others() {
    let machine = Machine::new(1);
    let (front, back) = pair(&machine);
    let third = machine.domain();
    // SAFETY: no entry was made in version 1.
    unsafe { grant_table::set_version(&front, Version::V2) }.unwrap();
    let (theirs, table) = (page(&front), Table::of(&front));
    let flags = GrantFlags::PERMIT_ACCESS | GrantFlags::SUB_PAGE;
    let part = table.grant_v2(8, back.id(), front.gfn(theirs), flags, (16, 8));
    let own = CopyPtr::own(back.gfn(page(&back)), 0);
    let take = |offset, len| copy(&back, CopyPtr::grant(front.id(), part, offset), own, len, CopyFlags::SOURCE_GREF);
    assert_eq!(take(16, 8), Ok(()));
    assert_eq!(take(15, 2), Err(Status::GENERAL_ERROR));
    assert_eq!(take(20, 5), Err(Status::GENERAL_ERROR));
    assert_eq!(map(&back, front.id(), part, READ).unwrap_err(), Status::GENERAL_ERROR, "a part cannot be mapped");
    let (_, _, inner) = granted(&third, &front, NONE);
    let through = Gfn(u64::from(inner.0));
    let way = table.grant_v2(9, back.id(), through, GrantFlags::TRANSITIVE, (third.id().0, 0));
    assert_eq!(copy(&back, CopyPtr::grant(front.id(), way, 0), own, 8, CopyFlags::SOURCE_GREF), Ok(()));
    assert_eq!(
        copy(&third, CopyPtr::grant(front.id(), way, 0), own, 8, CopyFlags::SOURCE_GREF),
        Err(Status::GENERAL_ERROR)
    );
}

#[test]
fn entries_can_be_swapped_while_nobody_uses_them() {
    let machine = Machine::new(1);
    let (front, back) = pair(&machine);
    let (_, table, gref) = granted(&front, &back, NONE);
    // SAFETY: no page is owned by the entry's number here.
    let swap = |a, b| unsafe { grant_table::swap_grant_ref(&front, a, b) };
    swap(gref, GrantRef(30)).unwrap();
    assert_eq!((table.flags(gref), table.flags(GrantRef(30))), (NONE, GrantFlags::PERMIT_ACCESS));
    map(&back, front.id(), GrantRef(30), HOST).unwrap();
    assert_eq!(swap(GrantRef(30), gref), Err(Error::Status(Status::EAGAIN)));
    assert_eq!(swap(GrantRef(30), GrantRef(9999)), Err(Error::Status(Status::BAD_GNTREF)));
}

#[test]
fn frames_have_other_numbers_than_addresses_and_neighbours() {
    let machine = Machine::new(1);
    let domain = machine.domain();
    let first = domain.alloc(NonZeroUsize::new(16).unwrap()).unwrap();
    // SAFETY: inside the run.
    let numbers: Vec<u64> = (0..16).map(|i| domain.gfn(unsafe { first.add(i) }).0).collect();
    assert!(numbers.windows(2).any(|pair| pair[1] != pair[0] + 1), "{numbers:?}");
    assert!((0..16).all(|i| numbers[i] != (first.addr().get() as u64 >> 12) + i as u64));
}
