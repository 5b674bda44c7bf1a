//! Nodes in which the tools leave a request, and out of which it is taken.

use alloc::format;
use alloc::vec::Vec;
use core::time::Duration;

use crate::bus::{Allowance, Nodes};
use crate::wire::Excerpt;

/// How many looks may follow each other at once, and how long each takes to come back.
const LOOKS: (u32, Duration) = (4, Duration::from_millis(250));

/// What the tools ask the domain to do.
///
/// `~/control/shutdown`, docs/misc/xenstore-paths.pandoc
#[non_exhaustive]
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Command {
    /// End, for good: `poweroff`.
    PowerOff,
    /// End, and be started again: `reboot`.
    Reboot,
    /// End: `halt`. An older word for `poweroff`.
    Halt,
    /// Suspend, to be saved or moved: `suspend`.
    Suspend,
    /// End as if after a crash: `crash`. Not every toolstack knows it.
    Crash,
}

/// What was taken out of an inbox.
#[non_exhaustive]
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Request {
    /// A command.
    Command(Command),
    /// A key of Linux' magic SysRq. What it means is the kernel's business.
    SysRq(u8),
    /// Something that is no request. It was taken out, and is to be ignored.
    Unknown(Excerpt),
}

/// A node for requests: `control/shutdown` or `control/sysrq`.
///
/// A watch on it says "look again"; [`poll`](Self::poll) says when, which bounds the work that a flood of requests makes to four
/// looks a second. A look [takes](Self::take) what is there, within a transaction, and leaves the node empty, which acknowledges
/// the request. If the tools have withdrawn it meanwhile, the node is empty, and nothing was asked.
///
/// ```
/// # use core::time::Duration;
/// # use xen_xenbus::{Store, control::*, store::{Platform, StoreError}};
/// # fn example<P: Platform>(store: &Store<P>, inbox: &mut Inbox) -> Result<(), StoreError> {
/// if inbox.poll(store.now()) {
///     match store.transaction(|t| inbox.take(t)) {
///         Ok(Some(Request::Command(Command::PowerOff))) => { /* end */ }
///         Ok(_) => {}
///         Err(_) => inbox.look_again(),
///     }
/// }
/// # Ok(())
/// # }
/// ```
#[derive(Debug)]
pub struct Inbox {
    path: &'static str,
    read: fn(&[u8]) -> Request,
    due: bool,
    looks: Allowance,
}

impl Inbox {
    /// Commands: `control/shutdown`.
    #[must_use]
    pub fn shutdown() -> Self {
        Self::new("control/shutdown", command)
    }

    /// Keys: `control/sysrq`.
    #[must_use]
    pub fn sysrq() -> Self {
        Self::new("control/sysrq", key)
    }

    const fn new(path: &'static str, read: fn(&[u8]) -> Request) -> Self {
        Self { path, read, due: true, looks: Allowance::new(LOOKS.0, LOOKS.1) }
    }

    /// The node to watch.
    #[must_use]
    pub const fn path(&self) -> &'static str {
        self.path
    }

    /// The node may have changed, or the last look failed. A thousand calls are as good as one.
    pub const fn look_again(&mut self) {
        self.due = true;
    }

    /// Whether to look now.
    pub fn poll(&mut self, now: Duration) -> bool {
        let look = self.due && self.looks.take(now);
        self.due &= !look;
        look
    }

    /// When to poll at the latest.
    #[must_use]
    pub fn next_deadline(&self) -> Option<Duration> {
        self.due.then(|| self.looks.next())
    }

    /// Takes the request that is there out of the node, within a transaction. Nothing is written where there is none: the watch
    /// would fire for it.
    ///
    /// # Errors
    ///
    /// The store's. The request is still there, then, or was taken and is lost; tools ask again.
    pub fn take<N: Nodes>(&self, nodes: &N) -> Result<Option<Request>, N::Error> {
        match nodes.read(self.path)? {
            None => Ok(None),
            Some(value) if value.is_empty() => Ok(None),
            Some(value) => {
                nodes.write(self.path, b"")?;
                Ok(Some((self.read)(&value)))
            }
        }
    }
}

fn command(value: &[u8]) -> Request {
    Request::Command(match value {
        b"poweroff" => Command::PowerOff,
        b"reboot" => Command::Reboot,
        b"halt" => Command::Halt,
        b"suspend" => Command::Suspend,
        b"crash" => Command::Crash,
        other => return Request::Unknown(Excerpt::new(other)),
    })
}

fn key(value: &[u8]) -> Request {
    match value {
        [key] if key.is_ascii_graphic() => Request::SysRq(*key),
        other => Request::Unknown(Excerpt::new(other)),
    }
}

/// The commands about which the tools ask beforehand: `control/feature-...`. For the others there is no such node.
pub const FEATURES: [(&str, Command); 3] =
    [("poweroff", Command::PowerOff), ("reboot", Command::Reboot), ("suspend", Command::Suspend)];

