//! Cases of what a PV guest has Xen do to the processor and its page tables.

use xen_hypercall::abi::mmu::{ExtArg1, ExtArg2, ExtCommand, ExtOp, Update, UvmFlags};
use xen_hypercall::abi::x86::context::{TrapFlags, TrapInfo};
use xen_hypercall::abi::x86::segment::Base;
use xen_hypercall::abi::{DomId, Mfn};
use xen_hypercall::mmu::{self, Level, VcpuMask};
use xen_hypercall::pv::{self, Fpu};
use xen_hypercall::{Errno, nmi};

use crate::fake::{Case, Piece, b, case, d, o32, p, q, skip, w};

pub(crate) fn cases() -> Vec<Case> {
    [update_cases(), table_cases(), flush_cases(), processor_cases(), register_cases()].into_iter().flatten().collect()
}

/// public/xen.h
fn update_cases() -> Vec<Case> {
    let updates = p([q(0x1000), q(5), q(0x2001), q(6)]);
    vec![
        case("mmu::update", 1, [updates, q(2), p([o32(1)]), q(0x7ff0)], "1", |x| {
            let updates = [Update { ptr: 0x1000, val: 5 }, Update { ptr: 0x2001, val: 6 }];
            checked!(mmu::update(x, &updates))
        }),
        case("mmu::update_va_mapping", 14, [q(0x1000), q(0x5067), q(6)], "()", |x| {
            checked!(mmu::update_va_mapping(x, 0x1000, 0x5067, UvmFlags::INVLPG | UvmFlags::ALL))
        }),
        case("mmu::update_va_mapping_otherdomain", 22, [q(0x1000), q(0x5067), q(2), q(3)], "()", |x| {
            checked!(mmu::update_va_mapping_otherdomain(x, 0x1000, 0x5067, UvmFlags::INVLPG, DomId(3)))
        }),
        case("mmu::extended", 26, [p([d(5), d(0), q(9)]), q(1), p([o32(1)]), q(0x7ff0)], "1", |x| {
            let operation = ExtOp {
                cmd: ExtCommand::NEW_BASEPTR,
                _pad: 0,
                arg1: ExtArg1 { mfn: Mfn(9) },
                arg2: ExtArg2 { src_mfn: Mfn(0) },
            };
            checked!(mmu::extended(x, &[operation]))
        }),
    ]
}

/// A call for one extended operation.
fn extended(command: u32, arg1: u64, arg2: impl Into<Vec<Piece>>) -> [Piece; 4] {
    let operation = [vec![d(command), d(0), q(arg1)], arg2.into()].concat();
    [p(operation), q(1), p([]), q(0x7ff0)]
}

/// public/xen.h
fn table_cases() -> Vec<Case> {
    vec![
        case("mmu::pin", 26, extended(0, 9, [q(0)]), "()", |x| checked!(mmu::pin(x, Level::L1, Mfn(9)))),
        case("mmu::pin", 26, extended(1, 9, [q(0)]), "()", |x| checked!(mmu::pin(x, Level::L2, Mfn(9)))),
        case("mmu::pin", 26, extended(2, 9, [q(0)]), "()", |x| checked!(mmu::pin(x, Level::L3, Mfn(9)))),
        case("mmu::pin", 26, extended(3, 9, [q(0)]), "()", |x| checked!(mmu::pin(x, Level::L4, Mfn(9)))),
        case("mmu::unpin", 26, extended(4, 9, [q(0)]), "()", |x| checked!(mmu::unpin(x, Mfn(9)))),
        case("mmu::new_baseptr", 26, extended(5, 9, [q(0)]), "()", |x| checked!(mmu::new_baseptr(x, Mfn(9)))),
        case("mmu::new_user_baseptr", 26, extended(15, 9, [q(0)]), "()", |x| {
            checked!(mmu::new_user_baseptr(x, Mfn(9)))
        }),
        case("mmu::set_ldt", 26, extended(13, 0x1000, [d(16), skip(4)]), "()", |x| {
            checked!(mmu::set_ldt(x, 0x1000, 16))
        }),
        case("mmu::clear_page", 26, extended(16, 9, [q(0)]), "()", |x| checked!(mmu::clear_page(x, Mfn(9)))),
        case("mmu::copy_page", 26, extended(17, 9, [q(8)]), "()", |x| checked!(mmu::copy_page(x, Mfn(8), Mfn(9)))),
    ]
}

