//! What is known about a guest that crashed.

use std::path::Path;

use crate::source;

/// How far from the stack pointer Xen's page fault may be and still be about the stack: a frame is smaller than a page.
const PAGE: u64 = 4096;
/// No stack lies lower: a stack pointer below was never one.
const LOWEST_STACK: u64 = 0x1_0000;

/// Returns the lines in which Xen tells why it, or the guest, gave the domain up: the fault, the registers, the stack.
#[must_use]
pub fn report(xen_log: &str) -> String {
    let lines: Vec<&str> = xen_log.lines().map(plain).collect();
    let Some(first) = lines.iter().position(|line| begins(line)) else {
        return String::new();
    };
    let last = lines.iter().rposition(|line| goes_on(line)).unwrap_or(first).max(first);
    lines[first..=last].join("\n")
}

/// Returns all that is known about a crash, for people: what happened, Xen's own lines, where in the program.
///
/// It is empty if the guest's console has told everything.
#[must_use]
pub fn explain(report: &str, console: &str, elf: &Path) -> String {
    let own = printed_rip(console);
    if report.is_empty() && own.is_none() {
        return "The guest asked for SHUTDOWN_crash; Xen logged nothing about it.".into();
    }
    let place = instruction_pointer(report).or(own).and_then(|address| source::place(elf, address));
    let place = place.map(|place| format!("RIP is in {place}")).unwrap_or_default();
    let stack = stack_failure(report);
    let hint = if stack.is_none() { hint(report) } else { "" };
    let parts = [&stack.unwrap_or_default(), report, &place, hint];
    parts.into_iter().filter(|part| !part.is_empty()).collect::<Vec<_>>().join("\n\n")
}

/// Returns the address in Xen's register dump: `RIP:    e033:[<ffffffff80001234>]`.
fn instruction_pointer(report: &str) -> Option<u64> {
    let line = report.lines().find(|line| line.trim_start().starts_with("RIP:"))?;
    hexadecimal(line.split_once("[<")?.1)
}

/// Returns the address in the registers that the guest printed last, as xen-rt prints them: `rip ffffffff80001234  rsp ...`.
fn printed_rip(console: &str) -> Option<u64> {
    console.lines().rev().find_map(|line| hexadecimal(line.strip_prefix("rip ")?))
}

/// Says so if Xen could not push the frame of an exception.
fn stack_failure(report: &str) -> Option<String> {
    let stack = hexadecimal(report.split_once("rsp: ")?.1)?;
    let fault = report.split_once("Pagetable walk from ").and_then(|(_, rest)| hexadecimal(rest));
    let near = fault.filter(|fault| report.contains("domain_crash_sync") && fault.abs_diff(stack) <= PAGE);
    match near {
        Some(fault) if stack >= LOWEST_STACK => {
            Some(format!("The stack overflowed: Xen found no room for the frame of an exception at {fault:#x}."))
        }
        None if !report.contains("domain_crash_page_fault") => None,
        _ => Some(format!("Xen could not push an exception frame: stack pointer {stack:#x} is not usable.")),
    }
}

/// Explains the commonest reason for a crash that Xen reports in words of its own.
fn hint(report: &str) -> &'static str {
    if report.contains("create_bounce_frame") {
        return "Xen had an exception or event to deliver and could not: the guest has no handler for it, or its stack is \
                not mapped. The exception happened at RIP.";
    }
    ""
}

/// Reads the 16 hexadecimal digits that a text begins with.
fn hexadecimal(text: &str) -> Option<u64> {
    let digits = text.get(..16)?;
    // The parser alone would take a sign.
    digits.bytes().all(|digit| digit.is_ascii_hexdigit()).then(|| u64::from_str_radix(digits, 16).ok())?
}

fn plain(line: &str) -> &str {
    line.trim_start_matches("(XEN) ").trim_end()
}

fn begins(line: &str) -> bool {
    let fault = line.contains("Unhandled") && line.contains("fault/trap");
    let walk = line.starts_with("Pagetable walk");
    let crash = line.contains("(vcpu#") && line.contains("crashed on");
    fault || walk || crash || line.contains("domain_crash")
}

