//! What a hostile or faulty peer does, case by case, and what must come of it.
//!
//! The program `ring-storm` runs random steps on a front and a back end whose peers write whatever they like, and compares every
//! answer with a [`model`](crate::front) that knows what was to happen.

pub mod memory;
