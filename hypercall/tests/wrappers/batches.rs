//! Calls that carry several operations, some of which fail.

use std::cell::Cell;

use xen_hypercall::abi::grant_table::{MapGrantRef, UnmapGrantRef};
use xen_hypercall::abi::memory::MapSpace;
use xen_hypercall::abi::mmu::Update;
use xen_hypercall::abi::multicall::Entry;
use xen_hypercall::abi::{DomId, Gfn, Number};
use xen_hypercall::grant_table::{self, NOT_REACHED, Status};
use xen_hypercall::memory::{self, Placed};
use xen_hypercall::multicall::{Batch, Call};
use xen_hypercall::{Arg, Errno, Hypercall, mmu};

use crate::fake::Fixed;

/// Answers the elements of a batch from a list, up to the list's end, and the call with a number.
struct Stopping<'a, T> {
    answers: &'a [T],
    /// Writes an answer into the element with that index.
    write: fn(*mut (), usize, &T),
    answer: isize,
}

// SAFETY: `write` changes the output of an element that the call names, and the list is not longer than the batch.
unsafe impl<T> Hypercall for Stopping<'_, T> {
    unsafe fn call<const N: usize>(&self, number: Number, arguments: [Arg; N]) -> isize {
        let batch = if number == Number::MULTICALL { arguments[0] } else { arguments[1] };
        for (index, answer) in self.answers.iter().enumerate() {
            (self.write)(batch.as_ptr(), index, answer);
        }
        self.answer
    }
}

fn write_map(batch: *mut (), index: usize, status: &i16) {
    let element = batch.cast::<MapGrantRef>().wrapping_add(index);
    // SAFETY: the element is one of the batch.
    unsafe { (*element).status = Status(*status) };
}

fn write_entry(batch: *mut (), index: usize, result: &i64) {
    let element = batch.cast::<Entry>().wrapping_add(index);
    // SAFETY: the element is one of the batch.
    unsafe { (*element).result = *result as u64 };
}

/// The elements that are done can be told, and undone, whatever became of the others.
#[test]
fn hc_173_a_batch_of_maps_tells_each_element_apart() {
    let xen = Stopping { answers: &[0, -12, 0, -99], write: write_map, answer: 0 };
    let mut maps = [MapGrantRef::default(); 4];
    assert_eq!(checked!(grant_table::map(&xen, &mut maps)), Ok(()));
    let statuses = maps.map(|map| map.status.check());
    assert_eq!(statuses, [Ok(()), Err(Status::EAGAIN), Ok(()), Err(Status(-99))]);

    let done = maps.iter().filter(|map| map.status == Status::OKAY);
    let undo: Vec<_> = done.map(|map| UnmapGrantRef { handle: map.handle, ..UnmapGrantRef::default() }).collect();
    assert_eq!(undo.len(), 2);
}

/// An element that Xen did not get to does not look done.
#[test]
fn hc_173_a_batch_of_maps_that_stops_claims_nothing() {
    let xen = Stopping { answers: &[0, -3], write: write_map, answer: -14 };
    let mut maps = [MapGrantRef::default(); 4];
    assert_eq!(checked!(grant_table::map(&xen, &mut maps)), Err(Errno::FAULT));
    let statuses = maps.map(|map| map.status);
    assert_eq!(statuses, [Status::OKAY, Status::BAD_GNTREF, NOT_REACHED, NOT_REACHED]);
    assert!(NOT_REACHED.check().is_err());
}

#[test]
fn hc_173_a_batch_of_pages_that_is_refused_claims_nothing() {
    let xen = Fixed { answer: -14, ..Fixed::default() };
    let mut placed = [Placed(0); 2];
    let answer = checked!(memory::add_to_physmap_batch(
        &xen,
        MapSpace::GRANT_TABLE,
        DomId(0),
        &[0, 1],
        &[Gfn(8), Gfn(9)],
        &mut placed
    ));
    assert_eq!(answer, Err(Errno::FAULT));
    assert_eq!(placed.map(Placed::check), [Err(Errno::AGAIN); 2]);
    assert_eq!(Placed(-4095).check(), Err(Errno(4095)));
    assert_eq!(Placed(i32::MIN).check(), Err(Errno(1 << 31)));
}

/// Answers an exchange with an error after so many extents.
struct Exchanging(u64);