/// Tells the tools which commands are heeded: 1 in each of [`FEATURES`]' nodes that is in `heeded`, 0 in the others. Answers with
/// what could not be written, which is to be expected: not all tools make the nodes, and the directory is not the domain's. The
/// commands are to be heeded all the same. Not within a transaction, which one failure would spoil.
///
/// `~/control/feature-poweroff`, docs/misc/xenstore-paths.pandoc
pub fn advertise<N: Nodes>(nodes: &N, heeded: &[Command]) -> Vec<(&'static str, N::Error)> {
    let write = |(name, command): (&'static str, Command)| {
        let value: &[u8] = if heeded.contains(&command) { b"1" } else { b"0" };
        nodes.write(&format!("control/feature-{name}"), value).err().map(|error| (name, error))
    };
    FEATURES.into_iter().filter_map(write).collect()
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::bus::tree::{Silence, Tree};

    #[test]
    fn commands_are_taken_out_and_acknowledged() {
        let (tree, inbox) = (Tree::default(), Inbox::shutdown());
        for (word, expected) in [
            ("poweroff", Command::PowerOff),
            ("reboot", Command::Reboot),
            ("halt", Command::Halt),
            ("suspend", Command::Suspend),
            ("crash", Command::Crash),
        ] {
            tree.set("control/shutdown", word);
            assert_eq!(inbox.take(&tree), Ok(Some(Request::Command(expected))));
            assert_eq!(tree.get("control/shutdown").unwrap(), "");
            assert_eq!(inbox.take(&tree), Ok(None), "once");
        }
        assert_eq!(tree.writes.get(), 5, "an empty node is not emptied: the watch would fire for ever");
    }

    #[test]
    fn hc_160_an_unknown_command_is_cleared_and_ignored() {
        let (tree, inbox) = (Tree::default(), Inbox::shutdown());
        for word in ["Poweroff", "poweroff ", "poweroff\0", "s3", "\x1b[2J", "\0", "0"] {
            tree.set("control/shutdown", word);
            assert!(matches!(inbox.take(&tree), Ok(Some(Request::Unknown(_)))), "{word:?}");
            assert_eq!(tree.get("control/shutdown").unwrap(), "", "{word:?}");
        }
    }

    #[test]
    fn hc_160_a_key_is_one_printable_character() {
        let (tree, inbox) = (Tree::default(), Inbox::sysrq());
        for (value, expected) in [("s", Some(b's')), ("ss", None), ("\n", None), (" ", None), ("\u{e9}", None)] {
            tree.set("control/sysrq", value);
            let key = match inbox.take(&tree).unwrap().unwrap() {
                Request::SysRq(key) => Some(key),
                _ => None,
            };
            assert_eq!((key, tree.get("control/sysrq").unwrap().as_str()), (expected, ""));
        }
    }

    #[test]
    fn hc_160_a_flood_of_requests_makes_a_bounded_number_of_looks() {
        let mut inbox = Inbox::sysrq();
        let looks = (0..60_000).filter(|milli| {
            inbox.look_again();
            inbox.poll(Duration::from_millis(*milli))
        });
        assert!((240..=244).contains(&looks.count()), "four a second, and the first four");
        inbox.look_again();
        assert!(inbox.next_deadline().unwrap() <= Duration::from_millis(60_250), "and the last one is not forgotten");
    }

    #[test]
    fn a_look_that_failed_is_made_again() {
        let (tree, mut inbox) = (Tree::of(&[("control/shutdown", "reboot")]), Inbox::shutdown());
        tree.silent.set(true);
        assert!(inbox.poll(Duration::ZERO));
        assert_eq!(inbox.take(&tree), Err(Silence));
        tree.silent.set(false);
        assert!(!inbox.poll(Duration::ZERO), "not without being asked");
        inbox.look_again();
        assert!(inbox.poll(Duration::ZERO));
        assert_eq!(inbox.take(&tree), Ok(Some(Request::Command(Command::Reboot))));
    }

    #[test]
    fn what_is_heeded_is_advertised_and_a_refusal_is_no_failure() {
        let tree = Tree::default();
        assert!(advertise(&tree, &[Command::PowerOff, Command::Suspend]).is_empty());
        let values =
            ["poweroff", "reboot", "suspend"].map(|name| tree.get(&format!("control/feature-{name}")).unwrap());
        assert_eq!(values, ["1", "0", "1"]);
        tree.silent.set(true);
        assert_eq!(advertise(&tree, &[Command::PowerOff]).len(), 3);
    }

    proptest! {
        #[test]
        fn hc_160_whatever_stands_there_is_taken_out(value in proptest::collection::vec(any::<u8>(), 1..5000)) {
            let (tree, inbox) = (Tree::default(), Inbox::shutdown());
            tree.set("control/shutdown", value);
            prop_assert!(inbox.take(&tree).unwrap().is_some());
            prop_assert_eq!(inbox.take(&tree).unwrap(), None);
        }
    }
}
