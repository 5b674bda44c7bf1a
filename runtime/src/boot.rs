//! What the guest was started with, however it was started.

use core::fmt;
use core::ptr::NonNull;

use xen_hypercall::abi::Port;

/// A page that the guest shares with a daemon of the control domain, and the channel that goes with it.
#[derive(Clone, Copy, Debug)]
pub struct SharedPage {
    /// Where the page is mapped, writable.
    pub page: NonNull<u8>,
    /// The event channel to the daemon.
    pub port: Port,
}

// SAFETY: an address and a number; who reaches the page vouches for that.
unsafe impl Send for SharedPage {}
// SAFETY: as above.
unsafe impl Sync for SharedPage {}

/// What the hypervisor and the toolstack told the guest at boot, and when it was resumed from a suspend.
#[derive(Clone, Copy, Debug)]
pub struct BootInfo {
    /// Who started the guest, as it names itself: `xen-4.17-x86_64` in PV.
    pub platform: &'static str,
    /// The guest's command line.
    pub command_line: CommandLine,
    /// Pages of 4 KiB that belong to the guest.
    pub pages: usize,
    /// Whether the guest is the control domain, as in a direct boot.
    pub control_domain: bool,
    /// The console's ring. `None` where only the emergency console exists, as in a direct boot.
    pub console: Option<SharedPage>,
    /// The xenstore ring. `None` where no xenstore is, as in a direct boot.
    pub store: Option<SharedPage>,
}

/// The command line: words, of which some have the form `key=value`.
///
/// Words are separated by blanks; there is no quoting.
#[derive(Clone, Copy, PartialEq, Eq)]
pub struct CommandLine(&'static str);

impl CommandLine {
    /// Takes the text up to the first NUL. Bytes from the first that is not UTF-8 on are left out.
    #[must_use]
    pub fn new(bytes: &'static [u8]) -> Self {
        Self(text(bytes).trim_ascii())
    }

    /// The whole line.
    #[must_use]
    pub const fn as_str(&self) -> &'static str {
        self.0
    }

    /// The words, in order.
    pub fn words(&self) -> impl Iterator<Item = &'static str> + use<> {
        self.0.split_ascii_whitespace()
    }

    /// The value of the last `key=value` word with this key.
    #[must_use]
    pub fn value(&self, key: &str) -> Option<&'static str> {
        self.words()
            .filter_map(|word| word.split_once('='))
            .filter(|(name, _)| *name == key)
            .last()
            .map(|(_, value)| value)
    }
}

impl fmt::Debug for CommandLine {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Debug::fmt(self.0, f)
    }
}

impl fmt::Display for CommandLine {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.0)
    }
}

/// The text up to the first NUL, or up to the first byte that is not UTF-8.
pub(crate) fn text(bytes: &[u8]) -> &str {
    let end = bytes.iter().position(|&byte| byte == 0).unwrap_or(bytes.len());
    let bytes = &bytes[..end];
    core::str::from_utf8(bytes)
        .unwrap_or_else(|error| core::str::from_utf8(&bytes[..error.valid_up_to()]).unwrap_or_default())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_command_line_ends_at_its_nul() {
        let line = CommandLine::new(b" log=debug  verbose\0junk");
        assert_eq!(line.as_str(), "log=debug  verbose");
        assert!(line.words().eq(["log=debug", "verbose"]));
    }

    #[test]
    fn the_last_value_of_a_key_counts() {
        let line = CommandLine::new(b"a=1 b=2 a=3 c");
        assert_eq!(line.value("a"), Some("3"));
        assert_eq!(line.value("b"), Some("2"));
        assert_eq!(line.value("c"), None);
    }

    #[test]
    fn bytes_that_are_no_text_are_left_out() {
        assert_eq!(CommandLine::new(b"ok \xff\xfe").as_str(), "ok");
        assert_eq!(CommandLine::new(&[b'x'; 1024]).as_str().len(), 1024);
    }
}
