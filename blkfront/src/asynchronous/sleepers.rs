//! Who waits for something to happen to a disk.

use alloc::vec::Vec;
use core::task::{Context, Waker};

use super::AsyncDisk;
use crate::Platform;

/// Those who wait, one for each seat at most.
#[derive(Default)]
pub(super) struct Sleepers {
    waiting: Vec<(u64, Waker)>,
    seats: u64,
}

/// The place of one future, from when it first waits on. It goes with it.
pub(super) struct Seat<'a, P: Platform> {
    disk: &'a AsyncDisk<P>,
    number: Option<u64>,
}

impl Sleepers {
    /// Has the task woken when something has happened. The waker that its future had before is to be dropped where no lock is held.
    #[must_use]
    pub(super) fn sleep<P: Platform>(&mut self, seat: &mut Seat<'_, P>, context: &Context<'_>) -> Option<Waker> {
        let number = *seat.number.get_or_insert_with(|| {
            self.seats += 1;
            self.seats
        });
        let waker = context.waker();
        let Some((_, old)) = self.waiting.iter_mut().find(|(seat, _)| *seat == number) else {
            self.waiting.push((number, waker.clone()));
            return None;
        };
        (!old.will_wake(waker)).then(|| core::mem::replace(old, waker.clone()))
    }

    /// Who is to be woken, where no lock is held.
    #[must_use]
    pub(super) fn take(&mut self) -> Vec<(u64, Waker)> {
        core::mem::take(&mut self.waiting)
    }

    fn leave(&mut self, number: u64) -> Option<Waker> {
        let place = self.waiting.iter().position(|(seat, _)| *seat == number)?;
        Some(self.waiting.swap_remove(place).1)
    }
}

impl<'a, P: Platform> Seat<'a, P> {
    pub(super) const fn new(disk: &'a AsyncDisk<P>) -> Self {
        Self { disk, number: None }
    }
}

impl<P: Platform> Drop for Seat<'_, P> {
    fn drop(&mut self) {
        let Some(number) = self.number else { return };
        let waker = self.disk.lock().sleepers.leave(number);
        // The lock is open: a waker that goes may take a task along, with its seats.
        drop(waker);
    }
}
