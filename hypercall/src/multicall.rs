//! Several hypercalls in one.
//!
//! ```
//! use xen_hypercall::{Arg, Errno, Hypercall, abi::Number, multicall::{Batch, Call}};
//!
//! /// Asks for Xen's version and the size of a page, by entering Xen once.
//! fn ask<H: Hypercall>(xen: &H) -> Option<(usize, usize)> {
//!     let mut batch = Batch::<2>::new();
//!     for command in [0, 7] {
//!         batch.push(Call::new(Number::XEN_VERSION, [Arg::value(command)])).ok()?;
//!     }
//!     // SAFETY: neither command takes a pointer.
//!     let answers = unsafe { batch.issue(xen) }.ok()?;
//!     Some((answers.get(0)?.ok()?, answers.get(1)?.ok()?))
//! }
//! ```

use core::fmt;

use crate::abi::Number;
use crate::abi::multicall::Entry;
use crate::{Arg, Errno, Hypercall};

/// Most arguments that an entry has room for.
const ARGUMENTS: usize = 6;

/// An answer that no hypercall gives: far below the least error number.
const NO_ANSWER: u64 = 1 << 63;

/// One call of a [`Batch`].
#[derive(Clone, Copy, Debug)]
pub struct Call(Entry);

impl Call {
    /// The call `number` with up to six arguments.
    #[must_use]
    #[inline]
    pub const fn new<const N: usize>(number: Number, arguments: [Arg; N]) -> Self {
        const { assert!(N <= ARGUMENTS, "a call in a batch has at most six arguments") }
        let mut args = [Arg::value(0); ARGUMENTS];
        let (used, _) = args.split_at_mut(N);
        used.copy_from_slice(&arguments);
        Self(Entry { op: number.0 as u64, result: NO_ANSWER, args })
    }

    /// Which hypercall it is.
    #[must_use]
    pub const fn number(&self) -> Number {
        Number(self.0.op as u32)
    }

    /// Its arguments, with zeros for those that it has not.
    #[must_use]
    pub const fn arguments(&self) -> &[Arg; ARGUMENTS] {
        &self.0.args
    }
}

/// Room for up to `N` calls that go to Xen together, in order.
#[derive(Clone, Debug)]
pub struct Batch<const N: usize> {
    entries: [Entry; N],
    len: usize,
}

impl<const N: usize> Default for Batch<N> {
    fn default() -> Self {
        Self::new()
    }
}

impl<const N: usize> Batch<N> {
    /// A batch without calls.
    #[must_use]
    pub const fn new() -> Self {
        Self { entries: [Call::new(Number(0), []).0; N], len: 0 }
    }

    /// How many calls it holds.
    #[must_use]
    pub const fn len(&self) -> usize {
        self.len
    }

    /// Whether it holds none.
    #[must_use]
    pub const fn is_empty(&self) -> bool {
        self.len == 0
    }

    /// Adds a call.
    ///
    /// # Errors
    ///
    /// The call itself, where the batch is full.
    #[inline]
    pub fn push(&mut self, call: Call) -> Result<(), Call> {
        let Some(place) = self.entries.get_mut(self.len) else {
            return Err(call);
        };
        *place = call.0;
        self.len += 1;
        Ok(())
    }

    /// Has Xen carry out the calls, and empties the batch. A call that fails keeps no later one from being carried
    /// out: each has its own answer.
    ///
    /// # Errors
    ///
    /// [`Stopped`] where Xen refused the batch as a whole or stopped half way, with the answers that there are.
    ///
    /// # Safety
    ///
    /// What each of the calls wants, for all of them together: pointers in arguments are still valid, and earlier
    /// calls leave what later ones rely on.
    ///
    /// Source: `__HYPERVISOR_multicall`, public/xen.h
    #[inline]
    pub unsafe fn issue<H: Hypercall>(&mut self, xen: &H) -> Result<Answers<'_>, Stopped<'_>> {
        let count = core::mem::take(&mut self.len);
        let arguments = [Arg::pointer(self.entries.as_mut_ptr()), Arg::value(count)];
        // SAFETY: Xen reads `count` entries and writes their results; the caller answers for the calls.
        let answer = Errno::check(unsafe { xen.call(Number::MULTICALL, arguments) });
        let answers = Answers(&self.entries[..count]);
        match answer {
            Ok(_) => Ok(answers),
            Err(errno) => Err(Stopped { errno, answers }),
        }
    }
}

/// The answers of a batch, in the order of its calls.
#[derive(Clone, Copy, Debug)]
pub struct Answers<'a>(&'a [Entry]);

impl<'a> Answers<'a> {
    /// How many calls there were.
    #[must_use]
    pub const fn len(&self) -> usize {
        self.0.len()
    }

    /// Whether there were none.
    #[must_use]
    pub const fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// The answer to a call, as the call alone would have had it. `None` for a call that Xen did not answer, and for
    /// one that there was not.
    #[must_use]
    #[inline]
    pub fn get(&self, call: usize) -> Option<Result<usize, Errno>> {
        self.0.get(call).and_then(answer)
    }

    /// The answer to each call in turn, `None` for one that Xen did not answer.
    pub fn iter(&self) -> impl ExactSizeIterator<Item = Option<Result<usize, Errno>>> + 'a {
        self.0.iter().map(answer)
    }
}

fn answer(entry: &Entry) -> Option<Result<usize, Errno>> {
    (entry.result != NO_ANSWER).then(|| Errno::check(entry.result as isize))
}

/// Xen refused a batch as a whole, or stopped half way.
///
/// Calls that have an answer are carried out. The one after them may be, without Xen being able to tell its answer;
/// those that follow are not.
#[derive(Clone, Copy, Debug)]
pub struct Stopped<'a> {
    /// Why.
    pub errno: Errno,
    /// The answers that there are.
    pub answers: Answers<'a>,
}

impl fmt::Display for Stopped<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let answered = self.answers.iter().flatten().count();
        let all = self.answers.len();
        write!(f, "the batch stopped after {answered} of {all} calls: {}", self.errno)
    }
}

impl core::error::Error for Stopped<'_> {}
