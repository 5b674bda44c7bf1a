//! Segments that wait for those that follow them.

use xen_hypercall::abi::frame::PAGE_SIZE;
use xen_hypercall::abi::io::netif::TxFlags;

use super::Transmit;
use crate::Platform;
use crate::packet::{Gso, GsoKind, Order};
use crate::train::{MOST_HEADERS, Place, Segment};
use crate::wire::GsoSlot;

impl<P: Platform> Transmit<P> {
    /// A packet of one page, which is pushed, or waits for those that follow.
    #[inline]
    pub(super) fn board(&mut self, page: u16, len: usize, flags: TxFlags, gso: Option<Gso>) {
        if flags.contains(TxFlags::CSUM_BLANK) && gso.is_none() && self.board_train(page, len) {
            return;
        }
        self.depart();
        self.push(page, len as u16, flags, gso);
    }

    /// Whether it waits.
    fn board_train(&mut self, page: u16, len: usize) -> bool {
        let bytes =
            |page: u16, len: usize| self.pages.get(usize::from(page)).and_then(|shown| shown.bytes().get(..len));
        let Some(segment) = bytes(page, len).and_then(Segment::find) else { return false };
        let is_taken = match segment.kind() {
            GsoKind::TcpV4 => self.takes.gso_v4,
            GsoKind::TcpV6 => self.takes.gso_v6,
        };
        if !is_taken {
            return false;
        }
        let first = self.train.first_page().and_then(|first| bytes(first, PAGE_SIZE));
        let follows =
            first.zip(bytes(page, len)).is_some_and(|(first, packet)| self.train.fits(&segment, first, packet));
        if !follows {
            self.depart();
        }
        self.train.add(page, segment);
        true
    }

    /// Pushes the segments that have waited: as one packet, of the first one's headers and the payloads of all.
    #[inline]
    pub(super) fn depart(&mut self) {
        if !self.train.is_empty() {
            self.push_train();
        }
    }

    fn push_train(&mut self) {
        let mut train = core::mem::take(&mut self.train);
        let first = train.first_page().and_then(|first| self.pages.get_mut(usize::from(first)));
        if let (Some((payload, gso)), Some(first), cars @ [head, ..]) = (train.cut(), first, train.cars()) {
            let blank = TxFlags::CSUM_BLANK | TxFlags::DATA_VALIDATED;
            let more = |number: usize| if number + 1 < cars.len() { TxFlags::MORE_DATA } else { TxFlags::default() };
            let is_one = cars.len() == 1;
            let total = if is_one { payload + usize::from(head.len) } else { train.write_headers(first.bytes_mut()) };
            self.push(head.page, total as u16, blank | more(0), (!is_one).then_some(gso));
            for (number, car) in cars.iter().enumerate().skip(1) {
                self.push_slots(car.page, payload as u16, car.len, more(number), None::<GsoSlot>);
            }
        }
        train.clear();
        self.train = train;
    }

    /// Has a packet written right behind the last one, in the same page: most likely it is the next segment, and then its payload is where
    /// it belongs. Its headers stand over the end of that one meanwhile, which is put back.
    pub(super) fn send_behind<R>(&mut self, place: Place, len: usize, write: impl FnOnce(&mut [u8]) -> R) -> R {
        let Some(packet) = self.written(place, len) else { return write(&mut alloc::vec![0; len]) };
        let mut covered = [0; MOST_HEADERS];
        let (covered, _) = covered.split_at_mut(place.headers);
        covered.copy_from_slice(&packet[..place.headers]);
        let done = write(packet);
        match self.following(place, len) {
            Some(segment) => {
                self.uncover(place, covered);
                self.train.couple(segment);
                self.count(len);
            }
            None => self.send_elsewhere(place, len, covered),
        }
        done
    }

    /// It is another one, and goes into a page of its own.
    #[cold]
    fn send_elsewhere(&mut self, place: Place, len: usize, covered: &[u8]) {
        let mut packet = core::mem::take(&mut self.scratch);
        packet.clear();
        if let Some(written) = self.written(place, len) {
            packet.extend_from_slice(written);
            written.fill(0);
        }
        self.uncover(place, covered);
        self.send_in_page(len, Order::LEFT, |into| into.copy_from_slice(&packet));
        self.scratch = packet;
    }

    fn uncover(&mut self, place: Place, covered: &[u8]) {
        if let Some(headers) = self.written(place, covered.len()) {
            headers.copy_from_slice(covered);
        }
    }

    fn written(&mut self, place: Place, len: usize) -> Option<&mut [u8]> {
        self.pages.get_mut(usize::from(place.page))?.bytes_mut().get_mut(place.at..place.at + len)
    }

    /// What was written there, if it is the next segment.
    fn following(&self, place: Place, len: usize) -> Option<Segment> {
        let bytes = |page: u16| self.pages.get(usize::from(page)).map(xen_grant_table::Shown::bytes);
        let packet = bytes(place.page)?.get(place.at..place.at + len)?;
        let segment = Segment::find(packet)?;
        self.train.follows(&segment, bytes(self.train.first_page()?)?, packet).then_some(segment)
    }
}
