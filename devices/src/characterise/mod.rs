//! From a unit to its residue channel, and from a target error rate to the tolerances that reach it.

pub(crate) mod bench;
pub(crate) mod budget;
pub(crate) mod channel;
pub(crate) mod solve;
pub(crate) mod sweep;
