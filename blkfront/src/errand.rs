//! What a disk wants of xenstore, apart from it: who waits for the answer need not hold the disk.

use alloc::format;
use alloc::string::{String, ToString};
use alloc::vec::Vec;

use xen_xenbus::Store;
use xen_xenbus::bus::{self, Attempt, Keys};

use crate::Platform;
use crate::disk::{DISK_KEYS, LIMIT_KEYS};

/// Something to be read or written.
#[derive(Debug)]
pub(crate) struct Errand {
    /// Which front half's, of the disk's.
    pub(crate) era: u32,
    pub(crate) what: Wanted,
}

#[derive(Debug)]
pub(crate) enum Wanted {
    Front(bus::Errand),
    /// Keys of the backend in this directory.
    Keys {
        asked: Asked,
        directory: String,
    },
}

/// What keys are wanted for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Asked {
    /// To make an offer.
    Limits(Attempt),
    /// To know the disk that was agreed upon.
    Disk(Attempt),
    /// To see what has changed.
    Change,
}

/// What came of it.
pub(crate) struct Brought {
    pub(crate) era: u32,
    pub(crate) what: Found,
}

pub(crate) enum Found {
    Front(bus::Brought),
    Keys {
        asked: Asked,
        /// All of one moment.
        keys: Result<Keys, String>,
        /// What the tools call the disk, where that was asked for.
        params: Option<Vec<u8>>,
    },
}

impl Errand {
    /// Blocks for as long as xenstore's answers take.
    pub(crate) fn run<P: Platform>(self, store: &Store<P>) -> Brought {
        let what = match self.what {
            Wanted::Front(errand) => Found::Front(errand.run(store)),
            Wanted::Keys { asked, directory } => {
                let keys = store.transaction(|t| Keys::read(t, &directory, asked.names()));
                let params = asked.params(&directory).and_then(|path| store.read(&path).wait().ok());
                Found::Keys { asked, keys: keys.map_err(|error| error.to_string()), params }
            }
        };
        Brought { era: self.era, what }
    }

    /// The same, for tasks.
    pub(crate) async fn run_async<P: Platform>(self, store: &Store<P>) -> Brought {
        let what = match self.what {
            Wanted::Front(errand) => Found::Front(errand.run_async(store).await),
            Wanted::Keys { asked, directory } => {
                let keys = Keys::read_async(store, &directory, asked.names()).await;
                let params = match asked.params(&directory) {
                    Some(path) => store.read(&path).await.ok(),
                    None => None,
                };
                Found::Keys { asked, keys: keys.map_err(|error| error.to_string()), params }
            }
        };
        Brought { era: self.era, what }
    }
}

impl Asked {
    const fn names(self) -> &'static [&'static str] {
        match self {
            Self::Limits(_) => LIMIT_KEYS,
            Self::Disk(_) | Self::Change => DISK_KEYS,
        }
    }

    /// Where that stands which the tools call the disk. It may be of any bytes, and may not be there.
    fn params(self, directory: &str) -> Option<String> {
        matches!(self, Self::Disk(_)).then(|| format!("{directory}/params"))
    }
}
