//! Cases of memory: how much, where, and what it is.

use xen_hypercall::abi::memory::{MapSpace, MemFlags, Resource, VmemRange};
use xen_hypercall::abi::{DomId, Gfn, Mfn};
use xen_hypercall::memory::{self, E820Entry, Placed, Source, VnumaTables};

use crate::fake::{Case, Piece, case, d, io32, io64, o32, o64, p, q, skip, w};

pub(crate) fn cases() -> Vec<Case> {
    [reservation_cases(), physmap_cases(), list_cases(), topology_cases()].into_iter().flatten().collect()
}

const SELF: Piece = w(0x7ff0);

/// `struct xen_memory_reservation`
fn reservation(frames: Vec<Piece>, order: u32, flags: u32) -> Vec<Piece> {
    let count = frames.len() as u64;
    vec![p(frames), q(count), d(order), d(flags), SELF, w(0), w(0), w(0)]
}

/// public/memory.h
fn reservation_cases() -> Vec<Case> {
    let exchange = [reservation(vec![q(5), q(6)], 0, 0), reservation(vec![io64(7, 70)], 1, 32), vec![q(0)]];
    vec![
        case(
            "memory::increase_reservation",
            12,
            [q(0), p(reservation(vec![o64(70), o64(71)], 9, 32))],
            "(1, [Mfn(0x46), Mfn(0x47)])",
            |x| {
                let mut frames = [Mfn(0); 2];
                memory::increase_reservation(x, &mut frames, 9, MemFlags::address_bits(32)).map(|done| (done, frames))
            },
        )
        .answer(1),
        case("memory::decrease_reservation", 12, [q(1), p(reservation(vec![q(5), q(6)], 0, 0))], "1", |x| {
            checked!(memory::decrease_reservation(x, &[Gfn(5), Gfn(6)], 0))
        })
        .answer(1),
        case(
            "memory::populate_physmap",
            12,
            [q(6), p(reservation(vec![io64(5, 70)], 0, 1 << 16))],
            "(1, [Gfn(0x46)])",
            |x| {
                let mut frames = [Gfn(5)];
                let done = checked!(memory::populate_physmap(x, &mut frames, 0, MemFlags::POPULATE_ON_DEMAND));
                done.map(|done| (done, frames))
            },
        )
        .answer(1),
        case("memory::exchange", 12, [q(11), p(exchange.concat())], "[Gfn(0x46)]", |x| {
            let mut taken = [Gfn(7)];
            let flags = MemFlags::address_bits(32);
            checked!(memory::exchange(x, &[Gfn(5), Gfn(6)], 0, &mut taken, 1, flags)).map(|()| taken)
        }),
        case("memory::maximum_ram_page", 12, [q(2), q(0)], "Mfn(0x1000)", |x| memory::maximum_ram_page(x)).answer(4096),
        case("memory::current_reservation", 12, [q(3), p([w(3)])], "Pages(9)", |x| {
            memory::current_reservation(x, DomId(3))
        })
        .answer(9),
        case("memory::maximum_reservation", 12, [q(4), p([SELF])], "Pages(9)", |x| {
            memory::maximum_reservation(x, DomId::SELF)
        })
        .answer(9),
        case("memory::maximum_gpfn", 12, [q(14), p([SELF])], "Pfn(0x9)", |x| memory::maximum_gpfn(x, DomId::SELF))
            .answer(9),
    ]
}

/// A page that is placed at frame 9.
fn place(space: u32, index: u64, source: Source) -> Case {
    let arguments = [q(7), p([SELF, w(0), d(space), q(index), q(9)])];
    case("memory::add_to_physmap", 12, arguments, "()", move |x| {
        checked!(memory::add_to_physmap(x, DomId::SELF, source, Gfn(9)))
    })
}

