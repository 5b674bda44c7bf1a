//! The requests that wait for their response.
//!
//! A table of a fixed number of places, without allocation. [`insert`](InFlight::insert) keeps what belongs to a request and
//! answers with the id to write into it, [`complete`](InFlight::complete) gives it back for the id in a response. Ids are
//! places in the table, and in 64 bits also the count of the insertion, so that each is new; never addresses or grants.
//!
//! # What a hostile peer can cause
//!
//! * A request that is completed early, late, in another order than it was made, or never: [`abandon`](InFlight::abandon)
//!   is for the latter, and keeps the id from use until the answer is there.
//! * An id that is out of range, not in flight, stale, or of a request that was not yet published is refused as a
//!   [`PeerError`] and changes nothing. The caller then breaks the ring.
//! * 16-bit ids come again soon, and a second answer to the earlier request is then one to the later.
//!
//! (Tests `hc_018`, `hc_023` to `hc_026`, `hc_059`, `hc_060`, `hc_071`, `hc_072` in `tests/in_flight.rs`.)
//!
//! # Example
//!
//! ```
//! use xen_shared_ring::in_flight::{Entry, InFlight};
//!
//! let mut reads: InFlight<&str, u64, _> = InFlight::new([const { Entry::VACANT }; 32]);
//! let id = reads.insert("sector 7").unwrap();
//! assert!(reads.complete(id).is_err(), "the back cannot know of it");
//! reads.mark_published(); // after the ring's `publish`
//! assert_eq!(reads.complete(id), Ok(Some("sector 7")));
//! assert!(reads.complete(id).is_err(), "a second time");
//! ```

use core::hint::cold_path;
use core::marker::PhantomData;
use core::mem;

use crate::error::{Full, PeerError};

/// No place: the end of the list of vacant ones.
const NONE: u32 = u32::MAX;

/// More places than 16 bits can number are not used.
const MOST_PLACES: usize = 1 << 16;

/// Requests in flight, each with a `T`, by ids of type `I`, in the places of `S`: an array, a boxed slice, a vector.
#[derive(Debug)]
pub struct InFlight<T, I, S> {
    places: S,
    /// The first vacant place.
    vacant: u32,
    /// The stamp of the next request; they count up and are never used twice.
    next: u64,
    /// Requests with a lower stamp were published.
    published: u64,
    types: PhantomData<fn(I) -> T>,
}

/// A place of the table.
#[derive(Debug)]
pub struct Entry<T>(State<T>);

#[derive(Debug)]
enum State<T> {
    /// In the list of vacant places, before `next`.
    Vacant { next: u32 },
    /// A request waits for its answer.
    Pending { stamp: u64, value: T },
    /// The caller gave the request up, and the peer may still answer it.
    Abandoned { stamp: u64 },
}

impl<T> Entry<T> {
    /// A place with nothing in it, to make arrays of.
    pub const VACANT: Self = Self(State::Vacant { next: NONE });
}

impl<T, I: Id, S: AsRef<[Entry<T>]> + AsMut<[Entry<T>]>> InFlight<T, I, S> {
    /// A table over these places, of which at most 65536 are used. What they hold is dropped.
    pub fn new(mut places: S) -> Self {
        let mut vacant = NONE;
        for (place, entry) in places.as_mut().iter_mut().take(MOST_PLACES).enumerate().rev() {
            *entry = Entry(State::Vacant { next: vacant });
            vacant = place as u32;
        }
        Self { places, vacant, next: 0, published: 0, types: PhantomData }
    }

    /// Keeps `value` for a request that is to be pushed, and answers with the request's id.
    ///
    /// # Errors
    ///
    /// The value comes back when all places are taken.
    #[inline]
    pub fn insert(&mut self, value: T) -> Result<I, Full<T>> {
        let (place, stamp) = (self.vacant, self.next);
        let Some(Entry(state)) = self.places.as_mut().get_mut(place as usize) else {
            cold_path();
            return Err(Full(value));
        };
        if let State::Vacant { next } = *state {
            self.vacant = next;
        }
        *state = State::Pending { stamp, value };
        self.next = stamp + 1;
        Ok(I::new(place, stamp))
    }

    /// Says that all requests so far were published. Call it after the ring's `publish`; before, no answer is accepted.
    ///
    /// A request that the ring had no room for is [withdrawn](Self::withdraw) before, or an answer to it would be believed.
    #[inline]
    pub const fn mark_published(&mut self) {
        self.published = self.next;
    }

    /// Takes out what belongs to the request that a response names, and makes its id free again. `None` when the request had
    /// been abandoned.
    ///
    /// # Errors
    ///
    /// The peer's violation, when no request of this id can have been answered.
    #[inline]
    pub fn complete(&mut self, id: I) -> Result<Option<T>, PeerError> {
        let place = id.place();
        let entry = self.places.as_mut().get_mut(place as usize);
        match entry.map(|Entry(state)| (state.stamp(), state)) {
            Some((Some(stamp), state)) if stamp < self.published && id.belongs_to(stamp) => {
                Ok(state.vacate(&mut self.vacant, place))
            }
            _ => {
                cold_path();
                Err(self.refusal(id))
            }
        }
    }

    /// Gives up waiting: takes out what belongs to the request, whose id stays in use until the answer comes. `None` when
    /// no such request is in flight.
    ///
    /// The peer may still write to what it was granted.
    pub fn abandon(&mut self, id: I) -> Option<T> {
        let (stamp, state) = self.in_use(id)?;
        mem::replace(state, State::Abandoned { stamp }).into_value()
    }

