//! The nodes, and a view of them from inside a transaction or from outside.

use std::collections::BTreeMap;

use xen_hypercall::Errno;
use xen_hypercall::abi::DomId;

use super::path;
use super::permission::{Need, Permission, Permissions, Right, is_privileged};

/// How much a guest may have.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Quota {
    /// Nodes that it owns.
    pub nodes: usize,
    /// Bytes of one node: its value, the names of its children and its permissions.
    pub node_size: usize,
    /// Entries in the list of permissions of a node.
    pub permissions: usize,
    /// Watches.
    pub watches: usize,
    /// Transactions at a time.
    pub transactions: usize,
}

impl Default for Quota {
    /// What the daemon in C has by default.
    fn default() -> Self {
        Self { nodes: 1000, node_size: 2048, permissions: 5, watches: 128, transactions: 10 }
    }
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Node {
    pub(super) value: Vec<u8>,
    pub(super) permissions: Permissions,
    /// In the order in which they were made.
    pub(super) children: Vec<String>,
    /// When it was changed last.
    pub(super) generation: u64,
}

impl Node {
    fn size(&self) -> usize {
        let names: usize = self.children.iter().map(|name| name.len() + 1).sum();
        self.value.len() + names + size_of::<u64>() * self.permissions.list().len()
    }
}

/// All nodes.
#[derive(Clone, Debug)]
pub(super) struct Tree {
    nodes: BTreeMap<String, Node>,
    /// Counts changes.
    generation: u64,
}

impl Tree {
    /// The root alone, which everybody may read.
    pub(super) fn new() -> Self {
        let permissions = Permissions::new(vec![Permission::new(DomId(0), Right::Read)]).expect("one entry");
        let root = Node { value: Vec::new(), permissions, children: Vec::new(), generation: 0 };
        Self { nodes: BTreeMap::from([("/".to_owned(), root)]), generation: 0 }
    }

    fn put(&mut self, path: String, node: Option<Node>) {
        self.generation += 1;
        match node {
            Some(node) => self.nodes.insert(path, Node { generation: self.generation, ..node }),
            None => self.nodes.remove(&path),
        };
    }
}

/// Something that watches are told of.
#[derive(Clone, Debug)]
pub(super) struct Change {
    pub(super) path: String,
    pub(super) reach: Reach,
    /// Who may use the node, and before that who could.
    pub(super) permissions: Vec<Permissions>,
    /// Who could use the one above, where the node is gone.
    pub(super) parent: Option<Permissions>,
}

/// Which watches a change concerns.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Reach {
    /// Those on the node, and on those above.
    Above,
    /// Those on the node only: it went with one above.
    Exact,
}

/// What a transaction has seen and done.
#[derive(Clone, Debug, Default)]
pub(super) struct Transaction {
    /// Each node that it has read or written, with the generation that it found.
    seen: BTreeMap<String, Option<u64>>,
    /// What it has written.
    changed: BTreeMap<String, Option<Node>>,
    changes: Vec<Change>,
}

/// The nodes as one request sees them.
pub(super) struct View<'a> {
    pub(super) tree: &'a mut Tree,
    pub(super) transaction: Option<&'a mut Transaction>,
    pub(super) quota: Quota,
    /// Who asks.
    pub(super) who: DomId,
    /// What watches are to be told of now.
    pub(super) changes: Vec<Change>,
}

