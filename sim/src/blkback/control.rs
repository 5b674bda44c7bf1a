//! A test's hold on a block backend.

use std::time::Duration;

use rand_chacha::ChaCha8Rng;
use xen_hypercall::abi::io::blkif::{Operation, Status};

use super::hostile::Misdeed;
use super::options::Options;
use crate::backend::{self, Kind, Wish};

/// A hold on a backend, also while it [serves](super::Blkback::serve) in a run.
pub type Control = backend::Control<Disk>;

/// What is a block backend's own.
#[derive(Debug)]
pub enum Disk {}

impl Kind for Disk {
    type Options = Options;
    type Work = Operation;
    type Which = Which;
    type Fault = Fault;
    type Wish = Resize;

    fn is_for(which: &Which, operation: Operation) -> bool {
        match which {
            Which::All => true,
            Which::Of(wanted) => *wanted == operation,
        }
    }

    fn misdeed(_: Operation, rng: &mut ChaCha8Rng) -> Fault {
        Fault::Misdeed(Misdeed::any(rng))
    }
}

/// The disk is to have so many sectors.
#[derive(Debug)]
pub struct Resize(pub(super) u64);

impl Control {
    /// The disk gets another size while it is used: as Linux's backend does, `sectors` is written, then the state again.
    pub fn resize(&self, sectors: u64) {
        self.wish(Wish::Own(Resize(sectors)));
    }
}

/// Which requests a fault is for. An indirect request counts as what it stands for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Which {
    /// All.
    All,
    /// Those of one operation.
    Of(Operation),
}

/// What becomes of a request.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Fault {
    /// It is not done, and answered so. Flushes and barriers that are refused with `EOPNOTSUPP` lose their key, too.
    Refuse(Status),
    /// It is done, and answered so.
    Fail(Status),
    /// It is not done or answered, and its pages stay mapped, until `Control::go_on`.
    Hang,
    /// It is done and answered so much later.
    Late(Duration),
    /// It is answered as no honest backend answers.
    Misdeed(Misdeed),
}
