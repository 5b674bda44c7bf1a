//! Cases of grants.

use xen_hypercall::abi::grant_table::{
    CacheFlush, CacheFlushOp, Copy, CopyFlags, CopyPtr, GrantRef, Handle, MapFlags, MapGrantRef, UnmapAndReplace,
    UnmapGrantRef,
};
use xen_hypercall::abi::{DomId, Gfn};
use xen_hypercall::grant_table::{self, Version};

use crate::fake::{Case, Piece, case, d, io16, io32, o32, o64, p, q, w};

pub(crate) fn cases() -> Vec<Case> {
    table_cases().into_iter().chain(foreign_cases()).collect()
}

const SELF: Piece = w(0x7ff0);

/// A status that nobody set and Xen overwrites.
const fn status(status: i16) -> Piece {
    io16(1, status)
}

/// public/grant_table.h
fn table_cases() -> Vec<Case> {
    vec![
        case(
            "grant_table::setup_table",
            20,
            [q(2), p([SELF, w(0), d(2), status(0), w(0), w(0), w(0), p([o64(5), o64(6)])]), q(1)],
            "[Gfn(0x5), Gfn(0x6)]",
            |x| {
                let mut frames = [Gfn(0); 2];
                grant_table::setup_table(x, DomId::SELF, &mut frames).map(|()| frames)
            },
        ),
        case(
            "grant_table::query_size",
            20,
            [q(6), p([SELF, w(0), o32(4), o32(64), status(0), w(0)]), q(1)],
            "Size { frames: 4, max_frames: 64 }",
            |x| grant_table::query_size(x, DomId::SELF),
        ),
        case(
            "grant_table::query_size",
            20,
            [q(6), p([w(3), w(0), d(0), d(0), status(-2), w(0)]), q(1)],
            "Status(BAD_DOMAIN)",
            |x| {
                // A status is no refusal of the call.
                grant_table::query_size(x, DomId(3))
            },
        ),
        case("grant_table::set_version", 20, [q(8), p([io32(2, 2)]), q(1)], "V2", |x| {
            checked!(grant_table::set_version(x, Version::V2))
        }),
        case("grant_table::get_version", 20, [q(10), p([SELF, w(0), o32(1)]), q(1)], "V1", |x| {
            grant_table::get_version(x, DomId::SELF)
        }),
        case(
            "grant_table::get_status_frames",
            20,
            [q(9), p([d(1), SELF, status(0), p([o64(5)])]), q(1)],
            "[Gfn(0x5)]",
            |x| {
                let mut frames = [Gfn(0)];
                grant_table::get_status_frames(x, DomId::SELF, &mut frames).map(|()| frames)
            },
        ),
        case("grant_table::swap_grant_ref", 20, [q(11), p([d(8), d(9), status(0), w(0)]), q(1)], "()", |x| {
            checked!(grant_table::swap_grant_ref(x, GrantRef(8), GrantRef(9)))
        }),
        case("grant_table::dump_table", 20, [q(3), p([w(3), status(0)]), q(1)], "()", |x| {
            grant_table::dump_table(x, DomId(3))
        }),
    ]
}

/// `struct gnttab_map_grant_ref`
fn map_piece(address: u64, end: i16) -> Vec<Piece> {
    vec![q(address), d(2), d(9), w(3), status(end), o32(77), o64(0x5000)]
}

fn map_element(host_addr: u64) -> MapGrantRef {
    MapGrantRef { host_addr, flags: MapFlags::HOST_MAP, gref: GrantRef(9), dom: DomId(3), ..MapGrantRef::default() }
}

/// public/grant_table.h
fn foreign_cases() -> Vec<Case> {
    const UNMAP: UnmapGrantRef = UnmapGrantRef {
        host_addr: 0x1000,
        dev_bus_addr: 0x5000,
        handle: Handle(77),
        status: grant_table::Status::OKAY,
        _pad: 0,
    };
    let copy = |end| [q(9), w(3), w(16), d(0), q(5), SELF, w(32), d(0), w(100), w(1), status(end), w(0)];
    let copy_element = || Copy {
        source: CopyPtr::grant(DomId(3), GrantRef(9), 16),
        dest: CopyPtr::own(Gfn(5), 32),
        len: 100,
        flags: CopyFlags::SOURCE_GREF,
        ..Copy::default()
    };
    let unmap = |end| [q(0x1000), q(0x5000), d(77), status(end), w(0)];
    let maps = [map_piece(0x1000, 0), map_piece(0x2000, -12)];
    let mapped = "[(OKAY, Handle(77), 20480), (EAGAIN, Handle(77), 20480)]";
    vec![
        case("grant_table::map", 20, [q(0), p(maps.concat()), q(2)], mapped, |x| {
            let mut maps = [map_element(0x1000), map_element(0x2000)];
            checked!(grant_table::map(x, &mut maps))
                .map(|()| maps.map(|map| (map.status, map.handle, map.dev_bus_addr)))
        }),
        case(
            "grant_table::map_one",
            20,
            [q(0), p(map_piece(0x1000, 0)), q(1)],
            "Mapped { handle: Handle(77), dev_bus_addr: 20480 }",
            |x| checked!(grant_table::map_one(x, map_element(0x1000))),
        ),
        case("grant_table::unmap", 20, [q(1), p([unmap(0), unmap(-4)].concat()), q(2)], "[OKAY, BAD_HANDLE]", |x| {
            let mut unmaps = [UNMAP; 2];
            checked!(grant_table::unmap(x, &mut unmaps)).map(|()| unmaps.map(|unmap| unmap.status))
        }),
        case("grant_table::unmap_one", 20, [q(1), p(unmap(0)), q(1)], "()", |x| {
            checked!(grant_table::unmap_one(x, UNMAP))
        }),
        case(
            "grant_table::unmap_and_replace",
            20,
            [q(7), p([q(0x1000), q(0x2000), d(77), status(-5), w(0)]), q(1)],
            "[BAD_VIRT_ADDR]",
            |x| {
                let mut replace = [UnmapAndReplace {
                    host_addr: 0x1000,
                    new_addr: 0x2000,
                    handle: Handle(77),
                    ..UnmapAndReplace::default()
                }];
                checked!(grant_table::unmap_and_replace(x, &mut replace)).map(|()| replace.map(|one| one.status))
            },
        ),
        case(
            "grant_table::copy",
            20,
            [q(5), p([copy(0), copy(-10)].concat()), q(2)],
            "[OKAY, BAD_COPY_ARG]",
            move |x| {
                let mut copies = [copy_element(), copy_element()];
                checked!(grant_table::copy(x, &mut copies)).map(|()| copies.map(|copy| copy.status))
            },
        ),
        case("grant_table::copy_one", 20, [q(5), p(copy(0)), q(1)], "()", move |x| {
            checked!(grant_table::copy_one(x, copy_element()))
        }),
        case(
            "grant_table::cache_flush",
            20,
            [q(12), p([d(9), d(0), w(64), w(128), d(0x8000_0001)]), q(1)],
            "()",
            |x| {
                let flush =
                    CacheFlush { a: 9, offset: 64, length: 128, op: CacheFlushOp::CLEAN | CacheFlushOp::SOURCE_GREF };
                checked!(grant_table::cache_flush(x, &[flush]))
            },
        ),
    ]
}
