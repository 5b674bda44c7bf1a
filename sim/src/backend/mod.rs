//! What backends have in common: the life of a device in xenstore, faults by script, the front's pages.

mod control;
mod forge;
mod half;
mod life;
mod ring;
mod window;

use std::time::Duration;

use rand::SeedableRng;
use rand_chacha::ChaCha8Rng;
use xen_hypercall::abi::io::xenbus::State;
use xen_hypercall::sched;

pub use control::Restart;
pub use ring::{Listen, Notify, Order};

pub(crate) use control::{Control, Kind, Wish};
pub(crate) use forge::Forge;
pub(crate) use half::{Half, Keys, number};
pub(crate) use ring::{Bell, Due, Ear, due, latency};
pub(crate) use window::{Leftovers, Mapped, Window};

/// What a step did.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Progress {
    /// Something: there may be more to do.
    Worked,
    /// Nothing, and nothing is due before this time.
    Until(Duration),
    /// Nothing.
    Idle,
}

/// What becomes of unanswered requests when a connection ends.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Fate {
    /// They are done or not, by the seed.
    Chance,
    /// They are not done: the pages may hold something else by now.
    Lost,
}

/// What each kind of backend does in its own way.
pub(crate) trait Backend {
    /// Its options, its faults.
    type Kind: Kind;

    /// The states in which a front is ready to be connected.
    const READY: &'static [State];

    fn half(&self) -> &Half<Self::Kind>;

    fn half_mut(&mut self) -> &mut Half<Self::Kind>;

    /// The device is new: takes the options of the next connection, and answers what is written before there is one.
    fn probe(&mut self) -> Keys;

    /// Maps the front's rings and binds its ports, and answers what is written then.
    fn connect(&mut self) -> Result<Keys, String>;

    /// Ends the connection, if there is one.
    fn disconnect(&mut self, fate: Fate);

    /// Something in xenstore has changed: the front's state, which is fresh where it differs from the last that was seen, or a key.
    fn notice(&mut self, _front: State, _freshness: Freshness) {}

    /// Does what can be done now; says whether there was anything.
    fn work(&mut self) -> bool;

    /// When the next thing is due.
    fn due(&self) -> Option<Duration>;

    /// Has go on what hung.
    fn go_on(&mut self);

    /// Signals the front so often, for no reason.
    fn storm(&self, events: u32);

    /// Takes those of the options that need no agreement.
    fn update(&mut self);

    /// Unmaps what it kept mapped.
    fn let_go(&mut self);

    /// Does what only this kind can do.
    fn fulfil(&mut self, wish: <Self::Kind as Kind>::Wish);
}

/// What a test can have any kind of backend do.
macro_rules! backend_methods {
    ($backend:ty, $control:ty) => {
        impl $backend {
            /// Does what can be done now, and returns. Where there is nothing to do, it takes one of the machine's steps, so that
            /// time passes.
            pub fn step(&mut self) -> $crate::backend::Progress {
                $crate::backend::step(self)
            }

            /// Works as a program of the domain's vCPU, until there was nothing to do for so long.
            pub fn serve(&mut self, idle: ::std::time::Duration) {
                $crate::backend::serve(::std::slice::from_mut(self), idle);
            }

            /// As [`serve`](Self::serve), for several of one domain.
            pub fn serve_all(backs: &mut [Self], idle: ::std::time::Duration) {
                $crate::backend::serve(backs, idle);
            }

            /// As [`serve`](Self::serve), until `done` says so, which is asked after each step.
            pub fn serve_until(&mut self, done: impl FnMut(&Self, $crate::backend::Progress) -> bool) {
                $crate::backend::serve_until(self, done);
            }

            /// A hold on it, for scripts.
            #[must_use]
            pub fn control(&self) -> $control {
                self.half.control.clone()
            }

            /// Whether it is connected.
            #[must_use]
            pub const fn is_connected(&self) -> bool {
                !self.queues.is_empty()
            }

            /// How many queues are connected.
            #[must_use]
            pub const fn queues(&self) -> usize {
                self.queues.len()
            }

            /// Why the last front was refused, if one was.
            #[must_use]
            pub fn last_error(&self) -> Option<&str> {
                self.half.last_error.as_deref()
            }

            /// Whether its domain is.
            #[must_use]
            pub fn is_alive(&self) -> bool {
                self.half.is_alive()
            }
        }

        impl Drop for $backend {
            /// Its program ends, and lets go of everything without a word.
            fn drop(&mut self) {
                self.disconnect($crate::backend::Fate::Lost);
                self.engine.let_go();
            }
        }

        impl ::std::fmt::Debug for $backend {
            fn fmt(&self, f: &mut ::std::fmt::Formatter<'_>) -> ::std::fmt::Result {
                f.debug_struct(stringify!($backend))
                    .field("device", &self.half.back_path)
                    .field("state", &self.half.state)
                    .field("queues", &self.queues.len())
                    .finish_non_exhaustive()
            }
        }
    };
}