    /// Takes back a request that was not published, and makes its id free again. `None` when no such request is in flight,
    /// or the peer knows of it.
    pub fn withdraw(&mut self, id: I) -> Option<T> {
        let published = self.published;
        self.in_use(id).filter(|(stamp, _)| *stamp >= published)?;
        self.release(id.place())
    }

    /// How many ids are in use, those of abandoned requests included. Counts them.
    #[must_use]
    pub fn len(&self) -> usize {
        self.stamped().count()
    }

    /// Whether no id is in use. Searches the table.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.stamped().next().is_none()
    }

    /// The requests in the order in which they were inserted, without those that were abandoned.
    ///
    /// Each step searches the table: this is for a reconnect, not for every packet.
    pub fn iter(&self) -> impl Iterator<Item = (I, &T)> {
        let mut after = None;
        let in_order = core::iter::from_fn(move || {
            let next = self.stamped().filter(|(stamp, ..)| after.is_none_or(|after| *stamp > after));
            let (stamp, place, state) = next.min_by_key(|(stamp, ..)| *stamp)?;
            after = Some(stamp);
            Some((I::new(place, stamp), state))
        });
        in_order.filter_map(|(id, state)| Some((id, state.value()?)))
    }

    /// Takes out the request that was inserted first, answered or not, and makes its id free again: to make it anew on
    /// another ring, or to tell its owner that its outcome is unknown. Abandoned ones are let go on the way.
    ///
    /// For when the ring is gone; the peer could still answer on it.
    pub fn take_oldest(&mut self) -> Option<T> {
        loop {
            let (_, place, _) = self.stamped().min_by_key(|(stamp, ..)| *stamp)?;
            if let Some(value) = self.release(place) {
                return Some(value);
            }
        }
    }

    /// The request of this id, if it is in flight.
    fn in_use(&mut self, id: I) -> Option<(u64, &mut State<T>)> {
        let Entry(state) = self.places.as_mut().get_mut(id.place() as usize)?;
        state.stamp().filter(|stamp| id.belongs_to(*stamp)).map(|stamp| (stamp, state))
    }

    /// The places in use, with their stamps.
    fn stamped(&self) -> impl Iterator<Item = (u64, u32, &State<T>)> {
        (0..).zip(self.places.as_ref()).filter_map(|(place, Entry(state))| Some((state.stamp()?, place, state)))
    }

    fn release(&mut self, place: u32) -> Option<T> {
        self.places.as_mut().get_mut(place as usize)?.0.vacate(&mut self.vacant, place)
    }

    /// Why no request of this id can have been answered.
    #[cold]
    fn refusal(&self, id: I) -> PeerError {
        let places = self.places.as_ref();
        let capacity = u32::try_from(places.len()).unwrap_or(u32::MAX);
        match places.get(id.place() as usize).map(|Entry(state)| state.stamp()) {
            None => PeerError::IdOutOfRange { id: id.into(), capacity },
            Some(None) => PeerError::IdNotPending { id: id.into() },
            Some(Some(stamp)) if id.belongs_to(stamp) => PeerError::IdNotPublished { id: id.into() },
            Some(Some(stamp)) => {
                let pending = I::new(id.place(), stamp).into();
                PeerError::IdStale { id: id.into(), pending }
            }
        }
    }
}

impl<T> State<T> {
    /// The stamp of the request that is in flight here.
    #[inline]
    const fn stamp(&self) -> Option<u64> {
        match *self {
            Self::Pending { stamp, .. } | Self::Abandoned { stamp } => Some(stamp),
            Self::Vacant { .. } => None,
        }
    }

    const fn value(&self) -> Option<&T> {
        if let Self::Pending { value, .. } = self { Some(value) } else { None }
    }

    #[inline]
    fn into_value(self) -> Option<T> {
        if let Self::Pending { value, .. } = self { Some(value) } else { None }
    }

    /// Empties this place, which is number `place`, and puts it in front of the list of vacant ones.
    #[inline]
    fn vacate(&mut self, list: &mut u32, place: u32) -> Option<T> {
        let next = mem::replace(list, place);
        mem::replace(self, Self::Vacant { next }).into_value()
    }
}

/// The type that a protocol has for ids: `u16`, as the network's, or `u64`, as the block device's.
pub trait Id: Copy + Into<u64> + sealed::Id {}

impl Id for u16 {}

impl Id for u64 {}

mod sealed {
    pub trait Id {
        fn new(place: u32, stamp: u64) -> Self;

        /// The place in the table, which need not exist.
        fn place(self) -> u32;

        /// Whether the request with this stamp can have had this id, if it is in the id's place.
        fn belongs_to(self, stamp: u64) -> bool;
    }

    impl Id for u16 {
        #[inline]
        fn new(place: u32, _: u64) -> Self {
            place as Self
        }

        #[inline]
        fn place(self) -> u32 {
            u32::from(self)
        }

        #[inline]
        fn belongs_to(self, _: u64) -> bool {
            true
        }
    }

    /// The place in the low 16 bits, and above it as much of the stamp as there is room for.
    impl Id for u64 {
        #[inline]
        fn new(place: u32, stamp: u64) -> Self {
            stamp << 16 | Self::from(place)
        }

        #[inline]
        fn place(self) -> u32 {
            (self & 0xffff) as u32
        }

        #[inline]
        fn belongs_to(self, stamp: u64) -> bool {
            self >> 16 == stamp & (Self::MAX >> 16)
        }
    }
}
