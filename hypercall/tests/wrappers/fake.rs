//! A hypervisor that knows one call: it compares what comes with what Xen's headers say, and writes what Xen would.
//!
//! Expectations are plain numbers and offsets taken from the headers, not the crate's own types, so that a wrong
//! constant or layout does not agree with itself.

use std::cell::{Cell, RefCell};
use std::fmt::Debug;
use std::rc::Rc;

use xen_hypercall::abi::Number;
use xen_hypercall::{Arg, Errno, Hypercall, grant_table, memory, mmu, multicall};

/// A part of an argument, in the order in which it lies in memory.
#[derive(Clone, Debug)]
pub(crate) enum Piece {
    /// A number of so many bytes: what it must be, and what Xen writes there.
    Word { width: usize, expect: Option<u64>, write: Option<u64> },
    /// An address, and what lies there.
    Pointer(Vec<Self>),
}

const fn word(width: usize, expect: Option<u64>, write: Option<u64>) -> Piece {
    Piece::Word { width, expect, write }
}

/// A byte that the wrapper gives.
pub(crate) const fn b(expect: u8) -> Piece {
    word(1, Some(expect as u64), None)
}

/// A word of 16 bits that the wrapper gives.
pub(crate) const fn w(expect: u16) -> Piece {
    word(2, Some(expect as u64), None)
}

/// A word of 32 bits that the wrapper gives.
pub(crate) const fn d(expect: u32) -> Piece {
    word(4, Some(expect as u64), None)
}

/// A word of 64 bits that the wrapper gives.
pub(crate) const fn q(expect: u64) -> Piece {
    word(8, Some(expect), None)
}

/// A byte that Xen writes.
pub(crate) const fn o8(write: u8) -> Piece {
    word(1, None, Some(write as u64))
}

/// A word of 16 bits that the wrapper gives and Xen overwrites.
pub(crate) const fn io16(expect: i16, write: i16) -> Piece {
    word(2, Some(expect as u16 as u64), Some(write as u16 as u64))
}

/// A word of 16 bits that Xen writes.
pub(crate) const fn o16(write: u16) -> Piece {
    word(2, None, Some(write as u64))
}

/// A word of 32 bits that Xen writes.
pub(crate) const fn o32(write: u32) -> Piece {
    word(4, None, Some(write as u64))
}

/// A word of 32 bits that the wrapper gives and Xen overwrites.
pub(crate) const fn io32(expect: i32, write: i32) -> Piece {
    word(4, Some(expect as u32 as u64), Some(write as u32 as u64))
}

/// A word of 64 bits that Xen writes.
pub(crate) const fn o64(write: u64) -> Piece {
    word(8, None, Some(write))
}

/// A word of 64 bits that the wrapper gives and Xen overwrites.
pub(crate) const fn io64(expect: u64, write: u64) -> Piece {
    word(8, Some(expect), Some(write))
}

/// Bytes that do not matter, which may have no value at all.
pub(crate) const fn skip(width: usize) -> Piece {
    word(width, None, None)
}

/// An address, and what lies there.
pub(crate) fn p(pieces: impl Into<Vec<Piece>>) -> Piece {
    Piece::Pointer(pieces.into())
}

/// Bytes that the wrapper gives.
pub(crate) fn bytes(expect: &[u8]) -> Vec<Piece> {
    expect.iter().copied().map(b).collect()
}

/// Bytes that Xen writes.
pub(crate) fn obytes(write: &[u8]) -> Vec<Piece> {
    write.iter().copied().map(o8).collect()
}

