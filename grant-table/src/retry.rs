//! Batches of operations of which some are tried again.

use xen_hypercall::abi::grant_table::{Copy, MapGrantRef, Status, UnmapGrantRef};
use xen_hypercall::grant_table::{Error, NOT_REACHED};
use xen_hypercall::{Errno, Hypercall, grant_table};

use crate::run::MAX_RUN;

/// How often an element is tried that Xen could not carry out for the moment. The peer may be the reason, for ever.
pub(crate) const TRIES: usize = 256;

/// As many elements as are sent in one call.
pub(crate) const BATCH: usize = MAX_RUN;

/// An element with a status.
pub(crate) trait Element: Clone + core::marker::Copy + Default {
    fn status(&self) -> Status;
}

macro_rules! elements {
    ($($element:ty)*) => { $(
        impl Element for $element {
            fn status(&self) -> Status {
                self.status
            }
        }
    )* };
}

elements!(MapGrantRef UnmapGrantRef Copy);

/// Maps; each element's status is its last one.
///
/// # Safety
///
/// As for [`grant_table::map`].
pub(crate) unsafe fn map<H: Hypercall>(xen: &H, elements: &mut [MapGrantRef]) -> Result<(), Errno> {
    // SAFETY: the caller's promise; an element that is tried again had no effect before.
    settle(elements, |elements| unsafe { grant_table::map(xen, elements) })
}

/// Unmaps; each element's status is its last one.
///
/// # Safety
///
/// As for [`grant_table::unmap`].
pub(crate) unsafe fn unmap<H: Hypercall>(xen: &H, elements: &mut [UnmapGrantRef]) -> Result<(), Errno> {
    // SAFETY: the caller's promise; an element that is tried again had no effect before.
    settle(elements, |elements| unsafe { grant_table::unmap(xen, elements) })
}

/// Copies; each element's status is its last one.
///
/// # Safety
///
/// As for [`grant_table::copy`].
pub(crate) unsafe fn copy<H: Hypercall>(xen: &H, elements: &mut [Copy]) -> Result<(), Errno> {
    // SAFETY: the caller's promise; to copy the same bytes again is no different.
    settle(elements, |elements| unsafe { grant_table::copy(xen, elements) })
}

/// What became of an element of a call that ended as `call`.
pub(crate) fn outcome<T: Element>(element: &T, call: Result<(), Errno>) -> Result<(), Error> {
    match (element.status(), call) {
        (Status::OKAY, _) => Ok(()),
        (NOT_REACHED, Err(errno)) => Err(errno.into()),
        (status, _) => Err(status.into()),
    }
}

/// Carries out a batch, and then again, one by one, what Xen could not do for the moment. Each try is of the element as it
/// was: nothing promises that a call leaves it so.
fn settle<T: Element>(elements: &mut [T], mut call: impl FnMut(&mut [T]) -> Result<(), Errno>) -> Result<(), Errno> {
    let mut wanted = [T::default(); BATCH];
    wanted.iter_mut().zip(elements.iter()).for_each(|(wanted, element)| *wanted = *element);
    call(elements)?;
    for (element, wanted) in elements.iter_mut().zip(wanted) {
        for _ in 1..TRIES {
            if element.status() != Status::EAGAIN {
                break;
            }
            *element = wanted;
            call(core::slice::from_mut(element))?;
        }
    }
    Ok(())
}

#[cfg(all(test, not(loom)))]
mod tests {
    extern crate std;

    use super::*;

    fn copies<const N: usize>(statuses: [Status; N]) -> [Copy; N] {
        statuses.map(|status| Copy { status, ..Copy::default() })
    }

    #[test]
    fn hc_088_eagain_for_ever_ends_after_256_tries() {
        let mut calls = 0;
        let mut elements = copies([Status::OKAY]);
        let result = settle(&mut elements, |elements| {
            calls += 1;
            elements.iter_mut().for_each(|element| element.status = Status::EAGAIN);
            Ok(())
        });
        assert_eq!((result, calls), (Ok(()), 256));
        assert_eq!(outcome(&elements[0], Ok(())), Err(Error::Status(Status::EAGAIN)));
    }

    #[test]
    fn hc_088_only_what_could_not_be_done_is_tried_again() {
        let mut lengths = std::vec::Vec::new();
        let mut elements = copies([Status::OKAY; 3]);
        let answers = [[Status::BAD_PAGE, Status::EAGAIN, Status::OKAY], [Status::EAGAIN; 3], [Status::OKAY; 3]];
        let _ = settle(&mut elements, |elements| {
            let answer = answers[lengths.len()];
            lengths.push(elements.len());
            elements.iter_mut().zip(answer).for_each(|(element, status)| element.status = status);
            Ok(())
        });
        assert_eq!(lengths, [3, 1, 1]);
        assert_eq!(elements.map(|element| element.status), [Status::BAD_PAGE, Status::OKAY, Status::OKAY]);
    }

    /// A call may leave anything in the elements.
    #[test]
    fn hc_088_a_try_is_of_the_element_as_it_was() {
        let mut elements = [Copy { len: 7, ..Copy::default() }];
        let mut calls = 0;
        let _ = settle(&mut elements, |elements| {
            assert_eq!(elements[0].len, 7);
            calls += 1;
            elements[0] = Copy { len: 0xffff, status: Status::EAGAIN, ..Copy::default() };
            Ok(())
        });
        assert_eq!(calls, TRIES);
    }

    #[test]
    fn hc_172_a_refused_call_is_told_for_the_elements_that_it_did_not_reach() {
        let [done, failed, left] = copies([Status::OKAY, Status::BAD_PAGE, NOT_REACHED]);
        let call = Err(Errno::FAULT);
        assert_eq!(outcome(&done, call), Ok(()));
        assert_eq!(outcome(&failed, call), Err(Error::Status(Status::BAD_PAGE)));
        assert_eq!(outcome(&left, call), Err(Error::Call(Errno::FAULT)));
    }
}
