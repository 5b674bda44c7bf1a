//! Cases of vCPUs.

use std::time::Duration;

use xen_hypercall::abi::time::VcpuTimeInfo;
use xen_hypercall::abi::vcpu::{RunstateInfo, SingleshotFlags};
use xen_hypercall::abi::x86::context::{ContextFlags, VcpuGuestContext};
use xen_hypercall::abi::x86::hvm_context::{CpuRegs, Mode, VcpuHvmContext, X86_64};
use xen_hypercall::abi::{Gfn, VcpuId};
use xen_hypercall::vcpu;
use zerocopy::FromZeros;

use crate::fake::{Case, case, d, o32, o64, p, q, skip};

pub(crate) fn cases() -> Vec<Case> {
    vcpu_cases().into_iter().chain(vcpu_area_cases()).collect()
}

const SECOND: Duration = Duration::from_secs(1);

/// A command of `vcpu_op` without an argument.
macro_rules! bare {
    ($function:ident, $command:literal, $gives:literal) => {
        case(concat!("vcpu::", stringify!($function)), 24, [q($command), q(2), q(0)], $gives, |x| {
            vcpu::$function(x, VcpuId(2))
        })
    };
}

/// public/vcpu.h
fn vcpu_cases() -> Vec<Case> {
    vec![
        bare!(up, 1, "()"),
        bare!(down, 2, "()"),
        bare!(is_up, 3, "true").answer(1),
        bare!(is_up, 3, "false"),
        bare!(stop_periodic_timer, 7, "()"),
        bare!(stop_singleshot_timer, 9, "()"),
        bare!(send_nmi, 11, "()"),
        case(
            "vcpu::initialise",
            24,
            [q(0), q(2), p([skip(512), q(4), q(0), skip(112), skip(8), q(0x1234)])],
            "()",
            |x| {
                let mut context = VcpuGuestContext::new_zeroed();
                context.flags = ContextFlags::IN_KERNEL;
                context.user_regs.rip = 0x1234;
                checked!(vcpu::initialise(x, VcpuId(2), &context))
            },
        ),
        case("vcpu::initialise_hvm", 24, [q(0), q(2), p([d(1), d(0), skip(64), q(0x1234)])], "()", |x| {
            let x86_64 = X86_64 { rip: 0x1234, ..X86_64::default() };
            let context = VcpuHvmContext { mode: Mode::BITS_64, _pad: 0, cpu_regs: CpuRegs { x86_64 } };
            checked!(vcpu::initialise_hvm(x, VcpuId(2), &context))
        }),
        case("vcpu::set_periodic_timer", 24, [q(6), q(2), p([q(1_000_000_000)])], "()", |x| {
            vcpu::set_periodic_timer(x, VcpuId(2), SECOND)
        }),
        case("vcpu::set_singleshot_timer", 24, [q(8), q(2), p([q(1_000_000_000), d(1), d(0)])], "()", |x| {
            vcpu::set_singleshot_timer(x, VcpuId(2), SECOND, SingleshotFlags::FUTURE)
        }),
        // Xen's times are signed.
        case("vcpu::set_singleshot_timer", 24, [q(8), q(2), p([q(i64::MAX as u64), d(0), d(0)])], "()", |x| {
            vcpu::set_singleshot_timer(x, VcpuId(2), Duration::MAX, SingleshotFlags::empty())
        }),
    ]
}

/// public/vcpu.h
fn vcpu_area_cases() -> Vec<Case> {
    vec![
        case(
            "vcpu::get_runstate_info",
            24,
            [q(4), q(2), p([o32(2), d(0), o64(5), o64(6), o64(7), o64(8), o64(9)])],
            "(BLOCKED, 5, [6, 7, 8, 9])",
            |x| vcpu::get_runstate_info(x, VcpuId(2)).map(|info| (info.state, info.state_entry_time, info.time)),
        ),
        case("vcpu::register_runstate_memory_area", 24, [q(5), q(2), p([p([d(0), d(0), q(41)])])], "()", |x| {
            let mut area = RunstateInfo { state_entry_time: 41, ..RunstateInfo::default() };
            checked!(vcpu::register_runstate_memory_area(x, VcpuId(2), &raw mut area))
        }),
        case("vcpu::register_vcpu_time_memory_area", 24, [q(13), q(2), p([p([d(0), d(0), q(41)])])], "()", |x| {
            let mut area = VcpuTimeInfo { tsc_timestamp: 41, ..VcpuTimeInfo::default() };
            checked!(vcpu::register_vcpu_time_memory_area(x, VcpuId(2), &raw mut area))
        }),
        case("vcpu::register_vcpu_info", 24, [q(10), q(2), p([q(0x99), d(64), d(0)])], "()", |x| {
            checked!(vcpu::register_vcpu_info(x, VcpuId(2), Gfn(0x99), 64))
        }),
        case("vcpu::get_physid", 24, [q(12), q(2), p([o32(3), o32(4)])], "(3, 4)", |x| {
            vcpu::get_physid(x, VcpuId(2)).map(|physid| (physid.x86_apic_id(), physid.x86_acpi_id()))
        }),
    ]
}
