//! What no honest backend does, by name.

use rand::RngExt;
use rand::seq::IndexedRandom;
use rand_chacha::ChaCha8Rng;

/// What a backend does in place of what an honest one would. The number in the text is that of the catalogue of hostile inputs, where
/// it has one. What is for one direction only leaves packets of the other one as they are; what is for both is for the control ring,
/// too.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Misdeed {
    /// Both ways: the first answer names this request. (023, 024, 034)
    Id(u16),
    /// Both ways: the first answer says this. When transmitting, 1 says that there was no request. (027, 029, 030, 035 to 037)
    Status(i16),
    /// Both ways: there is no answer, and buffers do not come back. (033, 058)
    Silent,
    /// Both ways: the first answer is given twice. (025)
    Twice,
    /// Both ways: a request is answered that the front has not published: the next one. (001, 014, 026)
    Unpublished,
    /// Both ways: the producer index is so much further than the answers go, or back. (001 to 004)
    Producer(i32),
    /// Both ways: pages are mapped, and stay so after the answer. (022, 079)
    KeepsMapped,
    /// Both ways: all requests in the ring change, before the answer. (018)
    RewritesRequests,
    /// Both ways: the front's index and both event indices change. (007 to 009, 011) The backend itself cannot use the ring then, and
    /// stands still until the front connects anew.
    RewritesIndices,
    /// Both ways: the whole ring is filled with junk, after the answer. (012) The backend stands still then, too.
    Junk,
    /// Both ways: so many events come with the answer. (090, 092)
    Storm(u16),

    /// On the control ring: the answer is one to another kind of request.
    Kind(u16),

    /// Transmitting: the answer's id has these bits inverted. (023, 024)
    IdBits(u16),
    /// Transmitting: the first slot of a packet is not answered, the others are. (032)
    Headless,
    /// Transmitting: so many slots more, or fewer, are said to have been no requests than there were extras. (028)
    Nulls(i8),

    /// Receiving: the packet begins here, as it says. (037)
    Offset(u16),
    /// Receiving: so many bytes of the packet come. (036, 038)
    Runt(u16),
    /// Receiving: a packet of so many slots, with so many bytes in each. (039, 041, 042)
    Slots(u8, u16),
    /// Receiving: a packet of so many slots of which the last one says that it goes on, too. (040, 041)
    Endless(u8),
    /// Receiving: a packet has more said of it, and no slot that says it. (043)
    ExtraMissing,
    /// Receiving: a slot of this type says more of the packet. (044, 047)
    Extra(u8),
    /// Receiving: so many slots say more of the packet, each of another type as long as there are some. (045)
    Extras(u8),
    /// Receiving: two slots of this type say something else of the packet. (046)
    ExtraTwice(u8),
    /// Receiving: the last slot that says more of the packet says that the next one does so, too. (045)
    ExtraOpen,
    /// Receiving: a slot that is not the first has more said of it. (048)
    ExtraLate,
    /// Receiving: the packet is to be cut into segments of that type and size. (049 to 051)
    Gso(u8, u16),
    /// Receiving: the packet is to be cut into segments, and has a checksum. (052)
    GsoUnblank,
    /// Receiving: a byte of the packet changes, and its checksum is said to be right. (053)
    Corrupts,
    /// Receiving: the checksum is said to be blank, and so many bytes of the packet come. (054)
    Blank(u16),
    /// Receiving: the packet has a flag that is not used any more. (055)
    Prefix,
    /// Receiving: there is said to be so much room before the packet. (056)
    Headroom(u16),
    /// Receiving: one buffer is taken and not answered, and its slot has the answer of the next one, here and from now on. (057)
    Skips,
    /// Receiving: all of each buffer is written, not just what the packet needs.
    Overruns,
    /// Receiving: buffers change after the answer. (021)
    ChangesLater,
}

impl Misdeed {
    /// All kinds that matter both ways and, but for those that are about pages, on the control ring, for tests that go through them.
    pub const BOTH: [Self; 20] = [
        Self::Id(256),
        Self::Id(255),
        Self::Id(u16::MAX),
        Self::Status(-1),
        Self::Status(-2),
        Self::Status(2),
        Self::Status(i16::MIN),
        Self::Status(i16::MAX),
        Self::Silent,
        Self::Twice,
        Self::Unpublished,
        Self::Producer(1),
        Self::Producer(-1),
        Self::Producer(i32::MIN),
        Self::Producer(1 << 20),
        Self::KeepsMapped,
        Self::RewritesRequests,
        Self::RewritesIndices,
        Self::Junk,
        Self::Storm(300),
    ];

