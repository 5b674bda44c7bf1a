//! Groups whose packets are wanted.

use alloc::collections::VecDeque;
use alloc::vec::Vec;
use core::fmt;

use xen_hypercall::abi::io::netif::ExtraType;

use crate::Platform;
use crate::device::Netfront;
use crate::packet::ETHERNET_HEADER;

/// Groups that can be joined at a time: as many as Linux's backend keeps.
pub const MOST_GROUPS: usize = 64;

/// Which packets to groups are to come. Those to all stations come always.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Multicast {
    /// All.
    All,
    /// Those to groups that were [joined](Netfront::join), where the backend offers to leave out the others. It may break its word: a
    /// stack has to expect others, too.
    Joined,
}

/// Why a group was not joined.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum GroupError {
    /// It is the address of one station, or of all of them.
    NoGroup,
    /// There are [`MOST_GROUPS`].
    TooMany,
}

/// The groups that were joined, and what of it the backend was not told yet.
#[derive(Debug, Default)]
pub(crate) struct Groups {
    joined: Vec<[u8; 6]>,
    /// No more than there are, and as many that were left.
    untold: VecDeque<(ExtraType, [u8; 6])>,
}

impl<P: Platform> Netfront<P> {
    /// Wants packets to a group, from now on and over all connections. One that was joined already stays so.
    ///
    /// The backend is told where it filters ([`Link::filters_multicast`](crate::Link::filters_multicast)), with what is sent next; else
    /// they come anyhow. Whether it refuses, for instance since it has too many groups, is told by [`Sent::failed`](crate::Sent::failed)
    /// alone: the packets do not come then. (`XEN_NETIF_EXTRA_TYPE_MCAST_ADD`, public/io/netif.h)
    ///
    /// # Errors
    ///
    /// It is no group, or there are [`MOST_GROUPS`].
    pub fn join(&mut self, group: [u8; 6]) -> Result<(), GroupError> {
        let added = self.groups.join(group)?;
        if added {
            self.tell(ExtraType::MCAST_ADD, group);
        }
        Ok(())
    }

    /// Wants no more packets to a group. Those that are on their way still come.
    pub fn leave(&mut self, group: [u8; 6]) {
        if self.groups.leave(group) {
            self.tell(ExtraType::MCAST_DEL, group);
        }
    }

    /// The groups that were joined.
    pub fn groups(&self) -> impl Iterator<Item = [u8; 6]> + '_ {
        self.groups.joined.iter().copied()
    }

    fn tell(&mut self, change: ExtraType, group: [u8; 6]) {
        if self.live().is_some_and(|connection| connection.layout().filters) {
            self.groups.note(change, group);
        }
    }

    /// A backend knows of no group at first.
    pub(crate) fn tell_of_groups(&mut self, filters: bool) {
        self.groups.untold.clear();
        if filters {
            self.groups.untold.extend(self.groups.joined.iter().map(|group| (ExtraType::MCAST_ADD, *group)));
        }
    }

    /// Puts what the backend is to know of groups into the ring, as far as there is room. A wait ends when there is more.
    #[cold]
    pub(crate) fn send_groups(&mut self) {
        if !self.may_send() {
            return;
        }
        let Some(connection) = self.connection.as_mut().filter(|connection| connection.is_live()) else { return };
        let Some(queue) = connection.queues.first_mut() else { return };
        while let Some((change, group)) = self.groups.untold.front().copied()
            && queue.has_room(ETHERNET_HEADER)
        {
            queue.transmit.send_group(change, group);
            self.groups.untold.pop_front();
        }
    }
}

impl Groups {
    /// Whether there is something that the backend was not told.
    #[inline]
    pub(crate) fn is_untold(&self) -> bool {
        !self.untold.is_empty()
    }

    fn join(&mut self, group: [u8; 6]) -> Result<bool, GroupError> {
        if group[0] & 1 == 0 || group == [0xff; 6] {
            return Err(GroupError::NoGroup);
        }
        if self.joined.contains(&group) {
            return Ok(false);
        }
        if self.joined.len() >= MOST_GROUPS {
            return Err(GroupError::TooMany);
        }
        self.joined.push(group);
        Ok(true)
    }

    fn leave(&mut self, group: [u8; 6]) -> bool {
        let before = self.joined.len();
        self.joined.retain(|joined| *joined != group);
        self.joined.len() < before
    }

    /// What was to be told of a group before is of no interest any more: the list does not grow with each change.
    fn note(&mut self, change: ExtraType, group: [u8; 6]) {
        self.untold.retain(|(_, other)| *other != group);
        self.untold.push_back((change, group));
        // Of more than that, some were left: the backend keeps them, and their packets come.
        if self.untold.len() > 2 * MOST_GROUPS
            && let Some(left) = self.untold.iter().position(|(change, _)| *change == ExtraType::MCAST_DEL)
        {
            self.untold.remove(left);
        }
    }
}

impl fmt::Display for GroupError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::NoGroup => f.write_str("it is no group's address"),
            Self::TooMany => write!(f, "{MOST_GROUPS} groups were joined already"),
        }
    }
}

impl core::error::Error for GroupError {}
