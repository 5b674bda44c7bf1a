//! Cases of scheduling, events, time and what Xen tells about itself.

use std::time::Duration;

use xen_hypercall::abi::callback::{Flags, Type};
use xen_hypercall::abi::event_channel::BindPirqFlags;
use xen_hypercall::abi::sched::ShutdownReason;
use xen_hypercall::abi::time::VcpuTimeInfo;
use xen_hypercall::abi::vcpu::{RunstateInfo, SingleshotFlags};
use xen_hypercall::abi::x86::context::VcpuGuestContext;
use xen_hypercall::abi::x86::hvm_context::{CpuRegs, Mode, VcpuHvmContext, X86_64};
use xen_hypercall::abi::{DomId, Gfn, Mfn, Port, VcpuId, Virq, vm_assist};
use xen_hypercall::{callback, console_io, event_channel, sched, timer, vcpu, version, vm_assist as assist};
use zerocopy::FromZeros;

use crate::fake::{Case, b, bytes, case, d, io32, o8, o32, o64, obytes, p, q, skip, w};

pub fn cases() -> Vec<Case> {
    [
        sched_cases(),
        event_cases(),
        event_binding_cases(),
        version_cases(),
        vcpu_cases(),
        vcpu_area_cases(),
        other_cases(),
    ]
    .into_iter()
    .flatten()
    .collect()
}

const SECOND: Duration = Duration::from_secs(1);

/// public/sched.h
fn sched_cases() -> Vec<Case> {
    vec![
        case("sched::yield_now", 29, [q(0), q(0)], "()", |x| sched::yield_now(x)),
        case("sched::block", 29, [q(1), q(0)], "()", |x| sched::block(x)),
        case("sched::shutdown", 29, [q(2), p([d(3)])], "()", |x| {
            sched::shutdown(x, ShutdownReason::CRASH)
        }),
        case("sched::poll", 29, [q(3), p([p([d(5), d(9)]), d(2), d(0), q(SECOND.as_nanos() as u64)])], "()", |x| {
            sched::poll(x, &[Port(5), Port(9)], Some(SECOND))
        }),
        case("sched::poll", 29, [q(3), p([p([d(5)]), d(1), d(0), q(0)])], "()", |x| sched::poll(x, &[Port(5)], None)),
        // A deadline that has passed is not Xen's word for none.
        case("sched::poll", 29, [q(3), p([p([d(5)]), d(1), d(0), q(1)])], "()", |x| {
            sched::poll(x, &[Port(5)], Some(Duration::ZERO))
        }),
        case("sched::suspend", 29, [q(2), p([d(2)]), q(77)], "Resumed", |x| checked!(sched::suspend(x, Mfn(77)))),
        case("sched::suspend", 29, [q(2), p([d(2)]), q(77)], "Cancelled", |x| checked!(sched::suspend(x, Mfn(77))))
            .answer(1),
        case("sched::soft_reset", 29, [q(2), p([d(5)])], "()", |x| checked!(sched::soft_reset(x))),
        case("sched::remote_shutdown", 29, [q(4), p([w(3), w(0), d(1)])], "()", |x| {
            sched::remote_shutdown(x, DomId(3), ShutdownReason::REBOOT)
        }),
        case("sched::shutdown_code", 29, [q(5), p([d(1)])], "()", |x| sched::shutdown_code(x, ShutdownReason::REBOOT)),
        case("sched::start_watchdog", 29, [q(6), p([d(0), d(2)])], "2", |x| {
            sched::start_watchdog(x, Duration::from_millis(1001)).map(|id| id.get())
        })
        .answer(2),
        case("sched::pin_override", 29, [q(7), p([d(u32::MAX)])], "()", |x| sched::pin_override(x, -1)),
    ]
}

