//! Nodes with transactions, of which several are under way at a time: one that met a change is made again.

use std::cell::RefCell;
use std::collections::BTreeMap;
use std::convert::Infallible;
use std::sync::Arc;

use loom::sync::Mutex;
use xen_xenbus::bus::Nodes;

#[derive(Clone)]
pub(crate) struct Tree(Arc<Mutex<State>>);

#[derive(Default)]
struct State {
    nodes: BTreeMap<String, Vec<u8>>,
    /// Counts the changes.
    version: u64,
}

/// One attempt. What it writes is there when it is committed.
struct Transaction<'a> {
    tree: &'a Tree,
    begun: u64,
    writes: RefCell<Vec<(String, Vec<u8>)>>,
}

impl Tree {
    pub(crate) fn new() -> Self {
        Self(Arc::new(Mutex::new(State::default())))
    }

    /// Writes as another domain does, all at once.
    pub(crate) fn set(&self, nodes: &[(&str, &str)]) {
        let mut state = self.0.lock().unwrap();
        state.version += 1;
        state.nodes.extend(nodes.iter().map(|(path, value)| ((*path).to_owned(), value.as_bytes().to_vec())));
    }

    pub(crate) fn remove(&self, path: &str) {
        let mut state = self.0.lock().unwrap();
        state.version += 1;
        let below = format!("{path}/");
        state.nodes.retain(|name, _| name != path && !name.starts_with(&below));
    }

    pub(crate) fn get(&self, path: &str) -> Option<Vec<u8>> {
        self.0.lock().unwrap().nodes.get(path).cloned()
    }

    pub(crate) fn transaction<T>(&self, body: impl Fn(&dyn Nodes<Error = Infallible>) -> Result<T, Infallible>) -> T {
        for _ in 0..8 {
            let begun = self.0.lock().unwrap().version;
            let transaction = Transaction { tree: self, begun, writes: RefCell::new(Vec::new()) };
            let Ok(value) = body(&transaction);
            if transaction.commit() {
                return value;
            }
        }
        panic!("more changes than the model makes");
    }
}

impl Transaction<'_> {
    fn commit(self) -> bool {
        let mut state = self.tree.0.lock().unwrap();
        let alone = state.version == self.begun;
        let writes = self.writes.into_inner();
        if alone && !writes.is_empty() {
            state.version += 1;
            state.nodes.extend(writes);
        }
        alone
    }
}

impl Nodes for Transaction<'_> {
    type Error = Infallible;

    fn read(&self, path: &str) -> Result<Option<Vec<u8>>, Infallible> {
        Ok(self.tree.get(path))
    }

    fn list(&self, _: &str) -> Result<Option<Vec<String>>, Infallible> {
        Ok(None)
    }

    fn write(&self, path: &str, value: &[u8]) -> Result<(), Infallible> {
        self.writes.borrow_mut().push((path.to_owned(), value.to_vec()));
        Ok(())
    }
}
