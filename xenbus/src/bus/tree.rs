//! Nodes in memory, for tests.

use alloc::borrow::ToOwned;
use alloc::collections::{BTreeMap, BTreeSet};
use alloc::format;
use alloc::string::String;
use alloc::vec::Vec;
use core::cell::{Cell, RefCell};

use super::Nodes;

/// A store's answer that never comes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Silence;

/// A tree of nodes. It counts what is asked of it.
#[derive(Debug, Default)]
pub(crate) struct Tree {
    nodes: RefCell<BTreeMap<String, Vec<u8>>>,
    pub(crate) reads: Cell<usize>,
    pub(crate) writes: Cell<usize>,
    pub(crate) silent: Cell<bool>,
}

impl Tree {
    pub(crate) fn of(nodes: &[(&str, &str)]) -> Self {
        let tree = Self::default();
        for (path, value) in nodes {
            tree.set(path, value);
        }
        tree
    }

    /// Writes as another domain does: not counted.
    pub(crate) fn set(&self, path: &str, value: impl AsRef<[u8]>) {
        self.nodes.borrow_mut().insert(path.to_owned(), value.as_ref().to_owned());
    }

    pub(crate) fn remove(&self, path: &str) {
        let below = format!("{path}/");
        self.nodes.borrow_mut().retain(|name, _| name != path && !name.starts_with(&below));
    }

    pub(crate) fn get(&self, path: &str) -> Option<String> {
        let value = self.nodes.borrow().get(path).cloned()?;
        Some(String::from_utf8_lossy(&value).into_owned())
    }

    pub(crate) fn all(&self) -> BTreeMap<String, Vec<u8>> {
        self.nodes.borrow().clone()
    }

    fn answer<T>(&self, value: T) -> Result<T, Silence> {
        if self.silent.get() { Err(Silence) } else { Ok(value) }
    }
}

impl Nodes for Tree {
    type Error = Silence;

    fn read(&self, path: &str) -> Result<Option<Vec<u8>>, Silence> {
        self.reads.set(self.reads.get() + 1);
        self.answer(self.nodes.borrow().get(path).cloned())
    }

    fn list(&self, path: &str) -> Result<Option<Vec<String>>, Silence> {
        self.reads.set(self.reads.get() + 1);
        let below = format!("{path}/");
        let nodes = self.nodes.borrow();
        let names: BTreeSet<_> = nodes.keys().filter_map(|name| name.strip_prefix(&below)?.split('/').next()).collect();
        let names: Vec<_> = names.into_iter().map(ToOwned::to_owned).collect();
        self.answer((!names.is_empty() || nodes.contains_key(path)).then_some(names))
    }

    fn write(&self, path: &str, value: &[u8]) -> Result<(), Silence> {
        self.answer(())?;
        self.writes.set(self.writes.get() + 1);
        self.set(path, value);
        Ok(())
    }
}