/// public/event_channel.h
fn event_cases() -> Vec<Case> {
    vec![
        case("event_channel::close", 32, [q(3), p([d(7)])], "()", |x| event_channel::close(x, Port(7))),
        case("event_channel::send", 32, [q(4), p([d(7)])], "()", |x| event_channel::send(x, Port(7))),
        case("event_channel::unmask", 32, [q(9), p([d(7)])], "()", |x| event_channel::unmask(x, Port(7))),
        case("event_channel::reset", 32, [q(10), p([w(0x7ff0)])], "()", |x| event_channel::reset(x, DomId::SELF)),
        case("event_channel::set_priority", 32, [q(13), p([d(7), d(15)])], "()", |x| {
            event_channel::set_priority(x, Port(7), 15)
        }),
        case("event_channel::expand_array", 32, [q(12), p([q(0x99)])], "()", |x| {
            checked!(event_channel::expand_array(x, Gfn(0x99)))
        }),
        case(
            "event_channel::init_control",
            32,
            [q(11), p([vec![q(0x99), d(128), d(2), o8(17)], bytes(&[0; 7])].concat())],
            "17",
            |x| checked!(event_channel::init_control(x, Gfn(0x99), 128, VcpuId(2))),
        ),
        case(
            "event_channel::status",
            32,
            [q(5), p([w(0x7ff0), w(0), d(7), o32(2), o32(1), o32(3), o32(9)])],
            "(INTERDOMAIN, VcpuId(1), Some(DomId(0x3)), Some(Port(9)))",
            |x| {
                let status = event_channel::status(x, DomId::SELF, Port(7));
                status.map(|status| (status.status, status.vcpu, status.remote_domain(), status.remote_port()))
            },
        ),
    ]
}

/// public/event_channel.h
fn event_binding_cases() -> Vec<Case> {
    vec![
        case("event_channel::alloc_unbound", 32, [q(6), p([w(0x7ff0), w(3), o32(17)])], "Port(17)", |x| {
            event_channel::alloc_unbound(x, DomId::SELF, DomId(3))
        }),
        case("event_channel::bind_interdomain", 32, [q(0), p([w(3), w(0), d(9), o32(17)])], "Port(17)", |x| {
            event_channel::bind_interdomain(x, DomId(3), Port(9))
        }),
        case("event_channel::bind_virq", 32, [q(1), p([d(16), d(2), o32(17)])], "Port(17)", |x| {
            event_channel::bind_virq(x, Virq::ARCH_0, VcpuId(2))
        }),
        case("event_channel::bind_pirq", 32, [q(2), p([d(33), d(1), o32(17)])], "Port(17)", |x| {
            event_channel::bind_pirq(x, 33, BindPirqFlags::WILL_SHARE)
        }),
        case("event_channel::bind_ipi", 32, [q(7), p([d(2), o32(17)])], "Port(17)", |x| {
            event_channel::bind_ipi(x, VcpuId(2))
        }),
        case("event_channel::bind_vcpu", 32, [q(8), p([d(7), d(2)])], "()", |x| {
            event_channel::bind_vcpu(x, Port(7), VcpuId(2))
        }),
    ]
}

/// A question to `xen_version` that is answered with text.
macro_rules! text {
    ($function:ident, $command:literal) => {
        case(
            concat!("version::", stringify!($function)),
            17,
            [q($command), p(obytes(b".5"))],
            "[46, 53]",
            |x| version::$function(x).map(|text| text[..2].to_vec()),
        )
    };
}

