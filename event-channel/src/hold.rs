//! Holding a port's events back while they come too often or for nothing.

use core::time::Duration;

use xen_hypercall::event_channel;

use crate::slot::Slot;
use crate::{Channel, ChannelError, Events};

/// How many events in a row may find nothing to do before the port is held: events that cross with the last look are normal.
pub const SPURIOUS_IN_A_ROW: u32 = if cfg!(loom) { 0 } else { 4 };

/// How long the first hold takes; each further one in a row takes twice as long.
pub const SHORTEST_HOLD: Duration = Duration::from_millis(1);

/// How long a hold takes at most.
pub const LONGEST_HOLD: Duration = Duration::from_secs(1);

/// What the owner of a channel found when it looked.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Found {
    /// Something to do. Were it not so, the peer could not complain of a hold.
    Work,
    /// Nothing.
    Nothing,
}

/// Whether a channel's events come through.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Settled {
    /// They do, unless [`Channel::mask`] keeps them back.
    Open,
    /// Not before this system time, at which somebody must call [`Channel::lift`], [`Channel::settle`] or a wait: the owner sets
    /// its timer. An event that comes meanwhile is kept and counted then.
    Held(Duration),
}

/// Settling.
impl<P: Events> Channel<P> {
    /// Tells what the owner found after the events so far, and whether more will come through. To be called after each look at
    /// what the channel belongs to, before waiting.
    ///
    /// This is what the limit of [`BURST`](crate::BURST) events waits for. Events that find nothing to do more than
    /// [`SPURIOUS_IN_A_ROW`] times get the port held, for a time that doubles from [`SHORTEST_HOLD`] to [`LONGEST_HOLD`] until
    /// there is work again. Interrupts and IPIs are counted and never held.
    ///
    /// A channel has one owner that settles it, and waits on it.
    ///
    /// # Errors
    ///
    /// [`ChannelError::Stale`], or Xen's refusal to unmask the port, which stays held then: the next settling, wait or
    /// [`lift`](Self::lift) tries again.
    pub fn settle(&self, found: Found, now: Duration) -> Result<Settled, ChannelError> {
        let slot = self.slot()?;
        match found {
            Found::Work => {
                slot.end_spurious_run();
                self.release(slot)
            }
            Found::Nothing if slot.look().is_unsettled() => self.settle_spurious(slot, now),
            // There was no event to blame: the owner looked by itself.
            Found::Nothing => self.lift(now),
        }
    }

    /// Ends a hold whose time has come.
    ///
    /// # Errors
    ///
    /// As for [`settle`](Self::settle).
    pub fn lift(&self, now: Duration) -> Result<Settled, ChannelError> {
        let slot = self.slot()?;
        match self.hold_ends(slot) {
            Some(end) if now < end => Ok(Settled::Held(end)),
            Some(_) => self.release(slot),
            None => Ok(Settled::Open),
        }
    }

    /// Until when the channel is held. A time that has passed, 0 for instance, says that a wait or a settling is due.
    fn hold_ends(&self, slot: &Slot) -> Option<Duration> {
        slot.look().is_held().then(|| Duration::from_nanos(slot.held_until()))
    }

    fn settle_spurious(&self, slot: &Slot, now: Duration) -> Result<Settled, ChannelError> {
        let run = slot.count_spurious();
        if run <= SPURIOUS_IN_A_ROW || !slot.look().is_limited() {
            return self.release(slot);
        }
        let end = now.saturating_add(hold_time(run - SPURIOUS_IN_A_ROW));
        self.platform.event_channels().mask(&self.platform, self.port.0);
        slot.hold_until(nanoseconds(end));
        Ok(Settled::Held(end))
    }

    /// Ends a hold. What the owner has masked itself stays so.
    fn release(&self, slot: &Slot) -> Result<Settled, ChannelError> {
        let before = slot.release();
        if before.is_held() && !before.is_masked() {
            self.let_through(slot)?;
        }
        Ok(Settled::Open)
    }

    /// Has Xen unmask the port. Where it refuses, the port is held, so that the next look tries again.
    pub(crate) fn let_through(&self, slot: &Slot) -> Result<(), ChannelError> {
        event_channel::unmask(&self.platform, self.port).map_err(|errno| {
            slot.hold_until(0);
            ChannelError::Refused(errno)
        })
    }
}

/// The time of the `n`th hold in a row, from 1 on.
fn hold_time(n: u32) -> Duration {
    let factor = 1_u32.checked_shl(n - 1).unwrap_or(u32::MAX);
    SHORTEST_HOLD.saturating_mul(factor).min(LONGEST_HOLD)
}

/// Rounded up to what a slot can keep; 0 is no time.
fn nanoseconds(time: Duration) -> u64 {
    u64::try_from(time.as_nanos()).unwrap_or(u64::MAX).max(1)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn holds_double_up_to_the_longest() {
        let times = [1, 2, 3, 10, 11, 12, 32, 33, u32::MAX].map(hold_time);
        let expected = [1, 2, 4, 512, 1000, 1000, 1000, 1000, 1000].map(Duration::from_millis);
        assert_eq!(times, expected);
    }
}