/// public/xen.h
fn flush_cases() -> Vec<Case> {
    const MASK: VcpuMask = {
        let mut mask = [0; 128];
        mask[0] = 6;
        mask[127] = 1 << 63;
        mask
    };
    let mask = || [p([q(6), skip(126 * 8), q(1 << 63)])];
    vec![
        case("mmu::tlb_flush_local", 26, extended(6, 0, [q(0)]), "()", |x| mmu::tlb_flush_local(x)),
        case("mmu::invlpg_local", 26, extended(7, 0x1000, [q(0)]), "()", |x| mmu::invlpg_local(x, 0x1000)),
        case("mmu::tlb_flush_multi", 26, extended(8, 0, mask()), "()", |x| mmu::tlb_flush_multi(x, &MASK)),
        case("mmu::invlpg_multi", 26, extended(9, 0x1000, mask()), "()", |x| mmu::invlpg_multi(x, 0x1000, &MASK)),
        case("mmu::tlb_flush_all", 26, extended(10, 0, [q(0)]), "()", |x| mmu::tlb_flush_all(x)),
        case("mmu::invlpg_all", 26, extended(11, 0x1000, [q(0)]), "()", |x| mmu::invlpg_all(x, 0x1000)),
        case("mmu::flush_cache", 26, extended(12, 0, [q(0)]), "()", |x| mmu::flush_cache(x)),
        case("mmu::flush_cache_global", 26, extended(18, 0, [q(0)]), "()", |x| mmu::flush_cache_global(x)),
    ]
}

/// public/xen.h, public/arch-x86/xen.h and public/nmi.h
fn processor_cases() -> Vec<Case> {
    vec![
        case("pv::set_trap_table", 0, [p([b(14), b(7), w(0xe033), d(0), q(0x1234), q(0), q(0)])], "()", |x| {
            let handler = TrapInfo {
                vector: 14,
                flags: TrapFlags::DPL_USER | TrapFlags::MASK_EVENTS,
                cs: 0xe033,
                _pad: 0,
                address: 0x1234,
            };
            checked!(pv::set_trap_table(x, &[handler, TrapInfo::default()]))
        }),
        case("pv::set_gdt", 2, [p([q(8), q(9)]), q(1024)], "()", |x| checked!(pv::set_gdt(x, &[Mfn(8), Mfn(9)], 1024))),
        case("pv::stack_switch", 3, [q(0xe02b), q(0x1234)], "()", |x| checked!(pv::stack_switch(x, 0xe02b, 0x1234))),
        case("pv::update_descriptor", 10, [q(0x9008), q(0x1234)], "()", |x| {
            checked!(pv::update_descriptor(x, 0x9008, 0x1234))
        }),
        case("nmi::register_callback", 28, [q(0), p([q(0x1234), q(0)])], "()", |x| {
            checked!(nmi::register_callback(x, 0x1234))
        }),
        case("nmi::unregister_callback", 28, [q(1), q(0)], "()", |x| nmi::unregister_callback(x)),
    ]
}

/// public/xen.h
fn register_cases() -> Vec<Case> {
    vec![
        case("pv::fpu_taskswitch", 5, [q(1)], "()", |x| pv::fpu_taskswitch(x, Fpu::Trapping)),
        case("pv::fpu_taskswitch", 5, [q(0)], "()", |x| pv::fpu_taskswitch(x, Fpu::Available)),
        case("pv::set_segment_base", 25, [q(2), q(0x1234)], "()", |x| {
            checked!(pv::set_segment_base(x, Base::GS_KERNEL, 0x1234))
        }),
        case("pv::set_debugreg", 8, [q(7), q(0x1234)], "()", |x| checked!(pv::set_debugreg(x, 7, 0x1234))),
        // An address in the upper half looks like an error and is none.
        case("pv::get_debugreg", 9, [q(3)], "18446744073709551600", |x| Ok::<_, Errno>(pv::get_debugreg(x, 3)))
            .answer(-16_i64 as u64)
            .infallible(),
    ]
}