fn goes_on(line: &str) -> bool {
    let registers =
        ["RIP:", "RFLAGS:", "rax:", "rbx:", "rdx:", "rsi:", "r8:", "r9:", "r12:", "r15:", "cr3:", "fsb:", "ds:"];
    let trimmed = line.trim_start();
    begins(line) || registers.iter().any(|name| trimmed.starts_with(name)) || trimmed.starts_with("Guest stack trace")
}

#[cfg(test)]
mod tests {
    use super::*;

    const NO_HANDLER: &str = "\
(XEN) before
(XEN) d1v0 Unhandled page fault fault/trap [#14, ec=0002]
(XEN) Pagetable walk from 0000000000000008:
(XEN) domain_crash_sync called from entry.S: fault at ffff82d040204b78 create_bounce_frame+0x14f/0x177
(XEN) Domain 1 (vcpu#0) crashed on cpu#1:
(XEN) ----[ Xen-4.17.7  x86_64  debug=n  Not tainted ]----
(XEN) RIP:    e033:[<ffffffff80001234>]
(XEN) rax: 0000000000000001   rbx: 0000000000112080   rcx: 0000000000000075
(XEN) rbp: 0000000000000001   rsp: 0000000000106f88   r8:  0000000000000075
(XEN) Guest stack trace from rsp=0000000000106f88:
(XEN)    0000000000000075 0000000000000000 0000000000102315 000000010000e030
(XEN) after
";

    fn explained(xen_log: &str, console: &str) -> String {
        explain(&report(xen_log), console, Path::new("/nonexistent"))
    }

    fn unmapped_stack(fault: u64, stack: u64) -> String {
        format!(
            "(XEN) Pagetable walk from {fault:016x}:\n\
             (XEN) domain_crash_sync called from entry.S: fault at 0 entry.S#domain_crash_page_fault_6x8+0/0x4\n\
             (XEN) rbp: 0000000000000000   rsp: {stack:016x}   r8:  0000000000000001\n\
             (XEN) Guest stack trace from rsp={stack:016x}:\n"
        )
    }

    #[test]
    fn a_report_goes_from_the_fault_to_the_registers() {
        let report = report(NO_HANDLER);
        assert!(report.starts_with("d1v0 Unhandled") && report.ends_with("rsp=0000000000106f88:"), "{report}");
        assert_eq!(instruction_pointer(&report), Some(0xffff_ffff_8000_1234));
        assert_eq!(super::report("(XEN) fine\n"), "");
    }

    #[test]
    fn a_crash_without_a_handler_is_explained() {
        let text = explained(NO_HANDLER, "");
        assert!(text.starts_with("d1v0") && text.contains("no handler"), "{text}");
    }

    #[test]
    fn a_stack_overflow_is_told_from_a_stack_pointer_that_is_none() {
        let overflow = explained(&unmapped_stack(0xffff_ffff_8000_ff68, 0xffff_ffff_8000_ff70), "");
        assert!(
            overflow.starts_with("The stack overflowed") && overflow.contains("at 0xffffffff8000ff68."),
            "{overflow}"
        );
        for (fault, stack) in [(8, 16), (8, 0xffff_ffff_8001_0000)] {
            let unusable = explained(&unmapped_stack(fault, stack), "");
            assert!(unusable.starts_with(&format!("Xen could not push an exception frame: stack pointer {stack:#x}")));
        }
    }

    #[test]
    fn a_guest_that_told_its_registers_is_not_called_silent() {
        let console = "page fault\nrip ffffffff8000083e  rsp ffffffff8001fb10\nrip 1\n";
        assert_eq!(printed_rip(console), Some(0xffff_ffff_8000_083e));
        assert_eq!(explained("", console), "");
        for silent in ["", "a trip ffffffff8000083e\n", "rip +fffffff8000083e\n"] {
            assert!(explained("", silent).contains("SHUTDOWN_crash"), "{silent}");
        }
    }
}