/// public/version.h
fn version_cases() -> Vec<Case> {
    vec![
        case("version::version", 17, [q(0), q(0)], "Version { major: 4, minor: 17 }", |x| version::version(x))
            .answer(0x4_0011),
        text!(extra_version, 1),
        text!(capabilities, 3),
        text!(changeset, 4),
        text!(domain_handle, 8),
        text!(command_line, 9),
        case("version::compile_info", 17, [q(2), p([obytes(b"cc"), vec![skip(110)], obytes(b"x")].concat())], "[99, 99, 120]", |x| {
            version::compile_info(x).map(|info| [info.compiler[0], info.compiler[1], info.compile_date[0]])
        }),
        case("version::platform_parameters", 17, [q(5), p([o64(0xffff_8000)])], "4294934528", |x| {
            version::platform_parameters(x).map(|parameters| parameters.virt_start)
        }),
        case("version::features", 17, [q(6), p([d(0), o32(0x102)])], "[WRITABLE_DESCRIPTOR_TABLES, HVM_CALLBACK_VECTOR]", |x| {
            version::features(x).map(|features| features.iter().collect::<Vec<_>>())
        }),
        case("version::page_size", 17, [q(7), q(0)], "4096", |x| version::page_size(x)).answer(4096),
        case("version::build_id", 17, [q(10), p([vec![d(64)], obytes(b"id")].concat())], "[105, 100]", |x| {
            version::build_id(x).map(|(bytes, len)| bytes[..len].to_vec())
        })
        .answer(2),
    ]
}

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
        case("vcpu::initialise", 24, [q(0), q(2), p([skip(512), q(4), q(0), skip(112), skip(8), q(0x1234)])], "()", |x| {
            let mut context = VcpuGuestContext::new_zeroed();
            context.flags = xen_hypercall::abi::x86::context::ContextFlags::IN_KERNEL;
            context.user_regs.rip = 0x1234;
            checked!(vcpu::initialise(x, VcpuId(2), &context))
        }),
        case("vcpu::initialise_hvm", 24, [q(0), q(2), p([d(1), d(0), skip(64), q(0x1234)])], "()", |x| {
            let x86_64 = X86_64 {
                rip: 0x1234,
                ..X86_64::default()
            };
            let context = VcpuHvmContext {
                mode: Mode::BITS_64,
                _pad: 0,
                cpu_regs: CpuRegs { x86_64 },
            };
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
            let mut area = RunstateInfo {
                state_entry_time: 41,
                ..RunstateInfo::default()
            };
            checked!(vcpu::register_runstate_memory_area(x, VcpuId(2), &raw mut area))
        }),
        case("vcpu::register_vcpu_time_memory_area", 24, [q(13), q(2), p([p([d(0), d(0), q(41)])])], "()", |x| {
            let mut area = VcpuTimeInfo {
                tsc_timestamp: 41,
                ..VcpuTimeInfo::default()
            };
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

/// public/xen.h and public/callback.h
fn other_cases() -> Vec<Case> {
    vec![
        case("timer::set", 15, [q(1_000_000_000)], "()", |x| timer::set(x, Some(SECOND))),
        case("timer::set", 15, [q(1)], "()", |x| timer::set(x, Some(Duration::ZERO))),
        case("timer::set", 15, [q(0)], "()", |x| timer::set(x, None)),
        case("vm_assist::enable", 21, [q(0), q(5)], "()", |x| {
            assist::enable(x, vm_assist::Type::RUNSTATE_UPDATE_FLAG)
        }),
        case("vm_assist::disable", 21, [q(1), q(4)], "()", |x| {
            assist::disable(x, vm_assist::Type::ARCHITECTURAL_IOPL)
        }),
        case("console_io::write", 18, [q(0), q(2), p([b(b'o'), b(b'k')])], "()", |x| console_io::write(x, b"ok")),
        case("console_io::read", 18, [q(1), q(4), p(obytes(b"hi"))], "[104, 105]", |x| {
            let mut buffer = [0; 4];
            console_io::read(x, &mut buffer).map(|count| buffer[..count].to_vec())
        })
        .answer(2),
        case("callback::register", 30, [q(0), p([w(2), w(1), d(0), q(0x1234)])], "()", |x| {
            checked!(callback::register(x, Type::SYSCALL, Flags::MASK_EVENTS, 0x1234))
        }),
        case("callback::unregister", 30, [q(1), p([w(5), w(0)])], "()", |x| callback::unregister(x, Type::SYSENTER)),
        case("callback::set_callbacks", 4, [q(1), q(2), q(3)], "()", |x| checked!(callback::set_callbacks(x, 1, 2, 3))),
        case("sched::feed_watchdog", 29, [q(6), p([io32(0, 0), d(1)])], "()", |_| Ok::<_, xen_hypercall::Errno>(())),
    ]
}
