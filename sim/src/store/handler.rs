//! Domain 0's side: the nodes as it sees them, and what its programs do when they change.

use std::collections::VecDeque;
use std::fmt;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Weak};

use rand::RngExt;
use xen_hypercall::Errno;
use xen_hypercall::abi::DomId;

use super::Store;
use super::path;
use super::permission::Permission;
use super::tree::{Change, Node, View};

/// The nodes, for one who may do everything with them: domain 0. What it changes, guests are told of.
///
/// The machine stands still while these are at hand: whoever makes a call of its then, waits for ever.
#[derive(Debug)]
pub struct Nodes<'a>(pub(super) &'a mut Store);

impl Nodes<'_> {
    /// A node's value; `None` where there is no such node.
    #[must_use]
    pub fn read(&mut self, path: &str) -> Option<Vec<u8>> {
        self.find(path).map(|node| node.value)
    }

    /// A node's value as text; `None` where there is no such node, or it is no text.
    #[must_use]
    pub fn read_text(&mut self, path: &str) -> Option<String> {
        self.read(path).and_then(|value| String::from_utf8(value).ok())
    }

    /// The names of a node's children; `None` where there is no such node.
    #[must_use]
    pub fn list(&mut self, path: &str) -> Option<Vec<String>> {
        self.find(path).map(|node| node.children)
    }

    /// Who may use a node; `None` where there is no such node.
    #[must_use]
    pub fn permissions(&mut self, path: &str) -> Option<Vec<Permission>> {
        self.find(path).map(|node| node.permissions.list().to_vec())
    }

    /// Writes a node, and makes it and those above where they are not there.
    ///
    /// # Panics
    ///
    /// If the path is none.
    pub fn write(&mut self, path: &str, value: impl AsRef<[u8]>) {
        self.change(path, |view, path| view.write(path, value.as_ref()));
    }

    /// Removes a node and what is below it, if it is there.
    ///
    /// # Panics
    ///
    /// If the path is none.
    pub fn remove(&mut self, path: &str) {
        self.change(path, |view, path| {
            view.remove(path).or_else(|errno| if errno == Errno::NOENT { Ok(()) } else { Err(errno) })
        });
    }

    /// Sets who may use a node, which must be there.
    ///
    /// # Panics
    ///
    /// If there is no such node, or the list is empty.
    pub fn set_permissions(&mut self, path: &str, list: &[Permission]) {
        self.change(path, |view, path| view.set_permissions(path, list.to_vec()));
    }

    fn find(&mut self, path: &str) -> Option<Node> {
        self.view(path, |view, path| view.read(path)).ok()
    }

    fn change(&mut self, path: &str, what: impl FnOnce(&mut View<'_>, &str) -> Result<(), Errno>) {
        if let Err(errno) = self.view(path, what) {
            panic!("xen-sim: domain 0 cannot change {path:?} in xenstore: {errno}");
        }
    }

    fn view<T>(&mut self, path: &str, what: impl FnOnce(&mut View<'_>, &str) -> Result<T, Errno>) -> Result<T, Errno> {
        let path = path::resolve(path.as_bytes(), DomId(0))?;
        let quota = self.0.quota;
        let mut view = View { tree: &mut self.0.tree, transaction: None, quota, who: DomId(0), changes: Vec::new() };
        let answer = what(&mut view, &path);
        let changes = view.changes;
        self.0.fire(&changes);
        answer
    }

    /// Has a node and those that are missing above it made with that list.
    pub(super) fn make(&mut self, path: &str, value: &str, list: &[Permission]) {
        self.write(path, value);
        self.set_permissions(path, list);
    }
}

/// What a program of domain 0 does about a changed node.
type Work = Box<dyn FnMut(&mut Nodes<'_>, &str) + Send>;

struct Handler {
    path: String,
    work: Option<Work>,
    /// What its program has noticed; one that is gone is told nothing any more. `None` for one that never ends.
    notice: Option<Weak<AtomicBool>>,
}

impl fmt::Debug for Handler {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Handler").field("path", &self.path).finish_non_exhaustive()
    }
}

/// The programs of domain 0 that watch nodes.
#[derive(Debug, Default)]
pub(super) struct Handlers {
    all: Vec<Handler>,
    /// Who is told of what, at which step.
    told: VecDeque<(u64, usize, String)>,
    /// How often one was told.
    runs: u64,
}

impl Handlers {
    pub(super) fn due(&self) -> Option<u64> {
        self.told.iter().map(|(due, ..)| *due).min()
    }
}

impl Store {
    pub(super) fn add_handler(&mut self, path: &str, work: Work) {
        self.push_handler(Handler { path: path.to_owned(), work: Some(work), notice: None });
    }

    /// Has `notice` set, for as long as it is there, when a node or one below it changes, some steps later.
    pub(super) fn add_notice(&mut self, path: &str, notice: &Arc<AtomicBool>) {
        let notice = Arc::downgrade(notice);
        let seen = notice.clone();
        let work: Work = Box::new(move |_, _| {
            if let Some(seen) = seen.upgrade() {
                seen.store(true, Ordering::Relaxed);
            }
        });
        self.push_handler(Handler { path: path.to_owned(), work: Some(work), notice: Some(notice) });
    }

    fn push_handler(&mut self, handler: Handler) {
        let path = handler.path.clone();
        self.handlers.all.push(handler);
        self.tell(self.handlers.all.len() - 1, &path);
    }

    /// Has the programs that watch a node know of a change, some steps later.
    pub(super) fn tell_handlers(&mut self, change: &Change) {
        for handler in 0..self.handlers.all.len() {
            let Handler { path, notice, .. } = &self.handlers.all[handler];
            let is_gone = notice.as_ref().is_some_and(|notice| notice.strong_count() == 0);
            if !is_gone && path::is_within(&change.path, path) {
                self.tell(handler, &change.path);
            }
        }
    }

    fn tell(&mut self, handler: usize, path: &str) {
        let known = self.handlers.told.iter().any(|(_, other, at)| *other == handler && at == path);
        if !known {
            let due = self.step + self.rng.random_range(1..=8);
            self.handlers.told.push_back((due, handler, path.to_owned()));
        }
    }

    pub(super) fn run_handlers(&mut self) {
        /// More than a test needs.
        const MOST: u64 = 1 << 20;
        let step = self.step;
        let (due, later) = std::mem::take(&mut self.handlers.told).into_iter().partition(|(due, ..)| *due <= step);
        self.handlers.told = later;
        let due: VecDeque<(u64, usize, String)> = due;
        for (_, handler, path) in due {
            self.handlers.runs += 1;
            assert!(self.handlers.runs < MOST, "xen-sim: programs of domain 0 answer to their own changes for ever");
            let Some(mut work) = self.handlers.all.get_mut(handler).and_then(|handler| handler.work.take()) else {
                continue;
            };
            work(&mut Nodes(self), &path);
            if let Some(handler) = self.handlers.all.get_mut(handler) {
                handler.work = Some(work);
            }
        }
    }
}

/// What the toolstacks of other hosts do.
type Job = Box<dyn FnOnce(&mut Nodes<'_>) + Send>;

/// What they do when a domain is resumed there.
#[derive(Default)]
pub(super) struct Elsewhere(Vec<(DomId, Job)>);

impl fmt::Debug for Elsewhere {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_list().entries(self.0.iter().map(|(domain, _)| domain)).finish()
    }
}

impl Elsewhere {
    pub(super) fn push(&mut self, domain: DomId, job: Job) {
        self.0.push((domain, job));
    }
}

impl Store {
    pub(super) fn resume_elsewhere(&mut self, domain: DomId) {
        let (now, later) = std::mem::take(&mut self.elsewhere.0).into_iter().partition(|(of, _)| *of == domain);
        self.elsewhere.0 = later;
        let now: Vec<(DomId, Job)> = now;
        for (_, job) in now {
            job(&mut Nodes(self));
        }
    }
}
