//! Errors: their text, numbers that no list has, and what is refused before Xen hears of it.

use xen_hypercall::abi::memory::{MapSpace, VmemRange, VnumaTopologyInfo};
use xen_hypercall::abi::physdev::MapPirq;
use xen_hypercall::abi::sched::ShutdownReason;
use xen_hypercall::abi::x86::context::TrapInfo;
use xen_hypercall::abi::{DomId, Gfn, Mfn, Number};
use xen_hypercall::grant_table::{self, NOT_REACHED, Status};
use xen_hypercall::hvm::{self, Callback};
use xen_hypercall::memory::{self, Placed, VnumaError, VnumaSize, VnumaTables};
use xen_hypercall::physdev::{self, Pirq};
use xen_hypercall::{Arg, Errno, Hypercall, pv, sched};

use crate::fake::Fixed;

#[test]
fn what_cannot_be_valid_is_refused_without_a_call() {
    let xen = Fixed::default();
    let pin = Callback::PciIntx { domain: 0, bus: 0, devfn: 0, intx: 4 };
    let handler = TrapInfo { address: 1, ..TrapInfo::default() };
    let place = |space, indices: &[u64], placed: &mut [Placed]| {
        checked!(memory::add_to_physmap_batch(&xen, space, DomId(0), indices, &[Gfn(0)], placed))
    };
    let refused = [
        sched::shutdown(&xen, ShutdownReason::SUSPEND),
        sched::shutdown(&xen, ShutdownReason::SOFT_RESET),
        // Xen looks at the last byte of a reason: this would be a suspend.
        sched::shutdown(&xen, ShutdownReason(0x102)),
        // Xen keeps the first reason it is told: a power-off after this would be a suspend.
        sched::shutdown_code(&xen, ShutdownReason::SUSPEND),
        checked!(pv::set_trap_table(&xen, &[])),
        checked!(pv::set_trap_table(&xen, &[handler])),
        checked!(pv::set_gdt(&xen, &[Mfn(0)], 513)),
        checked!(hvm::set_callback(&xen, Callback::Gsi(0))),
        checked!(hvm::set_callback(&xen, pin)),
        place(MapSpace::GMFN, &[0, 1], &mut [Placed(0)]),
        place(MapSpace::GMFN, &[0], &mut [Placed(0); 2]),
        place(MapSpace(0x1_0000), &[0], &mut [Placed(0)]),
        physdev::unmap_pirq(&xen, DomId::SELF, Pirq(u32::MAX)),
    ];
    assert_eq!(refused, [Err(Errno::INVAL); 13]);
    assert_eq!(xen.calls.get(), 0);
}

#[test]
fn a_batch_of_more_pages_than_xen_can_count_is_refused() {
    let xen = Fixed::default();
    let (indices, frames, mut placed) = (vec![0; 0x1_0000], vec![Gfn(0); 0x1_0000], vec![Placed(0); 0x1_0000]);
    let answer = checked!(memory::add_to_physmap_batch(&xen, MapSpace::GMFN, DomId(0), &indices, &frames, &mut placed));
    assert_eq!((answer, xen.calls.get()), (Err(Errno::INVAL), 0));
}

/// Says of everything that there is more than there is room for.
struct Boasting(isize);

// SAFETY: changes outputs of the calls only.
unsafe impl Hypercall for Boasting {
    unsafe fn call<const N: usize>(&self, number: Number, arguments: [Arg; N]) -> isize {
        let command = arguments[0].as_value();
        if (number, command) == (Number::MEMORY_OP, 9) {
            // SAFETY: the first word of a memory map's request is the count.
            unsafe { arguments[1].as_ptr::<u32>().write(u32::MAX) };
        }
        if (number, command) == (Number::MEMORY_OP, 26) {
            let info = arguments[1].as_ptr::<VnumaTopologyInfo>();
            // SAFETY: the call's second argument is a topology.
            unsafe { (*info).nr_vnodes = 4 };
        }
        self.0
    }
}

