//! The arguments of a hypercall, and the guest's memory behind them.

use std::ptr::NonNull;

use xen_hypercall::abi::{Number, grant_table};
use xen_hypercall::{Arg, Errno};

/// Most arguments that a call has.
const MOST: usize = 6;

/// A hypercall as the guest made it.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Call {
    pub(crate) number: Number,
    args: [Arg; MOST],
}

impl Call {
    /// # Safety
    ///
    /// As for [`Hypercall::call`](xen_hypercall::Hypercall::call), for as long as the value is used.
    pub(crate) unsafe fn new(number: Number, arguments: &[Arg]) -> Self {
        let mut args = [Arg::value(0); MOST];
        for (place, argument) in args.iter_mut().zip(arguments) {
            *place = *argument;
        }
        Self { number, args }
    }

    /// An argument that is a number.
    pub(crate) fn value(&self, index: usize) -> usize {
        self.args[index].as_value()
    }

    /// The first argument, which for most calls is the command.
    pub(crate) fn command(&self) -> u32 {
        self.value(0) as u32
    }

    /// Whether it unmaps foreign pages.
    pub(super) fn is_unmap(&self) -> bool {
        self.number == Number::GRANT_TABLE_OP && self.command() == grant_table::Command::UNMAP_GRANT_REF.0
    }

    /// The structures that the call's command takes, `count` of them at the argument `index`.
    pub(crate) fn operands<T: Operand>(&self, index: usize, count: usize) -> Result<Operands<T>, Errno> {
        assert!(T::NUMBER == self.number && (T::COMMANDS.is_empty() || T::COMMANDS.contains(&self.command())));
        let start = NonNull::new(self.args[index].as_ptr());
        match start {
            None if count > 0 => Err(Errno::FAULT),
            // The promise of `new`, and the call takes these: it is the one of the type.
            start => Ok(Operands { start: start.unwrap_or(NonNull::dangling()), count }),
        }
    }

    /// The single structure that the call's command takes.
    pub(crate) fn operand<T: Operand>(&self, index: usize) -> Result<Operands<T>, Errno> {
        self.operands(index, 1)
    }
}

/// A structure that certain commands take.
///
/// # Safety
///
/// The command reads this structure, or bytes of any value, and writes all of it unless it is
/// [`Role::Input`].
pub(crate) unsafe trait Operand: Copy {
    const NUMBER: Number;
    /// None where the number says it all.
    const COMMANDS: &'static [u32];
    const ROLE: Role;

    /// Overwrites what Xen only reads, for nothing promises that it stays.
    fn scribble(&mut self, junk: u64) {
        let _ = junk;
    }
}

/// What Xen does with a structure.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Role {
    /// It reads it.
    Input,
    /// It reads it and writes it back.
    Both,
}

/// Structures in the guest's memory, for the time of one call.
#[derive(Debug)]
pub(crate) struct Operands<T> {
    start: NonNull<T>,
    count: usize,
}

impl<T: Copy> Operands<T> {
    /// What a structure points to.
    ///
    /// # Safety
    ///
    /// The call's contract names these `count` values, and the call lasts.
    pub(crate) unsafe fn nested(start: *const T, count: usize) -> Result<Self, Errno> {
        match NonNull::new(start.cast_mut()) {
            None if count > 0 => Err(Errno::FAULT),
            start => Ok(Self { start: start.unwrap_or(NonNull::dangling()), count }),
        }
    }

    pub(crate) const fn len(&self) -> usize {
        self.count
    }

    /// One of the values, copied out.
    pub(crate) fn get(&self, index: usize) -> T {
        let place = self.place(index);
        // SAFETY: the call's contract has it valid for reading.
        unsafe { place.read_unaligned() }
    }

    /// Writes one of the values, which Xen may.
    pub(crate) fn put(&self, index: usize, value: T) {
        let place = self.place(index);
        // SAFETY: the call's contract has it valid for writing.
        unsafe { place.write_unaligned(value) };
    }

    pub(crate) fn iter(&self) -> impl Iterator<Item = T> + '_ {
        (0..self.count).map(|index| self.get(index))
    }

    fn place(&self, index: usize) -> NonNull<T> {
        assert!(index < self.count);
        // SAFETY: one of the values that the contract names.
        unsafe { self.start.add(index) }
    }
}