/// public/memory.h
fn physmap_cases() -> Vec<Case> {
    vec![
        place(0, 0, Source::SharedInfo),
        place(1, 3, Source::GrantTable(3)),
        place(1, 0x8000_0003, Source::GrantStatus(3)),
        place(2, 5, Source::Own(Gfn(5))),
        place(5, 5, Source::DeviceMemory(Mfn(5))),
        case("memory::add_range_to_physmap", 12, [q(7), p([w(3), w(16), d(3), q(5), q(9)])], "()", |x| {
            checked!(memory::add_range_to_physmap(x, DomId(3), Gfn(5), 16, Gfn(9)))
        }),
        case(
            "memory::add_to_physmap_batch",
            12,
            [q(23), p([SELF, w(4), w(2), w(3), p([q(5), q(6)]), p([q(8), q(9)]), p([io32(-11, 0), io32(-11, -22)])])],
            "[Ok(()), Err(INVAL)]",
            |x| {
                let mut placed = [Placed::default(); 2];
                let done = checked!(memory::add_to_physmap_batch(
                    x,
                    MapSpace::GMFN_FOREIGN,
                    DomId(3),
                    &[5, 6],
                    &[Gfn(8), Gfn(9)],
                    &mut placed
                ));
                done.map(|()| placed.map(Placed::check))
            },
        ),
        case("memory::remove_from_physmap", 12, [q(15), p([SELF, w(0), w(0), w(0), q(9)])], "()", |x| {
            checked!(memory::remove_from_physmap(x, DomId::SELF, Gfn(9)))
        }),
    ]
}

/// public/memory.h
fn list_cases() -> Vec<Case> {
    vec![
        case(
            "memory::memory_map",
            12,
            // 20 bytes an entry: the second begins right after the first one's kind.
            [q(9), p([io32(3, 2), d(0), p([skip(20), o64(0x1000), o64(0x9f000), o32(2)])])],
            "[E820Entry { addr: 4096, size: 651264, kind: RESERVED }]",
            |x| {
                let mut entries = [E820Entry::default(); 3];
                memory::memory_map(x, &mut entries).map(|filled| filled[1..].to_vec())
            },
        ),
        case("memory::machphys_mapping", 12, [q(12), p([o64(1), o64(2), o64(3)])], "(1, 2, 3)", |x| {
            memory::machphys_mapping(x).map(|mapping| (mapping.v_start, mapping.v_end, mapping.max_mfn))
        }),
        case(
            "memory::machphys_mfn_list",
            12,
            [q(5), p([d(3), d(0), p([o64(5), o64(6)]), io32(0, 2), d(0)])],
            "[Mfn(0x5), Mfn(0x6)]",
            |x| memory::machphys_mfn_list(x, &mut [Mfn(0); 3]).map(<[_]>::to_vec),
        ),
    ]
}

/// public/memory.h
fn topology_cases() -> Vec<Case> {
    let range = p([o64(0), o64(0x1000), o32(0), o32(1)]);
    let tables = [p([o32(10), o32(20)]), p([o32(1)]), range];
    let sizes = |nodes, vcpus, ranges| vec![SELF, w(0), io32(2, nodes), io32(1, vcpus), io32(1, ranges)];
    vec![
        case(
            "memory::get_vnumainfo",
            12,
            [q(26), p([sizes(2, 1, 1), tables.to_vec()].concat())],
            "(VnumaSize { nodes: 2, vcpus: 1, ranges: 1 }, [10, 20, 0, 0, 0], [1], \
             [VmemRange { start: 0, end: 4096, flags: 0, nid: 1 }])",
            |x| {
                // Room for the distances of two nodes, and one number too many.
                let (mut distances, mut vcpu_to_vnode, mut ranges) = ([0; 5], [0], [VmemRange::default()]);
                let tables =
                    VnumaTables { distances: &mut distances, vcpu_to_vnode: &mut vcpu_to_vnode, ranges: &mut ranges };
                memory::get_vnumainfo(x, tables).map(|size| (size, distances, vcpu_to_vnode, ranges))
            },
        ),
        case(
            "memory::resource_size",
            12,
            [q(28), p([w(3), w(1), d(1), io32(0, 9), d(0), q(0), q(0)])],
            "Pages(9)",
            |x| memory::resource_size(x, DomId(3), Resource::GRANT_TABLE, 1),
        ),
        case(
            "memory::acquire_resource",
            12,
            [q(28), p([w(3), w(0), d(1), d(1), d(0), q(2), p([io64(5, 70)])])],
            "[Gfn(0x46)]",
            |x| {
                let mut frames = [Gfn(5)];
                let done = checked!(memory::acquire_resource(x, DomId(3), Resource::IOREQ_SERVER, 1, 2, &mut frames));
                done.map(|()| frames)
            },
        ),
    ]
}
