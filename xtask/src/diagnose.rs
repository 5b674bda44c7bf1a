//! What logs say about a boot that failed.

use std::path::Path;

/// Returns Xen's version, such as `Xen 4.17.7`, from the start of its log.
#[must_use]
pub fn xen_version(log: &str) -> String {
    let version = log.lines().find_map(|line| line.split_once("Xen version "));
    let number = version.and_then(|(_, rest)| rest.split([' ', '+', '-']).next());
    number.map_or_else(|| "Xen".to_owned(), |number| format!("Xen {number}"))
}

/// Returns why Xen itself panicked, if it did.
#[must_use]
pub fn xen_panic(log: &str) -> Option<String> {
    let mut lines = log.lines().skip_while(|line| !line.contains("Panic on CPU")).skip(1);
    let mut reason = lines.by_ref().map(plain).skip_while(|line| line.starts_with('*') || line.is_empty());
    log.contains("Panic on CPU").then(|| reason.next().unwrap_or("no reason given").to_owned())
}

/// Returns what the guest said when it panicked, from its first line about it on.
#[must_use]
pub fn panic_message(console: &str) -> Option<&str> {
    console.find("panicked at ").map(|at| console[at..].trim_end())
}

/// Returns the lines in which Xen tells why it, or the guest, gave the domain up: the fault, the registers, the stack.
#[must_use]
pub fn crash_report(log: &str) -> String {
    let lines: Vec<&str> = log.lines().map(plain).collect();
    let Some(first) = lines.iter().position(|line| crash_begins(line)) else {
        return String::new();
    };
    let last = lines.iter().rposition(|line| crash_goes_on(line)).unwrap_or(first).max(first);
    lines[first..=last].join("\n")
}

/// Returns the address in a register dump's `RIP:    e033:[<ffffffff80001234>]`.
#[must_use]
pub fn instruction_pointer(report: &str) -> Option<u64> {
    let line = report.lines().find(|line| line.trim_start().starts_with("RIP:"))?;
    let (_, rest) = line.split_once("[<")?;
    u64::from_str_radix(rest.split_once(">]")?.0, 16).ok()
}

/// Returns the last line of a log that has one.
#[must_use]
pub fn last_line(log: &str) -> String {
    match log.trim_end().lines().next_back() {
        Some(line) => format!("the last line was {line:?}"),
        None => "nothing was ever written".to_owned(),
    }
}

/// Returns a crash report for people: what happened, where in the program, and Xen's own lines.
#[must_use]
pub fn explain_crash(report: &str, elf: &Path) -> String {
    if report.is_empty() {
        return "The guest asked for SHUTDOWN_crash without a message of its own; Xen logged nothing about it.".into();
    }
    let place = instruction_pointer(report).and_then(|address| source_place(elf, address));
    let place = place.map(|place| format!("\n\nRIP is in {place}")).unwrap_or_default();
    format!("{report}{place}{}", hint(report))
}

/// Returns all that is known about a guest that never started; the first line of `text` has been shown already.
#[must_use]
pub fn explain_refusal(text: &str, xen_log: &str) -> String {
    let details = text.split_once('\n').map_or("", |(_, rest)| rest);
    let hint = if text.contains("not enough memory") || xen_log.contains("Not enough RAM") {
        "The guest's memory is too small for its image: --memory MB gives it more."
    } else {
        ""
    };
    let parts = [details, &xen_tail(xen_log), hint];
    parts.into_iter().filter(|part| !part.is_empty()).collect::<Vec<_>>().join("\n\n")
}

/// Explains the commonest reason for a crash that Xen reports in words of its own.
fn hint(report: &str) -> &'static str {
    if report.contains("create_bounce_frame") {
        return "\n\nXen had an exception or event to deliver and could not: the guest has no handler for it, or its stack is \
                not mapped. The exception happened at RIP.";
    }
    ""
}

