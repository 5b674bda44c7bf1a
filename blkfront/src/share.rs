//! What goes into one request of the ring: which pages, of which jobs.

use xen_grant_table::Refusal;
use xen_hypercall::abi::io::blkif::{MAX_SEGMENTS_PER_REQUEST, Segment};

use crate::Platform;
use crate::device::Blkfront;
use crate::jobs::Job;
use crate::lending::Purpose;
use crate::request::Kind;
use crate::sector::SECTOR;

/// Some pages of a job, or all pages of several.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Share {
    /// The job, or the first of several.
    pub(crate) job: u32,
    pub(crate) jobs: u32,
    /// Of one job: from which page on.
    pub(crate) page: u32,
    pub(crate) pages: u32,
}

impl<P: Platform> Blkfront<P> {
    /// What goes into the next request of the ring.
    pub(crate) fn share(&self, place: u32) -> Option<Share> {
        let most = self.connection.as_ref()?.disk.as_ref()?.segments();
        let job = self.jobs.get(place)?;
        // Barriers cannot be indirect.
        let most = if job.kind == Kind::Barrier { most.min(MAX_SEGMENTS_PER_REQUEST as u32) } else { most };
        let left = job.steps() - job.sent;
        let share = Share { job: place, jobs: 1, page: job.sent, pages: left.min(most) };
        if job.sent > 0 || left >= most || job.alone || job.kind == Kind::Barrier {
            return Some(share);
        }
        Some(self.merge(share, job, most))
    }

    /// Adds jobs that follow and go on where the one before them ends.
    fn merge(&self, mut share: Share, first: &Job<P>, most: u32) -> Share {
        let mut last = first;
        while let Some(next) = self.jobs.get(last.next()) {
            let adjacent = next.kind == first.kind && next.at == last.at + last.sectors();
            let fits = share.pages + next.steps() <= most;
            if !adjacent || !fits || next.sent > 0 || next.alone || !next.has_more() {
                break;
            }
            share.jobs += 1;
            share.pages += next.steps();
            last = next;
        }
        share
    }

    /// Grants the pages of a share, and notes their segments. Where grants or memory run out it is a smaller share.
    pub(crate) fn lend(&mut self, share: Share) -> Result<Share, Refusal> {
        self.segments.clear();
        let mut lent = Share { jobs: 0, pages: 0, ..share };
        let mut place = share.job;
        while lent.jobs < share.jobs {
            let Some(job) = self.jobs.get(place) else { break };
            let (first, count) = if share.jobs == 1 { (share.page, share.pages) } else { (0, job.steps()) };
            let next = job.next();
            let (pages, refusal) = self.lend_pages(place, first, count);
            match refusal {
                None => (lent.jobs, lent.pages) = (lent.jobs + 1, lent.pages + pages),
                // A part of one job can be sent, and several whole ones.
                Some(_) if lent.jobs == 0 && pages > 0 => return Ok(Share { jobs: 1, page: first, pages, ..share }),
                Some(_) if lent.jobs > 0 => {
                    self.unlend(place, 0, pages);
                    break;
                }
                Some(refusal) => {
                    self.unlend(place, first, pages);
                    return Err(refusal);
                }
            }
            place = next;
        }
        Ok(lent)
    }

    /// Grants pages of one job, and answers with how many it were, and why not all.
    fn lend_pages(&mut self, place: u32, first: u32, count: u32) -> (u32, Option<Refusal>) {
        let (Some(job), Some(connection)) = (self.jobs.get_mut(place), &mut self.connection) else {
            return (0, None);
        };
        let (purpose, lending) = (job.kind.purpose(), &mut connection.lending);
        for page in first..first + count {
            match job.buffer.lend(page as usize, purpose, lending) {
                Ok(gref) => {
                    let last_sect = (job.buffer.used(page as usize) / SECTOR).saturating_sub(1) as u8;
                    self.segments.push(Segment { gref, first_sect: 0, last_sect, _pad: 0 });
                }
                Err(refusal) => return (page - first, Some(refusal)),
            }
        }
        (count, None)
    }

    /// Takes pages back that nobody was told of.
    fn unlend(&mut self, place: u32, first: u32, count: u32) {
        let (Some(job), Some(connection)) = (self.jobs.get_mut(place), &mut self.connection) else { return };
        let mut kept = Ok(());
        for page in first..first + count {
            self.segments.pop();
            kept = kept.and(job.buffer.take_back(page as usize, Purpose::Write, &mut connection.lending));
        }
        // A backend that has guessed the number keeps a page that it was never told of: without it nothing can be sent.
        if let Err(violation) = kept {
            self.misbehaved(violation);
        }
    }

    pub(crate) fn unlend_share(&mut self, share: Share) {
        let mut place = share.job;
        for _ in 0..share.jobs {
            let Some(job) = self.jobs.get(place) else { break };
            let (next, steps) = (job.next(), job.steps());
            let (first, count) = if share.jobs == 1 { (share.page, share.pages) } else { (0, steps) };
            self.unlend(place, first, count);
            place = next;
        }
    }
}