/// A wrapper, the call that it must make, and what it must make of the answer.
pub(crate) struct Case {
    /// Module and name of the wrapper.
    pub(crate) name: &'static str,
    number: u64,
    arguments: Vec<Piece>,
    answer: Option<u64>,
    gives: String,
    run: Rc<dyn Fn(&Fake<'_>) -> Outcome>,
    fallible: bool,
}

/// A value as text, or the number with which Xen refused.
type Outcome = Result<String, Errno>;

/// Errors in which Xen's number can be found again.
pub(crate) trait Refusal: Debug {
    fn errno(&self) -> Option<Errno>;
}

macro_rules! refusals {
    ($($error:ty: $refusal:pat => $errno:expr,)*) => { $(
        impl Refusal for $error {
            fn errno(&self) -> Option<Errno> {
                #[allow(unreachable_patterns, reason = "some errors have one form only")]
                match *self { $refusal => Some($errno), _ => None }
            }
        }
    )* };
}

refusals! {
    Errno: errno => errno,
    grant_table::Error: grant_table::Error::Call(errno) => errno,
    memory::ExchangeError: memory::ExchangeError { errno, .. } => errno,
    memory::VnumaError: memory::VnumaError::Call(errno) => errno,
    mmu::Stopped: mmu::Stopped { errno, .. } => errno,
    multicall::Stopped<'_>: multicall::Stopped { errno, .. } => errno,
}

/// What a wrapper answered; an error that has no number of Xen's counts as a value.
pub(crate) fn outcome<T: Debug, E: Refusal>(answer: Result<T, E>) -> Outcome {
    match answer {
        Ok(value) => Ok(format!("{value:?}")),
        Err(error) => error.errno().map_or_else(|| Ok(format!("{error:?}")), Err),
    }
}

/// `run` must make the call `number` with `arguments`, and give what prints as `gives`.
pub(crate) fn case<T: Debug, E: Refusal>(
    name: &'static str,
    number: u64,
    arguments: impl Into<Vec<Piece>>,
    gives: &str,
    run: impl Fn(&Fake<'_>) -> Result<T, E> + 'static,
) -> Case {
    Case {
        name,
        number,
        arguments: arguments.into(),
        answer: None,
        gives: gives.to_owned(),
        run: Rc::new(move |xen| outcome(run(xen))),
        fallible: true,
    }
}

impl Case {
    /// Xen answers this, not 0.
    pub(crate) const fn answer(mut self, answer: u64) -> Self {
        self.answer = Some(answer);
        self
    }

    /// The wrapper takes every answer for a value.
    pub(crate) const fn infallible(mut self) -> Self {
        self.fallible = false;
        self
    }

    /// What is wrong with the wrapper.
    pub(crate) fn check(&self) -> Result<(), String> {
        let expected = Ok(self.gives.clone());
        self.run_with(self.answer.unwrap_or(0) as isize, true, &expected)
    }

    /// What is wrong where Xen refuses, writing nothing.
    pub(crate) fn check_refusal(&self, errno: Errno) -> Result<(), String> {
        if !self.fallible {
            return Ok(());
        }
        self.run_with(-(errno.0 as isize), false, &Err(errno))
    }

    fn run_with(&self, answer: isize, writes: bool, expected: &Outcome) -> Result<(), String> {
        let fake = Fake::new(self, answer, writes);
        let outcome = (self.run)(&fake);
        let problem = fake.problem.take();
        match (problem, fake.calls.get()) {
            (Some(problem), _) => Err(format!("{}: {problem}", self.name)),
            (None, 1) if outcome == *expected => Ok(()),
            (None, 1) => Err(format!("{}: {outcome:?}, not {expected:?}", self.name)),
            (None, calls) => Err(format!("{}: {calls} calls", self.name)),
        }
    }

    /// Plants a wrong value in the place of each number that the case expects or answers, one at a time, and returns
    /// those that nobody noticed.
    pub(crate) fn unnoticed_mistakes(&mut self) -> Vec<String> {
        let mut unnoticed = Vec::new();
        for place in 0..self.numbers().len() {
            *self.numbers()[place] ^= 1;
            if self.check().is_ok() {
                unnoticed.push(format!("{}: number {place}", self.name));
            }
            *self.numbers()[place] ^= 1;
        }
        unnoticed
    }

    fn numbers(&mut self) -> Vec<&mut u64> {
        let mut numbers = vec![&mut self.number];
        numbers.extend(&mut self.answer);
        collect(&mut self.arguments, &mut numbers);
        numbers
    }
}

fn collect<'a>(pieces: &'a mut [Piece], numbers: &mut Vec<&'a mut u64>) {
    for piece in pieces {
        match piece {
            Piece::Word { expect, write, .. } => numbers.extend(expect.iter_mut().chain(write)),
            Piece::Pointer(target) => collect(target, numbers),
        }
    }
}

/// The hypervisor of one [`Case`].
pub(crate) struct Fake<'a> {
    case: &'a Case,
    answer: isize,
    writes: bool,
    calls: Cell<usize>,
    problem: RefCell<Option<String>>,
}

impl<'a> Fake<'a> {
    const fn new(case: &'a Case, answer: isize, writes: bool) -> Self {
        Self { case, answer, writes, calls: Cell::new(0), problem: RefCell::new(None) }
    }

