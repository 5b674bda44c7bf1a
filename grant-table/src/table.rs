//! The domain's grant table.

/// A domain's own grant table.
#[derive(Debug)]
pub struct GrantTable {}
