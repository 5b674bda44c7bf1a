//! What goes through a ring, and how many of it a ring holds.

use zerocopy::{FromBytes, Immutable, IntoBytes};

/// Bytes of a ring before its first slot. (`offsetof(struct name_sring, ring)`, public/io/ring.h)
pub(crate) const HEADER: usize = 64;

/// Bytes of a page, as Xen counts them.
const PAGE: usize = 4096;

/// A message as it lies in a slot: plain data of a multiple of four bytes, without padding that is not a named field.
///
/// Every type that is so is a slot; there is nothing to implement. A ring whose messages have another size does not compile:
///
/// ```compile_fail,E0080
/// use xen_shared_ring::{Protocol, Slots};
///
/// enum Odd {}
/// impl Protocol for Odd {
///     type Request = [u8; 6];
///     type Response = u32;
/// }
/// let slots = Slots::in_pages::<Odd>(0);
/// # let _ = slots;
/// ```
pub trait Slot: FromBytes + IntoBytes + Immutable + Copy {}

impl<T: FromBytes + IntoBytes + Immutable + Copy> Slot for T {}

/// The two messages of a ring: what the front asks and what the back answers, in slots as large as the larger one.
/// (`DEFINE_RING_TYPES`, public/io/ring.h)
pub trait Protocol {
    /// From the front to the back.
    type Request: Slot;
    /// From the back to the front.
    type Response: Slot;
}

/// A message that is as much of a `Whole` one as matters, from its beginning on: a block request without the segments that it
/// does not use, for instance. Every message is a prefix of itself.
///
/// The rest of the slot stays as it was, which the peer knows already. A type that is longer than the message, or not whole 32-bit
/// words, does not compile where it is pushed:
///
/// ```compile_fail,E0080
/// # use xen_shared_ring::{FrontRing, Prefix, Protocol, SharedMem};
/// enum Asking {}
/// impl Protocol for Asking {
///     type Request = [u16; 4];
///     type Response = [u16; 8];
/// }
/// #[derive(Clone, Copy)]
/// # #[derive(zerocopy::FromBytes, zerocopy::IntoBytes, zerocopy::Immutable)]
/// # #[repr(transparent)]
/// struct Long([u16; 6]);
/// impl Prefix<[u16; 4]> for Long {}
///
/// fn ask(ring: &mut FrontRing<Asking, SharedMem>) {
///     let _ = ring.push(Long([0; 6]));
/// }
/// # let _: fn(&mut FrontRing<Asking, SharedMem>) = ask;
/// ```
pub trait Prefix<Whole>: Slot {}

impl<T: Slot> Prefix<T> for T {}

/// Stops the compiler where a `T` cannot stand for a `Whole`: what is cut off a word would get lost in silence.
pub(crate) const fn check_prefix<T, Whole>() {
    assert!(size_of::<T>().is_multiple_of(4), "a prefix is whole 32-bit words");
    assert!(size_of::<T>() <= size_of::<Whole>(), "a prefix is no longer than the message");
}

/// Bytes from one slot to the next, checked when the program is compiled.
pub(crate) const fn stride<P: Protocol>() -> usize {
    const { larger::<P>() }
}

const fn larger<P: Protocol>() -> usize {
    let (request, response) = (size_of::<P::Request>(), size_of::<P::Response>());
    assert!(request.is_multiple_of(4) && response.is_multiple_of(4), "a message is whole 32-bit words");
    assert!(request > 0 && response > 0, "a message has a size");
    if request > response { request } else { response }
}

/// How many slots a ring has; always a power of two.
///
/// [`OnePage`] is a constant of the protocol, which makes a ring's arithmetic cheap; [`Slots`] is known at run time only.
pub trait Entries<P: Protocol>: Copy + sealed::Entries<P> {}

/// As many slots as one page holds. (`__RING_SIZE` of 4096 bytes, public/io/ring.h)
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct OnePage;

impl<P: Protocol> Entries<P> for OnePage {}

/// A number of slots that was negotiated, as with a ring over several pages.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Slots(u32);

impl Slots {
    /// As many slots as 2^`order` pages hold; `None` where not even one does, or from order 19 on, where the bytes would
    /// no longer count in 31 bits. (`__RING_SIZE`, public/io/ring.h)
    #[must_use]
    pub const fn in_pages<P: Protocol>(order: u32) -> Option<Self> {
        if order > 18 {
            return None;
        }
        match fitting::<P>(PAGE << order) {
            Some(count) => Some(Self(count)),
            None => None,
        }
    }

    /// A number of slots that both ends agreed upon, or `None` where it is not a power of two. Xen's protocols never name
    /// one; tests with tiny rings do.
    #[must_use]
    pub const fn new(count: u32) -> Option<Self> {
        if count.is_power_of_two() { Some(Self(count)) } else { None }
    }

    /// The number of slots.
    #[must_use]
    pub const fn count(self) -> u32 {
        self.0
    }
}

impl<P: Protocol> Entries<P> for Slots {}

/// The largest power of two of slots in that many bytes, header included.
const fn fitting<P: Protocol>(bytes: usize) -> Option<u32> {
    match ((bytes - HEADER) / stride::<P>()).checked_ilog2() {
        Some(order) => Some(1 << order),
        None => None,
    }
}

pub(crate) mod sealed {
    /// Sealed: the rings' memory safety rests on the answer's being the same each time.
    pub trait Entries<P> {
        /// How many slots.
        fn count(self) -> u32;
    }

    impl<P: super::Protocol> Entries<P> for super::OnePage {
        #[inline]
        fn count(self) -> u32 {
            const { super::fitting::<P>(super::PAGE).expect("a page holds one slot at least") }
        }
    }

    impl<P: super::Protocol> Entries<P> for super::Slots {
        #[inline]
        fn count(self) -> u32 {
            self.0
        }
    }
}
