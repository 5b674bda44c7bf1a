//! Tasks to be woken, once the store's lock is open again.
//!
//! A waker is somebody else's code, and its end may be the end of a task that has calls of this very store. Neither is run while
//! the lock is held. (Test `a_waker_may_use_the_store_or_drop_what_does`)

use alloc::sync::Arc;
use alloc::vec::Vec;
use core::ops::{Deref, DerefMut};
use core::task::Waker;
use core::time::Duration;

use crate::sync::MutexGuard;
use xen_event_channel::Events;

use super::cell::Cell;
use super::core::Core;

/// What is left to do when the lock is open: dropped, it is done.
#[derive(Default)]
pub(super) struct Wakes {
    woken: Vec<Waker>,
    /// Nobody needs them any more.
    spent: Vec<Waker>,
}

impl Wakes {
    pub(super) fn wake(&mut self, waker: Option<Waker>) {
        self.woken.extend(waker);
    }

    pub(super) fn spend(&mut self, waker: Option<Waker>) {
        self.spent.extend(waker);
    }

    const fn is_empty(&self) -> bool {
        self.woken.is_empty() && self.spent.is_empty()
    }

    /// A watch has something to tell.
    pub(super) fn fire(&mut self, cell: &Arc<Cell>) {
        self.wake(cell.fire());
    }
}

impl Drop for Wakes {
    fn drop(&mut self) {
        self.woken.drain(..).for_each(Waker::wake);
    }
}

/// The store's lock, held. Who is to be woken is woken when it is open again.
pub(super) struct Locked<'a, P: Events> {
    // Dropped in this order: first the lock is opened.
    core: MutexGuard<'a, Core<P>>,
    /// None, most of the time.
    wakes: Option<Wakes>,
}

impl<'a, P: Events> Locked<'a, P> {
    pub(super) const fn new(core: MutexGuard<'a, Core<P>>) -> Self {
        Self { core, wakes: None }
    }
}

impl<P: Events> Deref for Locked<'_, P> {
    type Target = Core<P>;

    fn deref(&self) -> &Core<P> {
        &self.core
    }
}

impl<P: Events> DerefMut for Locked<'_, P> {
    fn deref_mut(&mut self) -> &mut Core<P> {
        &mut self.core
    }
}

impl<P: Events> Drop for Locked<'_, P> {
    fn drop(&mut self) {
        if !self.core.wakes.is_empty() {
            self.wakes = Some(core::mem::take(&mut self.core.wakes));
        }
    }
}

/// Those that wait for room in the queue, or for a time.
pub(super) struct Sleepers {
    sleepers: Vec<Sleeper>,
    /// The number of the last one.
    last: u64,
    /// How often there may have been room.
    rooms: u32,
}

struct Sleeper {
    number: u64,
    time: Duration,
    waker: Waker,
}

impl Sleepers {
    pub(super) const fn new() -> Self {
        Self { sleepers: Vec::new(), last: 0, rooms: 0 }
    }

    /// What to compare with, to learn whether there was room since.
    pub(super) const fn rooms(&self) -> u32 {
        self.rooms
    }

    /// Notes who waits since there was no room. One call has one number, and one waker.
    pub(super) fn add(&mut self, number: &mut Option<u64>, time: Duration, waker: &Waker, wakes: &mut Wakes) {
        let number = *number.get_or_insert_with(|| {
            self.last += 1;
            self.last
        });
        self.remove(number, wakes);
        self.sleepers.push(Sleeper { number, time, waker: waker.clone() });
    }

    pub(super) fn remove(&mut self, number: u64, wakes: &mut Wakes) {
        let gone = self.sleepers.extract_if(.., |sleeper| sleeper.number == number);
        gone.for_each(|sleeper| wakes.spend(Some(sleeper.waker)));
    }

    /// There may be room for them.
    pub(super) fn wake_all(&mut self, wakes: &mut Wakes) {
        self.rooms = self.rooms.wrapping_add(1);
        self.wake(Duration::MAX, wakes);
    }

    /// Wakes those whose time has come.
    pub(super) fn wake(&mut self, now: Duration, wakes: &mut Wakes) {
        let due = self.sleepers.extract_if(.., |sleeper| sleeper.time <= now);
        due.for_each(|sleeper| wakes.wake(Some(sleeper.waker)));
    }

    pub(super) fn next_deadline(&self) -> Option<Duration> {
        self.sleepers.iter().map(|sleeper| sleeper.time).min()
    }
}