#[test]
fn counts_beyond_the_room_are_cut() {
    let xen = Boasting(isize::MAX);
    let mut entries = [memory::E820Entry::default(); 2];
    assert_eq!(memory::memory_map(&xen, &mut entries).map(<[_]>::len), Ok(2));
    let flags = xen_hypercall::abi::memory::MemFlags::empty();
    assert_eq!(memory::increase_reservation(&xen, &mut [Mfn(0)], 0, flags), Ok(1));
    assert_eq!(checked!(memory::decrease_reservation(&xen, &[Gfn(0)], 0)), Ok(1));
    assert_eq!(checked!(memory::populate_physmap(&xen, &mut [Gfn(0)], 0, flags)), Ok(1));
    let mut buffer = [0; 3];
    assert_eq!(xen_hypercall::console_io::read(&xen, &mut buffer), Ok(3));
}

#[test]
fn an_interrupt_without_a_number_is_an_error() {
    let xen = Fixed::default();
    let mut map = MapPirq { pirq: -1, ..MapPirq::default() };
    assert_eq!(physdev::map_pirq(&xen, &mut map), Err(Errno::RANGE));
}

#[test]
fn a_topology_that_does_not_fit_tells_its_size() {
    let tables =
        VnumaTables { distances: &mut [0; 4], vcpu_to_vnode: &mut [0; 3], ranges: &mut [VmemRange::default(); 2] };
    let (nodes, vcpus, ranges) = (4, 3, 2);
    let error = memory::get_vnumainfo(&Boasting(-105), tables).expect_err("there are more nodes than room");
    assert_eq!(error, VnumaError::TooSmall(VnumaSize { nodes, vcpus, ranges }));
    assert_eq!(error.to_string(), "the topology has 4 nodes, 3 vCPUs and 2 ranges of memory");
}

#[test]
fn errors_say_what_they_mean_and_keep_their_number() {
    let texts = [
        (Errno::PERM.to_string(), "Xen answered EPERM (1)"),
        (Errno(11).to_string(), "Xen answered EAGAIN (11)"),
        (Errno(4095).to_string(), "Xen answered the unknown error 4095"),
        (
            grant_table::Error::Call(Errno::NOSYS).to_string(),
            "the grant table call was refused: Xen answered ENOSYS (38)",
        ),
        (
            grant_table::Error::Status(Status::BAD_GNTREF).to_string(),
            "the grant does not exist or does not allow this: Xen answered GNTST_BAD_GNTREF (-3)",
        ),
        (
            grant_table::Error::Status(Status(-99)).to_string(),
            "the operation failed: Xen answered the unknown grant status -99",
        ),
        (format!("{:?}", Errno(4095)), "Errno(0xfff)"),
    ];
    for (text, expected) in texts {
        assert_eq!(text, expected);
    }
}

/// No two statuses read alike, and none reads like one that is not known.
#[test]
fn every_grant_status_has_a_meaning_of_its_own() {
    let text = |status| grant_table::Error::Status(Status(status)).to_string();
    let meaning = |status| text(status).split(':').next().map(str::to_owned);
    let mut meanings: Vec<_> = (-13..=NOT_REACHED.0).map(meaning).collect();
    meanings.sort();
    meanings.dedup();
    assert_eq!(meanings.len(), 15);
    assert_eq!(meaning(-1), meaning(-99), "a general error has no closer reason");
}

#[test]
fn every_negative_answer_is_an_error_and_no_other() {
    for answer in [-1, -38, -4095, -4096, i32::MIN as isize + 1] {
        assert_eq!(Errno::check(answer), Err(Errno(answer.unsigned_abs() as u32)));
    }
    assert!(Errno::check(isize::MIN).is_err());
    for answer in [0, 1, isize::MAX] {
        assert_eq!(Errno::check(answer), Ok(answer.unsigned_abs()));
    }
}
