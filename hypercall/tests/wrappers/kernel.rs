//! Cases of scheduling, events, time and what Xen tells about itself.

use std::time::Duration;

use xen_hypercall::abi::callback::{Flags, Type};
use xen_hypercall::abi::event_channel::BindPirqFlags;
use xen_hypercall::abi::sched::ShutdownReason;
use xen_hypercall::abi::{DomId, Gfn, Mfn, Port, VcpuId, Virq, vm_assist};
use xen_hypercall::{callback, console_io, event_channel, sched, timer, version, vm_assist as assist};

use crate::fake::{Case, Fixed, b, bytes, case, d, o8, o32, o64, obytes, p, q, skip, w};

pub(crate) fn cases() -> Vec<Case> {
    [sched_cases(), event_cases(), event_binding_cases(), version_cases(), other_cases()]
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
        case("sched::shutdown", 29, [q(2), p([d(3)])], "()", |x| sched::shutdown(x, ShutdownReason::CRASH)),
        case("sched::poll", 29, [q(3), p([p([d(5), d(9)]), d(2), d(0), q(SECOND.as_nanos() as u64)])], "()", |x| {
            sched::poll(x, &[Port(5), Port(9)], Some(SECOND))
        }),
        case("sched::poll", 29, [q(3), p([p([d(5)]), d(1), d(0), q(0)])], "()", |x| sched::poll(x, &[Port(5)], None)),
        // Xen's times are signed: one further off would be one long ago.
        case("sched::poll", 29, [q(3), p([p([d(5)]), d(1), d(0), q(i64::MAX as u64)])], "()", |x| {
            sched::poll(x, &[Port(5)], Some(Duration::MAX))
        }),
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
        case("sched::feed_watchdog", 29, [q(6), p([d(2), d(1)])], "()", |x| {
            sched::feed_watchdog(x, second_watchdog(), SECOND)
        }),
        case("sched::stop_watchdog", 29, [q(6), p([d(2), d(0)])], "()", |x| sched::stop_watchdog(x, second_watchdog())),
        case("sched::pin_override", 29, [q(7), p([d(u32::MAX)])], "()", |x| sched::pin_override(x, -1)),
    ]
}

fn second_watchdog() -> sched::WatchdogId {
    let xen = Fixed { answer: 2, ..Fixed::default() };
    sched::start_watchdog(&xen, SECOND).expect("2 is no error")
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
        case(concat!("version::", stringify!($function)), 17, [q($command), p(obytes(b".5"))], "[46, 53]", |x| {
            version::$function(x).map(|text| text[..2].to_vec())
        })
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
        case(
            "version::compile_info",
            17,
            [q(2), p([obytes(b"cc"), vec![skip(110)], obytes(b"x")].concat())],
            "[99, 99, 120]",
            |x| version::compile_info(x).map(|info| [info.compiler[0], info.compiler[1], info.compile_date[0]]),
        ),
        case("version::platform_parameters", 17, [q(5), p([o64(0xffff_8000)])], "4294934528", |x| {
            version::platform_parameters(x).map(|parameters| parameters.virt_start)
        }),
        case(
            "version::features",
            17,
            [q(6), p([d(0), o32(0x102)])],
            "[WRITABLE_DESCRIPTOR_TABLES, HVM_CALLBACK_VECTOR]",
            |x| version::features(x).map(|features| features.iter().collect::<Vec<_>>()),
        ),
        case("version::page_size", 17, [q(7), q(0)], "4096", |x| version::page_size(x)).answer(4096),
        case("version::build_id", 17, [q(10), p([vec![d(64)], obytes(b"id")].concat())], "[105, 100]", |x| {
            version::build_id(x).map(|(bytes, len)| bytes[..len].to_vec())
        })
        .answer(2),
    ]
}

/// public/xen.h and public/callback.h
fn other_cases() -> Vec<Case> {
    vec![
        case("timer::set", 15, [q(1_000_000_000)], "()", |x| timer::set(x, Some(SECOND))),
        case("timer::set", 15, [q(1)], "()", |x| timer::set(x, Some(Duration::ZERO))),
        case("timer::set", 15, [q(0)], "()", |x| timer::set(x, None)),
        case("vm_assist::enable", 21, [q(0), q(5)], "()", |x| assist::enable(x, vm_assist::Type::RUNSTATE_UPDATE_FLAG)),
        case("vm_assist::disable", 21, [q(1), q(4)], "()", |x| assist::disable(x, vm_assist::Type::ARCHITECTURAL_IOPL)),
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
    ]
}
