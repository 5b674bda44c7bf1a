//! Where tasks wait for an interface.

use alloc::sync::Arc;
use alloc::vec::Vec;
use core::mem;
use core::task::{Context, Waker};

use spin::Mutex;
use xen_xenbus::bus::End;

use crate::Platform;
use crate::device::Netfront;
use crate::driver::Interfaces;
use crate::event::Event;
use crate::options::RING_SLOTS;

/// So many packets in a row; then other tasks have their turn, whatever a backend does.
const TURN: u32 = RING_SLOTS;

/// What a task waits for. The end of the interface is for all of them.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Want {
    /// A packet.
    Packet,
    /// A packet, with room for an answer.
    #[cfg(feature = "embassy-net-driver")]
    PacketAndRoom,
    /// Room for a packet of the MTU.
    Room,
    /// Room for one that is to be cut.
    RoomToCut,
    /// Something that happens to the interface.
    Event,
}

/// Those who wait for the interfaces with some numbers. There is one bench for a number, for as long as somebody has hold of it.
#[derive(Debug, Default)]
pub(crate) struct Benches(Mutex<Vec<Arc<Bench>>>);

/// Those who wait for the interface with a number, whichever device that is.
#[derive(Debug)]
pub(crate) struct Bench {
    number: u32,
    state: Mutex<State>,
}

#[derive(Debug)]
struct State {
    /// One for each seat at most.
    waiting: Vec<Waiting>,
    seats: u64,
    /// The interface has been seen.
    is_there: bool,
    /// How many interfaces have had this number and have ended, and how the last one did.
    ends: u64,
    end: End,
    /// Tasks receive packets.
    receives: bool,
    /// How many packets may still go before others have their turn.
    turn: u32,
}

#[derive(Debug)]
struct Waiting {
    seat: u64,
    want: Want,
    waker: Waker,
}

/// The place of one future. It goes with it.
#[derive(Debug)]
pub(crate) struct Seat {
    bench: Arc<Bench>,
    id: u64,
}

impl Benches {
    pub(crate) fn of(&self, number: u32, is_there: bool) -> Arc<Bench> {
        let mut benches = self.0.lock();
        let known = benches.iter().find(|bench| bench.number == number);
        let bench = known.map_or_else(|| Arc::new(Bench::new(number, is_there)), Arc::clone);
        if known.is_none() {
            benches.push(Arc::clone(&bench));
        }
        bench
    }

    /// Who is to be woken, now that the interfaces were polled.
    pub(crate) fn review<P: Platform>(
        &self,
        interfaces: &mut Interfaces<P>,
        event: Option<&(u32, Event)>,
    ) -> Vec<Waker> {
        let mut woken = Vec::new();
        // Nobody but us has hold of it, so that nobody comes meanwhile.
        self.0.lock().retain(|bench| {
            let event = event.filter(|(number, _)| *number == bench.number).map(|(_, event)| event);
            bench.review(interfaces.get_mut(bench.number), event, &mut woken);
            Arc::strong_count(bench) > 1
        });
        woken
    }

    /// Whether somebody waits whose turn was over. He is woken by the next review.
    pub(crate) fn are_due(&self) -> bool {
        let is_due = |state: &State| state.turn == 0 && state.waiting.iter().any(|one| one.want != Want::Event);
        self.0.lock().iter().any(|bench| is_due(&bench.state.lock()))
    }

    /// Has packets left alone for now where tasks receive, and none of them waits for one.
    pub(crate) fn leave_packets<P: Platform>(&self, interfaces: &mut Interfaces<P>) {
        let benches = self.0.lock();
        for bench in benches.iter().filter(|bench| bench.state.lock().leaves_packets()) {
            if let Some(interface) = interfaces.get_mut(bench.number) {
                interface.leave_packets();
            }
        }
    }
}

impl Bench {
    const fn new(number: u32, is_there: bool) -> Self {
        Self {
            number,
            state: Mutex::new(State {
                waiting: Vec::new(),
                seats: 0,
                is_there,
                ends: 0,
                end: End::Closed,
                receives: false,
                turn: TURN,
            }),
        }
    }