    /// All kinds that matter when the front transmits.
    pub const TRANSMITTED: [Self; 28] = joined(
        Self::BOTH,
        [
            Self::IdBits(1),
            Self::IdBits(1 << 15),
            Self::Status(1),
            Self::Headless,
            Self::Nulls(1),
            Self::Nulls(20),
            Self::Nulls(-1),
            Self::Nulls(-4),
        ],
    );

    /// All kinds that matter when it receives.
    pub const RECEIVED: [Self; 59] = joined(
        Self::BOTH,
        [
            Self::Status(0),
            Self::Status(4096),
            Self::Status(4097),
            Self::Offset(4095),
            Self::Offset(4096),
            Self::Offset(u16::MAX),
            Self::Runt(0),
            Self::Runt(1),
            Self::Runt(13),
            Self::Slots(18, 4096),
            Self::Slots(19, 100),
            Self::Slots(30, 1),
            Self::Slots(3, 0),
            Self::Endless(1),
            Self::Endless(18),
            Self::Endless(30),
            Self::ExtraMissing,
            Self::Extra(0),
            Self::Extra(2),
            Self::Extra(4),
            Self::Extra(5),
            Self::Extra(255),
            Self::Extras(4),
            Self::Extras(40),
            Self::ExtraTwice(1),
            Self::ExtraOpen,
            Self::ExtraLate,
            Self::Gso(1, 0),
            Self::Gso(1, 1),
            Self::Gso(1, u16::MAX),
            Self::Gso(0, 1448),
            Self::GsoUnblank,
            Self::Corrupts,
            Self::Blank(20),
            Self::Prefix,
            Self::Headroom(u16::MAX),
            Self::Skips,
            Self::Overruns,
            Self::ChangesLater,
        ],
    );

    /// One of those.
    pub(super) fn any_control(rng: &mut ChaCha8Rng) -> Self {
        match rng.random_range(0..10) {
            0 => Self::Id(rng.random()),
            1 => Self::Status(rng.random()),
            3 => Self::Kind(rng.random_range(0..12)),
            2 => Self::Producer(rng.random_range(-40..40)),
            _ => *Self::BOTH.choose(rng).unwrap_or(&Self::Twice),
        }
    }

    /// One of them.
    pub(super) fn any_transmitted(rng: &mut ChaCha8Rng) -> Self {
        match rng.random_range(0..10) {
            0 => Self::Id(rng.random_range(0..300)),
            1 => Self::IdBits(1 << rng.random_range(0..16)),
            2 => Self::Status(rng.random()),
            3 => Self::Producer(rng.random_range(-40..40)),
            4 => Self::Storm(rng.random_range(1..300)),
            5 => Self::Nulls(rng.random()),
            _ => *Self::TRANSMITTED.choose(rng).unwrap_or(&Self::Twice),
        }
    }

    /// One of those.
    pub(super) fn any_received(rng: &mut ChaCha8Rng) -> Self {
        match rng.random_range(0..16) {
            0 => Self::Id(rng.random_range(0..300)),
            1 => Self::Status(rng.random()),
            2 => Self::Offset(rng.random()),
            3 => Self::Producer(rng.random_range(-40..40)),
            4 => Self::Slots(rng.random_range(1..40), rng.random_range(0..4097)),
            5 => Self::Endless(rng.random_range(1..40)),
            6 => Self::Extra(rng.random()),
            7 => Self::Extras(rng.random_range(1..40)),
            8 => Self::Gso(rng.random_range(0..4), rng.random()),
            9 => Self::Runt(rng.random_range(0..70)),
            10 => Self::ChangesLater,
            _ => *Self::RECEIVED.choose(rng).unwrap_or(&Self::Twice),
        }
    }
}

/// Two lists as one.
const fn joined<const A: usize, const B: usize, const ALL: usize>(
    first: [Misdeed; A],
    second: [Misdeed; B],
) -> [Misdeed; ALL] {
    assert!(A + B == ALL, "all of both");
    let (mut all, mut index) = ([Misdeed::Silent; ALL], 0);
    while index < ALL {
        all[index] = if index < A { first[index] } else { second[index - A] };
        index += 1;
    }
    all
}