// SAFETY: changes the output of the call only.
unsafe impl Hypercall for Exchanging {
    unsafe fn call<const N: usize>(&self, _: Number, arguments: [Arg; N]) -> isize {
        let exchange = arguments[1].as_ptr::<xen_hypercall::abi::memory::Exchange>();
        // SAFETY: the call's second argument is an exchange.
        unsafe { (*exchange).nr_exchanged = self.0 };
        -12
    }
}

#[test]
fn hc_173_an_exchange_that_stops_tells_how_far_it_got() {
    // Xen is not believed beyond what was asked for.
    for (answered, exchanged) in [(0, 0), (1, 1), (2, 2), (u64::MAX, 2)] {
        let mut taken = [Gfn(0); 2];
        let answer =
            checked!(memory::exchange(&Exchanging(answered), &[Gfn(5), Gfn(6)], 0, &mut taken, 0, Default::default()));
        let errno = Errno::NOMEM;
        assert_eq!(answer, Err(memory::ExchangeError { errno, exchanged }));
    }
}

/// Carries out some elements of a batch of page-table updates, and refuses the next.
struct Updating(u32);

// SAFETY: writes what the call is for.
unsafe impl Hypercall for Updating {
    unsafe fn call<const N: usize>(&self, _: Number, arguments: [Arg; N]) -> isize {
        // SAFETY: the call's third argument is the number of elements done.
        unsafe { *arguments[2].as_ptr::<u32>() = self.0 };
        -22
    }
}

#[test]
fn hc_173_updates_that_stop_tell_how_far_they_got() {
    // Xen is not believed beyond what was asked for.
    for (answered, done) in [(0, 0), (1, 1), (2, 2), (u32::MAX, 2)] {
        let answer = checked!(mmu::update(&Updating(answered), &[Update::default(); 2]));
        assert_eq!(answer, Err(mmu::Stopped { errno: Errno::INVAL, done }));
    }
}

fn batch_of_three() -> Batch<3> {
    let mut batch = Batch::new();
    for _ in 0..3 {
        batch.push(Call::new(Number::SCHED_OP, [Arg::value(0)])).expect("there is room");
    }
    batch
}

#[test]
fn hc_173_a_multicall_that_stops_keeps_the_answers_it_has() {
    let xen = Stopping { answers: &[17, -22], write: write_entry, answer: -14 };
    let mut batch = batch_of_three();
    let stopped = checked!(batch.issue(&xen)).expect_err("the call failed");
    assert_eq!(stopped.errno, Errno::FAULT);
    assert_eq!(stopped.to_string(), "the batch stopped after 2 of 3 calls: Xen answered EFAULT (14)");
    let answers: Vec<_> = stopped.answers.iter().collect();
    assert_eq!(answers, [Some(Ok(17)), Some(Err(Errno::INVAL)), None]);
    assert_eq!(stopped.answers.get(3), None);
}

#[test]
fn a_full_batch_gives_the_call_back() {
    let mut batch = batch_of_three();
    let call = Call::new(Number::XEN_VERSION, [Arg::value(7)]);
    let call = batch.push(call).expect_err("three is all there is room for");
    assert_eq!(call.number(), Number::XEN_VERSION);
    assert_eq!(call.arguments().map(Arg::as_value), [7, 0, 0, 0, 0, 0]);
    assert_eq!(batch.len(), 3);
}

/// Counts the entries of a multicall and answers them with numbers.
#[derive(Default)]
struct Counting(Cell<usize>);

// SAFETY: changes the outputs of the call only.
unsafe impl Hypercall for Counting {
    unsafe fn call<const N: usize>(&self, _: Number, arguments: [Arg; N]) -> isize {
        let count = arguments[1].as_value();
        for index in 0..count {
            write_entry(arguments[0].as_ptr(), index, &(index as i64));
        }
        self.0.set(self.0.get() + count);
        0
    }
}

#[test]
fn a_batch_is_empty_once_issued_and_never_repeats_a_call() {
    let xen = Counting::default();
    let mut batch = batch_of_three();
    let answers: Vec<_> = checked!(batch.issue(&xen)).expect("issued").iter().collect();
    assert_eq!(answers, [Some(Ok(0)), Some(Ok(1)), Some(Ok(2))]);
    assert!(batch.is_empty());
    // The old answers do not show through where the place is used again.
    let stopped = Fixed { answer: -22, ..Fixed::default() };
    batch.push(Call::new(Number::SCHED_OP, [])).expect("there is room again");
    let answers: Vec<_> = checked!(batch.issue(&stopped)).expect_err("refused").answers.iter().collect();
    assert_eq!((answers, xen.0.get()), (vec![None], 3));
}
