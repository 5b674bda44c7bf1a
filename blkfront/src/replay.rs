//! Making changes again that a lost backend had acknowledged.

use core::time::Duration;

use crate::Platform;
use crate::buffer::Buffer;
use crate::cache::{Change, Entry};
use crate::device::Blkfront;
use crate::jobs::{Job, Origin};
use crate::request::{Discard, Kind};
use crate::sector::Extent;

/// Where the replay of the journal is: the next entry, and the job that is under way.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Replay {
    next: usize,
    busy: bool,
}

impl Replay {
    pub(crate) const START: Self = Self { next: 0, busy: false };
}

/// Sends the next change of the journal, one at a time: they may overlap. Nothing else is sent before the last one is answered.
pub(crate) fn go_on<P: Platform>(disk: &mut Blkfront<P>, now: Duration) {
    let Some(replay) = disk.replay else { return };
    if replay.busy {
        // Ring and grants may have been used up when it was to be sent, and it may have more parts.
        return resume(disk, now);
    }
    let Some(entry) = disk.cache.entry(replay.next) else {
        disk.replay = None;
        return disk.send(now);
    };
    let fitting = job(disk.store.platform(), entry, now).filter(|job| disk.takes(job));
    match fitting {
        Some(job) => {
            let id = disk.jobs.insert(job);
            disk.replay = Some(Replay { busy: true, ..replay });
            disk.replaying = id.place;
            resume(disk, now);
        }
        None => {
            lose(disk);
            disk.send(now);
        }
    }
}

/// A change of the journal was made again, or failed.
pub(crate) fn written<P: Platform>(disk: &mut Blkfront<P>, place: u32) {
    let Some(job) = disk.take_out(place) else { return lose(disk) };
    // What is discarded is of no use to anybody; a secret that was to be destroyed is another matter.
    let must = !matches!(job.kind, Kind::Discard { how: Discard::Plain, .. });
    if job.failure.is_some() && must {
        return lose(disk);
    }
    disk.statistics.replayed += 1;
    if let Some(replay) = &mut disk.replay {
        *replay = Replay { next: replay.next + 1, busy: false };
    }
}

/// The rest is not made again: what was acknowledged counts as lost, and the next flush says so.
fn lose<P: Platform>(disk: &mut Blkfront<P>) {
    disk.cache.give_up();
    disk.replay = None;
}

fn resume<P: Platform>(disk: &mut Blkfront<P>, now: Duration) {
    let place = disk.replaying;
    while disk.jobs.get(place).is_some_and(|job| job.origin == Origin::Journal && job.has_more()) {
        if disk.send_job(place, now) == crate::send::Sent::Blocked {
            break;
        }
    }
}

impl<P: Platform> Blkfront<P> {
    /// Whether the disk that is connected now can do this. A plain discard may fail.
    fn takes(&self, job: &Job<P>) -> bool {
        let plain = matches!(job.kind, Kind::Discard { how: Discard::Plain, .. });
        let extent = Extent { at: job.at, sectors: job.sectors() };
        plain || self.disk().is_some_and(|disk| disk.check(job.kind, extent, job.buffer.len()).is_ok())
    }
}

fn job<P: Platform>(platform: &P, entry: &Entry, now: Duration) -> Option<Job<P>> {
    let (kind, buffer) = match &entry.change {
        Change::Write(data) => {
            let mut buffer = Buffer::alloc(platform, data.len())?;
            buffer.copy_in(0, data);
            (Kind::Write, buffer)
        }
        Change::Discard { sectors, how } => (Kind::Discard { sectors: *sectors, how: *how }, Buffer::empty()),
    };
    let mut job = Job::new(kind, entry.at, buffer, now, Origin::Journal);
    job.alone = true;
    Some(job)
}