pub(crate) use backend_methods;

/// Whether a state was seen before.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Freshness {
    Fresh,
    Stale,
}

/// Does what can be done now, and returns. Where there is nothing to do, it takes one of the machine's steps, so that time passes.
pub(crate) fn step<B: Backend>(back: &mut B) -> Progress {
    let Some(era) = back.half_mut().look_around() else { return Progress::Idle };
    if era != back.half().front_era {
        back.half_mut().front_era = era;
        let state = back.half().state;
        life::leave(back, state);
        back.half().touch();
    }
    if back.half().control.hangs() {
        return rest(back);
    }
    let worked = life::fulfil(back) | life::follow(back);
    if worked | back.work() { Progress::Worked } else { rest(back) }
}

/// There is nothing to do.
fn rest<B: Backend>(back: &mut B) -> Progress {
    let half = back.half_mut();
    half.now = half.domain.now();
    back.due().map_or(Progress::Idle, Progress::Until)
}

/// Several work as one program of their domain's vCPU, until there was nothing to do for so long.
pub(crate) fn serve<B: Backend>(backs: &mut [B], idle: Duration) {
    let Some(first) = backs.first() else { return };
    let mut last = first.half().domain.now();
    while backs.iter().any(|back| back.half().is_alive()) {
        let progress = backs.iter_mut().map(step).fold(Progress::Idle, Progress::and);
        let half = backs[0].half();
        if progress == Progress::Worked {
            last = half.now;
        } else if half.now >= last + idle {
            return;
        }
        sleep(half, progress);
    }
}

/// Works as a program of the domain's vCPU, until `done` says so, which is asked after each step.
pub(crate) fn serve_until<B: Backend>(back: &mut B, mut done: impl FnMut(&B, Progress) -> bool) {
    loop {
        let progress = step(back);
        if done(back, progress) || !back.half().is_alive() {
            return;
        }
        sleep(back.half(), progress);
    }
}

/// Sleeps until something may be to do.
fn sleep<K: Kind>(half: &Half<K>, progress: Progress) {
    /// How long at most: changes in xenstore wake nobody.
    const LONGEST: Duration = Duration::from_millis(1);
    let until = match progress {
        Progress::Worked => return,
        Progress::Until(time) => time.min(half.now + LONGEST),
        Progress::Idle => half.now + LONGEST,
    };
    // An event ends the sleep, and what ended it does not matter.
    let _ = sched::poll(&half.domain, &[], Some(until));
}

impl Progress {
    /// What two did.
    fn and(self, other: Self) -> Self {
        match (self, other) {
            (Self::Worked, _) | (_, Self::Worked) => Self::Worked,
            (Self::Until(one), Self::Until(other)) => Self::Until(one.min(other)),
            (Self::Idle, progress) | (progress, Self::Idle) => progress,
        }
    }
}

/// Random numbers for one device, so that another one does not shift them.
pub(crate) fn stream(seed: u64, path: &str) -> ChaCha8Rng {
    let mix = |sum: u64, byte: u8| (sum ^ u64::from(byte)).wrapping_mul(0x100_0000_01b3);
    let mut rng = ChaCha8Rng::seed_from_u64(seed);
    rng.set_stream(path.bytes().fold(0xcbf2_9ce4_8422_2325, mix));
    rng
}
