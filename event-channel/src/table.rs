//! The domain's event channels.

/// A domain's event channels.
#[derive(Debug)]
pub struct EventChannels {}
