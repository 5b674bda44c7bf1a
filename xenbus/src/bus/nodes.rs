//! What the device model asks of a store.

use alloc::string::String;
use alloc::vec::Vec;

/// Reading and writing nodes, all of it as if at one moment: a transaction.
///
/// A client of xenstore implements this for its transactions; whoever calls then ends the transaction, and does all of it again
/// if xenstored says that it conflicted with another. Paths are absolute, or relative to the domain's home.
pub trait Nodes {
    /// Why a node was not read or written.
    type Error;

    /// The value of a node, or `None` where there is no such node, or none that this domain may read: for a front half it makes no
    /// difference whether a backend is gone, or another domain's.
    ///
    /// # Errors
    ///
    /// What the store answered, or that it did not answer.
    fn read(&self, path: &str) -> Result<Option<Vec<u8>>, Self::Error>;

    /// The names of a node's children, or `None` as for [`read`](Self::read).
    ///
    /// # Errors
    ///
    /// As for [`read`](Self::read).
    fn list(&self, path: &str) -> Result<Option<Vec<String>>, Self::Error>;

    /// Writes a node, and makes those above it where they are missing.
    ///
    /// # Errors
    ///
    /// As for [`read`](Self::read).
    fn write(&self, path: &str, value: &[u8]) -> Result<(), Self::Error>;

    /// The values of several nodes, in order. A store that can ask for all of them before it waits for the first does so.
    ///
    /// # Errors
    ///
    /// The first failure of [`read`](Self::read).
    fn read_all(&self, paths: &[String]) -> Result<Vec<Option<Vec<u8>>>, Self::Error> {
        paths.iter().map(|path| self.read(path)).collect()
    }

    /// Writes several nodes, in order. A store that can ask for all of it before it waits for the first answer does so.
    ///
    /// # Errors
    ///
    /// The first failure of [`write`](Self::write).
    fn write_all(&self, values: &[(String, &[u8])]) -> Result<(), Self::Error> {
        values.iter().try_for_each(|(path, value)| self.write(path, value))
    }
}

impl<N: Nodes + ?Sized> Nodes for &N {
    type Error = N::Error;

    fn read(&self, path: &str) -> Result<Option<Vec<u8>>, Self::Error> {
        (**self).read(path)
    }

    fn list(&self, path: &str) -> Result<Option<Vec<String>>, Self::Error> {
        (**self).list(path)
    }

    fn write(&self, path: &str, value: &[u8]) -> Result<(), Self::Error> {
        (**self).write(path, value)
    }

    fn read_all(&self, paths: &[String]) -> Result<Vec<Option<Vec<u8>>>, Self::Error> {
        (**self).read_all(paths)
    }

    fn write_all(&self, values: &[(String, &[u8])]) -> Result<(), Self::Error> {
        (**self).write_all(values)
    }
}
