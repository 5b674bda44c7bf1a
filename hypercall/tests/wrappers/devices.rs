//! Cases of physical interrupts, of translated guests, and of calls that carry others.

use std::sync::atomic::AtomicU8;

use xen_hypercall::Arg;
use xen_hypercall::abi::{DomId, Gfn, Number, VcpuId};
use xen_hypercall::hvm::{self, Callback, ParamIndex};
use xen_hypercall::multicall::{Batch, Call};
use xen_hypercall::physdev::{self, EoiMode, MapPirq, MapPirqType, Pirq};

use crate::fake::{Case, b, case, d, io32, io64, o16, o32, o64, p, q, w};

pub(crate) fn cases() -> Vec<Case> {
    [physdev_cases(), privilege_cases(), hvm_cases(), callback_cases(), multicall_cases()]
        .into_iter()
        .flatten()
        .collect()
}

/// public/physdev.h
fn physdev_cases() -> Vec<Case> {
    let map = [w(0x7ff0), w(0), d(4), d(u32::MAX), io32(-1, 33), d(2), d(8), io32(4, 2), d(0), q(0x9000)];
    vec![
        case("physdev::eoi", 33, [q(12), p([d(33)])], "()", |x| physdev::eoi(x, Pirq(33))),
        case("physdev::irq_status_query", 33, [q(5), p([d(33), o32(1)])], "IrqStatus(NEEDS_EOI)", |x| {
            physdev::irq_status_query(x, Pirq(33))
        }),
        case("physdev::map_pirq", 33, [q(13), p(map)], "(Pirq(33), 2)", |x| {
            let mut map = MapPirq {
                domid: DomId::SELF,
                kind: MapPirqType::MULTI_MSI,
                index: -1,
                pirq: -1,
                bus: 2,
                devfn: 8,
                entry_nr: 4,
                table_base: 0x9000,
                ..MapPirq::default()
            };
            physdev::map_pirq(x, &mut map).map(|pirq| (pirq, map.entry_nr))
        }),
        case("physdev::unmap_pirq", 33, [q(14), p([w(0x7ff0), w(0), d(33)])], "()", |x| {
            physdev::unmap_pirq(x, DomId::SELF, Pirq(33))
        }),
        case("physdev::get_free_pirq", 33, [q(23), p([d(1), o32(34)])], "Pirq(34)", |x| {
            physdev::get_free_pirq(x, MapPirqType::GSI)
        }),
        case("physdev::pirq_eoi_gmfn", 33, [q(17), p([q(0x99)])], "()", |x| {
            checked!(physdev::pirq_eoi_gmfn(x, Gfn(0x99), EoiMode::Unmask))
        }),
        case("physdev::pirq_eoi_gmfn", 33, [q(28), p([q(0x99)])], "()", |x| {
            checked!(physdev::pirq_eoi_gmfn(x, Gfn(0x99), EoiMode::EndOnly))
        }),
    ]
}

/// public/physdev.h
fn privilege_cases() -> Vec<Case> {
    static PORTS: [AtomicU8; 2] = [AtomicU8::new(0xfe), AtomicU8::new(0x7f)];
    vec![
        case("physdev::set_iopl", 33, [q(6), p([d(1)])], "()", |x| physdev::set_iopl(x, 1)),
        case("physdev::set_iobitmap", 33, [q(7), p([p([b(0xfe), b(0x7f)]), d(16), d(0)])], "()", |x| {
            physdev::set_iobitmap(x, &PORTS)
        }),
    ]
}

/// public/hvm/hvm_op.h
fn hvm_cases() -> Vec<Case> {
    vec![
        case("hvm::set_param", 34, [q(0), p([w(3), w(0), d(36), q(8)])], "()", |x| {
            checked!(hvm::set_param(x, DomId(3), ParamIndex::X87_FIP_WIDTH, 8))
        }),
        case("hvm::get_param", 34, [q(1), p([w(0x7ff0), w(0), d(2), o64(5)])], "5", |x| {
            hvm::get_param(x, DomId::SELF, ParamIndex::STORE_EVTCHN)
        }),
        case("hvm::flush_tlbs", 34, [q(5), q(0)], "()", |x| hvm::flush_tlbs(x)),
        case("hvm::get_time", 34, [q(10), p([o64(2_000_000_001)])], "2.000000001s", |x| hvm::get_time(x)),
        case("hvm::get_mem_type", 34, [q(15), p([w(0x7ff0), o16(2), w(0), w(0), q(9)])], "MMIO_DM", |x| {
            hvm::get_mem_type(x, DomId::SELF, Gfn(9))
        }),
        case("hvm::set_evtchn_upcall_vector", 34, [q(23), p([d(2), b(0xf3), b(0), w(0)])], "()", |x| {
            checked!(hvm::set_evtchn_upcall_vector(x, VcpuId(2), 0xf3))
        }),
        case("hvm::guest_request_vm_event", 34, [q(24), q(0)], "()", |x| hvm::guest_request_vm_event(x)),
    ]
}

/// `HVM_PARAM_CALLBACK_IRQ` and its value.
fn callback(value: u64, callback: Callback) -> Case {
    case("hvm::set_callback", 34, [q(0), p([w(0x7ff0), w(0), d(0), q(value)])], "()", move |x| {
        checked!(hvm::set_callback(x, callback))
    })
}

/// public/hvm/params.h
fn callback_cases() -> Vec<Case> {
    let (domain, bus, devfn, intx) = (0x1234, 0x56, 0x78, 3);
    vec![
        callback(0, Callback::Off),
        callback(0x0200_0000_0000_00f3, Callback::Vector(0xf3)),
        callback(9, Callback::Gsi(9)),
        callback(0x0100_1234_0056_7803, Callback::PciIntx { domain, bus, devfn, intx }),
    ]
}

/// public/xen.h
fn multicall_cases() -> Vec<Case> {
    const NO_ANSWER: u64 = 1 << 63;
    let yields = [q(29), io64(NO_ANSWER, 0), q(0), q(0), q(0), q(0), q(0), q(0)];
    let version = [q(17), io64(NO_ANSWER, -38_i64 as u64), q(6), p([d(7)]), q(0), q(0), q(0), q(0)];
    vec![
        case("multicall::issue", 13, [p([yields, version].concat()), q(2)], "[Some(Ok(0)), Some(Err(NOSYS))]", |x| {
            let mut info = 7_u32;
            let mut batch = Batch::<4>::new();
            let calls = [
                Call::new(Number::SCHED_OP, []),
                Call::new(Number::XEN_VERSION, [Arg::value(6), Arg::pointer(&raw mut info)]),
            ];
            for call in calls {
                batch.push(call).expect("there is room");
            }
            let answers = checked!(batch.issue(x));
            answers.map(|answers| answers.iter().collect::<Vec<_>>()).map_err(|stopped| stopped.errno)
        }),
        case("multicall::issue", 13, [p([]), q(0)], "0", |x| {
            let mut batch = Batch::<1>::new();
            let answers = checked!(batch.issue(x));
            answers.map(|answers| answers.len()).map_err(|stopped| stopped.errno)
        }),
    ]
}