    pub(crate) const fn number(&self) -> u32 {
        self.number
    }

    /// How many interfaces with this number have ended.
    pub(crate) fn ends(&self) -> u64 {
        self.state.lock().ends
    }

    /// How the interface has ended before which so many had, if it has.
    pub(crate) fn end_after(&self, ends: u64) -> Option<End> {
        let state = self.state.lock();
        (state.ends > ends).then_some(state.end)
    }

    pub(crate) fn seat(self: &Arc<Self>) -> Seat {
        let mut state = self.state.lock();
        state.seats += 1;
        Seat { bench: Arc::clone(self), id: state.seats }
    }

    /// Whether somebody who wants this may have it now, if it is there.
    pub(crate) fn may_have(&self, want: Want) -> bool {
        let mut state = self.state.lock();
        state.receives |= want == Want::Packet;
        want == Want::Event || state.turn > 0
    }

    /// Somebody had a packet, or has sent one.
    pub(crate) fn had(&self, want: Want) {
        if want != Want::Event {
            let turn = &mut self.state.lock().turn;
            *turn = turn.saturating_sub(1);
        }
    }

    fn review<P: Platform>(
        &self,
        mut interface: Option<&mut Netfront<P>>,
        event: Option<&Event>,
        woken: &mut Vec<Waker>,
    ) {
        let mut state = self.state.lock();
        state.turn = TURN;
        let was_there = mem::replace(&mut state.is_there, interface.is_some());
        let has_ended = was_there && interface.is_none();
        if has_ended {
            // Where its owner has polled for its end himself, he has closed it.
            state.end = if let Some(Event::Ended(end)) = event { *end } else { End::Closed };
            state.ends += 1;
        }
        let mut has = |want: Want| match want {
            Want::Event => event.is_some(),
            _ => interface.as_deref_mut().is_some_and(|interface| want.is_there(interface)),
        };
        let due = state.waiting.extract_if(.., |one| has_ended || has(one.want));
        woken.extend(due.map(|one| one.waker));
    }
}

impl State {
    fn leaves_packets(&self) -> bool {
        self.receives && !self.waiting.iter().any(|one| one.want.is_packet())
    }
}

impl Want {
    /// Whether it is there now. The interface sees to it that it is woken at the event that comes with it, otherwise.
    fn is_there<P: Platform>(self, interface: &mut Netfront<P>) -> bool {
        match self {
            Self::Packet => interface.receive().is_some(),
            #[cfg(feature = "embassy-net-driver")]
            Self::PacketAndRoom => interface.receive_and_transmit().is_some(),
            Self::Room => interface.transmit().is_some(),
            Self::RoomToCut => interface.transmit_to_cut().is_some(),
            Self::Event => false,
        }
    }

    const fn is_packet(self) -> bool {
        match self {
            Self::Packet => true,
            #[cfg(feature = "embassy-net-driver")]
            Self::PacketAndRoom => true,
            Self::Room | Self::RoomToCut | Self::Event => false,
        }
    }
}

impl Seat {
    pub(crate) fn bench(&self) -> &Bench {
        &self.bench
    }

    /// Has the task woken when there is what it wants. What it wanted before is forgotten; the waker that it had then is to be dropped
    /// where no lock is held.
    #[must_use]
    pub(crate) fn wait(&self, want: Want, context: &Context<'_>) -> Option<Waker> {
        let (waker, mut state) = (context.waker(), self.bench.state.lock());
        let Some(one) = state.waiting.iter_mut().find(|one| one.seat == self.id) else {
            state.waiting.push(Waiting { seat: self.id, want, waker: waker.clone() });
            return None;
        };
        one.want = want;
        (!one.waker.will_wake(waker)).then(|| mem::replace(&mut one.waker, waker.clone()))
    }
}

impl Drop for Seat {
    fn drop(&mut self) {
        let mut state = self.bench.state.lock();
        let place = state.waiting.iter().position(|one| one.seat == self.id);
        let one = place.map(|place| state.waiting.swap_remove(place));
        drop(state);
        // A waker that goes may take a task along, with its seats.
        drop(one);
    }
}