/// Returns the function and the source line that hold an address of a program.
#[must_use]
pub fn source_place(elf: &Path, address: u64) -> Option<String> {
    let loader = addr2line::Loader::new(elf).ok()?;
    let symbol = loader.find_symbol(address)?;
    let name = format!("{:#}", rustc_demangle::demangle(symbol));
    let line = loader.find_location(address).ok().flatten();
    let line = line.and_then(|place| Some(format!(" ({}:{})", place.file?, place.line?)));
    Some(name + &line.unwrap_or_default())
}

/// Returns the end of a log, for a message about a boot that broke off.
#[must_use]
pub fn xen_tail(log: &str) -> String {
    crate::process::last_lines(log, 15)
}

fn plain(line: &str) -> &str {
    line.trim_start_matches("(XEN) ").trim_end()
}

fn crash_begins(line: &str) -> bool {
    let fault = line.contains("Unhandled") && line.contains("fault/trap");
    let walk = line.starts_with("Pagetable walk");
    let crash = line.contains("(vcpu#") && line.contains("crashed on");
    fault || walk || crash || line.contains("domain_crash")
}

fn crash_goes_on(line: &str) -> bool {
    let registers =
        ["RIP:", "RFLAGS:", "rax:", "rbx:", "rdx:", "rsi:", "r8:", "r9:", "r12:", "r15:", "cr3:", "fsb:", "ds:"];
    let trimmed = line.trim_start();
    crash_begins(line)
        || registers.iter().any(|name| trimmed.starts_with(name))
        || trimmed.starts_with("Guest stack trace")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_version_is_read() {
        assert_eq!(xen_version("x\n(XEN) Xen version 4.17.7+13 (Debian 4.17)\n"), "Xen 4.17.7");
        assert_eq!(xen_version(""), "Xen");
    }

    const CRASH: &str = "\
(XEN) before
(XEN) d1v0 Unhandled page fault fault/trap [#14, ec=0002]
(XEN) Pagetable walk from 0000000000000008:
(XEN) domain_crash_sync called from entry.S: fault at ffff82d040204b78 create_bounce_frame+0x14f/0x177
(XEN) Domain 1 (vcpu#0) crashed on cpu#1:
(XEN) ----[ Xen-4.17.7  x86_64  debug=n  Not tainted ]----
(XEN) RIP:    e033:[<ffffffff80001234>]
(XEN) rax: 0000000000000001   rbx: 0000000000112080   rcx: 0000000000000075
(XEN) Guest stack trace from rsp=0000000000106f88:
(XEN)    0000000000000075 0000000000000000 0000000000102315 000000010000e030
(XEN) after
";

    #[test]
    fn a_crash_report_goes_from_the_fault_to_the_registers() {
        let report = crash_report(CRASH);
        assert!(report.starts_with("d1v0 Unhandled") && report.ends_with("rsp=0000000000106f88:"), "{report}");
        assert_eq!(instruction_pointer(&report), Some(0xffff_ffff_8000_1234));
        assert_eq!(crash_report("(XEN) fine\n"), "");
    }

    #[test]
    fn a_crash_without_a_handler_is_explained() {
        let text = explain_crash(&crash_report(CRASH), Path::new("/nonexistent"));
        assert!(text.contains("no handler"), "{text}");
        assert!(explain_crash("", Path::new("/nonexistent")).contains("SHUTDOWN_crash"));
    }

    #[test]
    fn a_source_place_is_found_in_this_program() {
        let program = std::env::current_exe().unwrap();
        let data = std::fs::read(&program).unwrap();
        let file = object::File::parse(data.as_slice()).unwrap();
        let symbol = object::Object::symbols(&file)
            .find(|symbol| object::ObjectSymbol::name(symbol).is_ok_and(|name| name.contains("source_place")))
            .unwrap();
        let place = source_place(&program, object::ObjectSymbol::address(&symbol)).unwrap();
        assert!(place.contains("source_place"), "{place}");
    }

    #[test]
    fn a_panic_of_xen_gives_its_reason() {
        let log = "(XEN) \n(XEN) ****************************************\n(XEN) Panic on CPU 0:\n(XEN) Could not construct d0\n";
        assert_eq!(xen_panic(log).as_deref(), Some("Could not construct d0"));
        assert_eq!(xen_panic("(XEN) fine\n"), None);
    }
}
