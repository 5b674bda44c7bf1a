//! What logs say about a boot that failed.

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

/// Returns the last line of a log that has one.
#[must_use]
pub fn last_line(log: &str) -> String {
    match log.trim_end().lines().next_back() {
        Some(line) => format!("the last line was {line:?}"),
        None => "nothing was ever written".to_owned(),
    }
}

/// Returns all that is known about a guest that never started; the first line of `text` has been shown already.
#[must_use]
pub fn explain_refusal(text: &str, xen_log: &str) -> String {
    let details = text.split_once('\n').map_or("", |(_, rest)| rest);
    let parts = [details, &xen_tail(xen_log), hint(text, xen_log)];
    parts.into_iter().filter(|part| !part.is_empty()).collect::<Vec<_>>().join("\n\n")
}

/// What to do about it.
fn hint(text: &str, xen_log: &str) -> &'static str {
    if text.contains("not enough memory") || xen_log.contains("Not enough RAM") {
        "The guest's memory is too small for its image: --memory MB gives it more."
    } else if text.contains("failed to stat") {
        "Paths in disk= are domain 0's, which has /dev/ram0 to /dev/ram3 and nothing of the host."
    } else {
        ""
    }
}

/// Returns the end of a log, for a message about a boot that broke off.
#[must_use]
pub fn xen_tail(log: &str) -> String {
    crate::process::last_lines(log, 15)
}

fn plain(line: &str) -> &str {
    line.trim_start_matches("(XEN) ").trim_end()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_version_is_read() {
        assert_eq!(xen_version("x\n(XEN) Xen version 4.17.7+13 (Debian 4.17)\n"), "Xen 4.17.7");
        assert_eq!(xen_version(""), "Xen");
    }

    #[test]
    fn a_refusal_comes_with_what_to_do_about_it() {
        let stat = "xl did not create the domain\nDisk vdev=xvda failed to stat: /x: No such file or directory";
        assert!(explain_refusal(stat, "").ends_with("nothing of the host."));
        assert!(explain_refusal("xl", "(XEN) Not enough RAM").contains("--memory"));
        assert_eq!(explain_refusal("xl did not create the domain", ""), "");
    }

    #[test]
    fn a_panic_of_xen_gives_its_reason() {
        let log = "(XEN) \n(XEN) ****************************************\n(XEN) Panic on CPU 0:\n(XEN) Could not construct d0\n";
        assert_eq!(xen_panic(log).as_deref(), Some("Could not construct d0"));
        assert_eq!(xen_panic("(XEN) fine\n"), None);
    }
}
