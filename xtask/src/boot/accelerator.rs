//! KVM where it can run Xen, which only a try can tell.

use std::fs;
use std::path::Path;
use std::time::{Duration, Instant};

use anyhow::Result;

use crate::qemu::{Accelerator, Activity, Machine, Program, Qemu};
use crate::{cache, diagnose, paths};

/// How long the probe waits for Xen's last line.
const PROBE_LIMIT: Duration = Duration::from_secs(6);

/// Returns KVM if `/dev/kvm` is there and Xen boots on it, else TCG; the answer is kept until QEMU, Xen or the
/// machine's kernel changes.
///
/// # Errors
///
/// When QEMU cannot be started or the user interrupts.
pub fn accelerator(program: &Program, xen: &Path) -> Result<Accelerator> {
    let usable = fs::File::options().read(true).write(true).open("/dev/kvm").is_ok();
    if !usable {
        return Ok(Accelerator::Tcg);
    }
    let kernel = fs::read_to_string("/proc/sys/kernel/osrelease").unwrap_or_default();
    let processors = fs::read_to_string("/proc/cpuinfo").unwrap_or_default();
    let model = processors.lines().find(|line| line.starts_with("model name")).unwrap_or_default().to_owned();
    let key = cache::Key::default().with_file(program.path()).with_file(xen).with(kernel).with(model);
    let answer = cache::file("kvm-probe", &key, |target| {
        let answer = if probe(program, xen)? { "yes" } else { "no" };
        Ok(fs::write(target, answer)?)
    })?;
    Ok(if fs::read_to_string(answer)? == "yes" { Accelerator::Kvm } else { Accelerator::Tcg })
}

/// Boots Xen with itself as domain 0: a Xen that works refuses that, after its last own step.
fn probe(program: &Program, xen: &Path) -> Result<bool> {
    let messages = xen.with_file_name(paths::unique("kvm-probe.log"));
    let machine = Machine {
        accelerator: Accelerator::Kvm,
        memory: 256,
        cpus: 1,
        icount: false,
        kernel: (xen, "console=com1 com1=115200 noreboot=t".into()),
        modules: vec![(xen.to_owned(), String::new())],
        com1_log: None,
        devices: Vec::new(),
        messages: &messages,
    };
    let log = listen(&mut Qemu::start(&machine, program)?)?;
    // What QEMU complains about is not for the user: there is another way.
    let _ = fs::remove_file(&messages);
    Ok(diagnose::xen_panic(&log).is_some_and(|reason| reason.starts_with("Could not construct d")))
}

/// Returns what Xen writes until it panics.
fn listen(qemu: &mut Qemu) -> Result<String> {
    let deadline = Instant::now() + PROBE_LIMIT;
    let mut log = String::new();
    while Instant::now() < deadline && !log.contains("Reboot in five seconds") {
        match qemu.next(Duration::from_millis(50))? {
            Activity::Bytes(bytes) => log.push_str(&String::from_utf8_lossy(&bytes)),
            Activity::Quiet => {}
            Activity::Ended => break,
        }
    }
    Ok(log)
}