impl View<'_> {
    fn get(&mut self, path: &str) -> Option<Node> {
        let node = self.tree.nodes.get(path);
        let Some(transaction) = &mut self.transaction else { return node.cloned() };
        transaction.seen.entry(path.to_owned()).or_insert(node.map(|node| node.generation));
        transaction.changed.get(path).cloned().unwrap_or_else(|| node.cloned())
    }

    fn put(&mut self, path: &str, node: Option<Node>) {
        match &mut self.transaction {
            Some(transaction) => _ = transaction.changed.insert(path.to_owned(), node),
            None => self.tree.put(path.to_owned(), node),
        }
    }

    fn tell(&mut self, change: Change) {
        match &mut self.transaction {
            Some(transaction) => transaction.changes.push(change),
            None => self.changes.push(change),
        }
    }

    /// A node, for one who may do that. Where there is none, one who could not have it made may not know that.
    fn find(&mut self, path: &str, need: Need) -> Result<Node, Errno> {
        match self.get(path) {
            Some(node) if node.permissions.allow(self.who, need) => Ok(node),
            Some(_) => Err(Errno::ACCES),
            None => Err(self.missing(path, need)),
        }
    }

    fn missing(&mut self, path: &str, need: Need) -> Errno {
        let (_, above) = self.nearest(path);
        let need = if need == Need::Own { Need::Write } else { need };
        if above.permissions.allow(self.who, need) { Errno::NOENT } else { Errno::ACCES }
    }

    /// The nearest node above that is there. The root always is.
    fn nearest(&mut self, path: &str) -> (String, Node) {
        let mut at = path;
        loop {
            at = path::parent(at).unwrap_or("/");
            if let Some(node) = self.get(at) {
                return (at.to_owned(), node);
            }
        }
    }

    pub(super) fn read(&mut self, path: &str) -> Result<Node, Errno> {
        self.find(path, Need::Read)
    }

    pub(super) fn write(&mut self, path: &str, value: &[u8]) -> Result<(), Errno> {
        match self.find(path, Need::Write) {
            Ok(node) => {
                let changed = Node { value: value.to_vec(), ..node };
                self.check_size(&changed)?;
                self.changed(path, vec![changed.permissions.clone()]);
                self.put(path, Some(changed));
                Ok(())
            }
            Err(Errno::NOENT) => self.create(path, value),
            Err(errno) => Err(errno),
        }
    }

    pub(super) fn make(&mut self, path: &str) -> Result<(), Errno> {
        match self.find(path, Need::Write) {
            Ok(_) => Ok(()),
            Err(Errno::NOENT) => self.create(path, &[]),
            Err(errno) => Err(errno),
        }
    }

    /// Makes a node and those above it that are missing.
    fn create(&mut self, path: &str, value: &[u8]) -> Result<(), Errno> {
        let (mut above, mut parent) = self.nearest(path);
        let rest = path[above.len()..].trim_start_matches('/');
        self.check_count(rest.split('/').count(), parent.permissions.inherited(self.who).owner())?;
        let mut made = Vec::new();
        for name in rest.split('/') {
            parent.children.push(name.to_owned());
            self.check_size(&parent)?;
            let permissions = parent.permissions.inherited(self.who);
            let node = Node { value: Vec::new(), permissions, children: Vec::new(), generation: 0 };
            let at = path::child(&above, name);
            made.push((std::mem::replace(&mut above, at), std::mem::replace(&mut parent, node)));
        }
        parent.value = value.to_vec();
        self.check_size(&parent)?;
        self.changed(path, vec![parent.permissions.clone()]);
        made.push((above, parent));
        for (path, node) in made {
            self.put(&path, Some(node));
        }
        Ok(())
    }

    pub(super) fn remove(&mut self, path: &str) -> Result<(), Errno> {
        let Some(parent_path) = path::parent(path) else { return Err(Errno::INVAL) };
        match self.find(path, Need::Write) {
            Err(Errno::NOENT) => self.get(parent_path).map(drop).ok_or(Errno::NOENT),
            Err(errno) => Err(errno),
            Ok(_) => {
                let mut parent = self.get(parent_path).ok_or(Errno::IO)?;
                parent.children.retain(|name| *name != path::leaf(path));
                let permissions = parent.permissions.clone();
                self.put(parent_path, Some(parent));
                self.remove_below(path, Reach::Above, &permissions);
                Ok(())
            }
        }
    }

    fn remove_below(&mut self, path: &str, reach: Reach, parent: &Permissions) {
        let Some(node) = self.get(path) else { return };
        self.put(path, None);
        let (permissions, parent) = (vec![node.permissions.clone()], Some(parent.clone()));
        self.tell(Change { path: path.to_owned(), reach, permissions, parent });
        for name in node.children {
            self.remove_below(&path::child(path, &name), Reach::Exact, &node.permissions);
        }
    }

    pub(super) fn set_permissions(&mut self, path: &str, list: Vec<Permission>) -> Result<(), Errno> {
        let permissions = Permissions::new(list)?;
        let node = self.find(path, Need::Own)?;
        if !is_privileged(self.who) {
            if permissions.owner() != node.permissions.owner() {
                return Err(Errno::PERM);
            }
            if permissions.list().len() > self.quota.permissions {
                return Err(Errno::NOSPC);
            }
        }
        self.changed(path, vec![node.permissions.clone(), permissions.clone()]);
        self.put(path, Some(Node { permissions, ..node }));
        Ok(())
    }

    fn changed(&mut self, path: &str, permissions: Vec<Permissions>) {
        self.tell(Change { path: path.to_owned(), reach: Reach::Above, permissions, parent: None });
    }

    fn check_size(&self, node: &Node) -> Result<(), Errno> {
        let fits = is_privileged(self.who) || node.size() <= self.quota.node_size;
        if fits { Ok(()) } else { Err(Errno::NOSPC) }
    }

    fn check_count(&self, more: usize, owner: DomId) -> Result<(), Errno> {
        if is_privileged(self.who) {
            return Ok(());
        }
        let changed = self.transaction.as_ref().map(|transaction| &transaction.changed);
        let unchanged =
            self.tree.nodes.iter().filter(|(path, _)| changed.is_none_or(|changed| !changed.contains_key(*path)));
        let written = changed.into_iter().flat_map(|changed| changed.values().flatten());
        let all = unchanged.map(|(_, node)| node).chain(written);
        let count = all.filter(|node| node.permissions.owner() == owner).count();
        if count + more <= self.quota.nodes { Ok(()) } else { Err(Errno::NOSPC) }
    }
}

impl Transaction {
    /// Carries out what the transaction has done, unless a node that it has seen is another one now.
    pub(super) fn commit(self, tree: &mut Tree) -> Result<Vec<Change>, Errno> {
        let same = |(path, seen): (&String, &Option<u64>)| tree.nodes.get(path).map(|node| node.generation) == *seen;
        if !self.seen.iter().all(same) {
            return Err(Errno::AGAIN);
        }
        for (path, node) in self.changed {
            tree.put(path, node);
        }
        Ok(self.changes)
    }
}