    fn compare(&self, number: Number, arguments: &[Arg]) -> Result<(), String> {
        let expected = &self.case.arguments;
        if u64::from(number.0) != self.case.number || arguments.len() != expected.len() {
            return Err(format!("call {} with {} arguments", number.0, arguments.len()));
        }
        let start = arguments.as_ptr().cast_mut().cast();
        // SAFETY: an argument has the form of a number or an address; `case` lists no more than the contract of the
        // call names.
        unsafe { follow(expected, start, &mut read) }
    }
}

// SAFETY: nothing is written but what the case lists as Xen's outputs.
unsafe impl Hypercall for Fake<'_> {
    unsafe fn call<const N: usize>(&self, number: Number, arguments: [Arg; N]) -> isize {
        self.calls.set(self.calls.get() + 1);
        if let Err(problem) = self.compare(number, &arguments) {
            self.problem.replace(Some(problem));
            return 0;
        }
        if self.writes {
            let start = arguments.as_ptr().cast_mut().cast();
            // SAFETY: the arguments are what the case expects, so its outputs are in place.
            unsafe { follow(&self.case.arguments, start, &mut write) }.expect("writing compares nothing");
        }
        self.answer
    }
}

type Visit<'a> = &'a mut dyn FnMut(&Piece, &mut [u8]) -> Result<(), String>;

/// Goes through the pieces, and through what they point to.
///
/// # Safety
///
/// Memory at `place` has the form that the pieces describe, and those with an output may be written.
unsafe fn follow(pieces: &[Piece], mut place: *mut u8, visit: Visit<'_>) -> Result<(), String> {
    for (index, piece) in pieces.iter().enumerate() {
        // SAFETY: the caller's promise.
        let width = unsafe { follow_one(piece, place, visit) }.map_err(|problem| format!("[{index}]: {problem}"))?;
        place = place.wrapping_add(width);
    }
    Ok(())
}

/// # Safety
///
/// As for [`follow`].
unsafe fn follow_one(piece: &Piece, place: *mut u8, visit: Visit<'_>) -> Result<usize, String> {
    match piece {
        Piece::Pointer(target) => {
            // SAFETY: an address lies here.
            let address = unsafe { place.cast::<*mut u8>().read_unaligned() };
            if address.is_null() {
                return Err("no address".to_owned());
            }
            // SAFETY: the caller's promise, one level down.
            unsafe { follow(target, address, visit) }?;
            Ok(size_of::<*mut u8>())
        }
        // What does not matter may have no value, so it must not be looked at.
        Piece::Word { width, expect: None, write: None } => Ok(*width),
        Piece::Word { width, .. } => {
            let mut word = [0; 8];
            // SAFETY: a number of this width lies here.
            unsafe { place.copy_to_nonoverlapping(word.as_mut_ptr(), *width) };
            let before = word;
            visit(piece, &mut word[..*width])?;
            if word != before {
                // SAFETY: as above; only outputs are changed.
                unsafe { place.copy_from_nonoverlapping(word.as_ptr(), *width) };
            }
            Ok(*width)
        }
    }
}

fn read(piece: &Piece, place: &mut [u8]) -> Result<(), String> {
    let mut found = [0; 8];
    found[..place.len()].copy_from_slice(place);
    match *piece {
        Piece::Word { expect: Some(expected), .. } if expected != u64::from_le_bytes(found) => {
            Err(format!("{:#x}, not {expected:#x}", u64::from_le_bytes(found)))
        }
        _ => Ok(()),
    }
}

fn write(piece: &Piece, place: &mut [u8]) -> Result<(), String> {
    if let Piece::Word { write: Some(value), .. } = *piece {
        let width = place.len();
        place.copy_from_slice(&value.to_le_bytes()[..width]);
    }
    Ok(())
}

/// A hypervisor that answers every call alike, and counts.
#[derive(Default)]
pub(crate) struct Fixed {
    /// What it answers.
    pub(crate) answer: isize,
    /// How many calls came.
    pub(crate) calls: Cell<usize>,
}

// SAFETY: touches nothing.
unsafe impl Hypercall for Fixed {
    unsafe fn call<const N: usize>(&self, _: Number, _: [Arg; N]) -> isize {
        self.calls.set(self.calls.get() + 1);
        self.answer
    }
}

/// Calls an `unsafe` wrapper on one of these hypervisors.
macro_rules! checked {
    ($call:expr) => {{
        // SAFETY: nothing is mapped, entered, or given away here; and what is written is what the test lists.
        unsafe { $call }
    }};
}
