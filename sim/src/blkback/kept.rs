//! Pages that stay mapped where both sides want that.

use std::collections::HashMap;
use std::time::Duration;

use xen_hypercall::abi::grant_table::GrantRef;

use crate::backend::Mapped;

/// Pages of one queue that stay mapped.
#[derive(Default)]
pub(super) struct Kept {
    pages: HashMap<GrantRef, Entry>,
    next_purge: Duration,
}

struct Entry {
    mapped: Mapped,
    /// The last request that used it, and when.
    request: u64,
    used: Duration,
}

/// How often unused pages are looked for.
const BETWEEN_PURGES: Duration = Duration::from_millis(100);

impl Kept {
    pub(super) fn len(&self) -> usize {
        self.pages.len()
    }

    pub(super) fn find(&mut self, gref: GrantRef, request: u64, now: Duration) -> Option<Mapped> {
        let entry = self.pages.get_mut(&gref)?;
        (entry.request, entry.used) = (request, now);
        Some(entry.mapped)
    }

    pub(super) fn keep(&mut self, mapped: Mapped, request: u64, now: Duration) {
        self.pages.insert(mapped.gref, Entry { mapped, request, used: now });
    }

    /// Takes out what was not used for long, and the oldest where there are too many; nothing that the requests from `oldest` on
    /// use.
    pub(super) fn purge(&mut self, oldest: u64, now: Duration, unused: Duration, most: usize) -> Vec<Mapped> {
        if now < self.next_purge {
            return Vec::new();
        }
        self.next_purge = now + BETWEEN_PURGES;
        let idle = |entry: &Entry| entry.request < oldest;
        let mut out: Vec<GrantRef> = Vec::new();
        out.extend(self.pages.iter().filter(|(_, e)| idle(e) && e.used + unused <= now).map(|(gref, _)| *gref));
        if self.pages.len() >= most && out.is_empty() {
            let mut all: Vec<(u64, GrantRef)> =
                self.pages.iter().filter(|(_, e)| idle(e)).map(|(gref, entry)| (entry.request, *gref)).collect();
            all.sort_unstable();
            out.extend(all.into_iter().take(most / 20 + 1).map(|(_, gref)| gref));
        }
        out.sort_unstable();
        out.iter().filter_map(|gref| self.pages.remove(gref)).map(|entry| entry.mapped).collect()
    }

    /// Takes all out.
    pub(super) fn empty(&mut self) -> Vec<Mapped> {
        let mut all: Vec<Mapped> = self.pages.drain().map(|(_, entry)| entry.mapped).collect();
        all.sort_unstable_by_key(|mapped| mapped.gref);
        all
    }
}
