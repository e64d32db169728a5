//! From a unit to its residue channel, and from a target error rate to the tolerances that reach it.

pub(crate) mod bench;
pub(crate) mod budget;
pub(crate) mod channel;
pub(crate) mod importance;
pub(crate) mod inversion;
pub(crate) mod limit;
pub(crate) mod obstacle;
pub(crate) mod rows;
pub(crate) mod search;
pub(crate) mod sobol;
pub(crate) mod solve;
pub(crate) mod study;
pub(crate) mod sweep;
pub(crate) mod targets;
pub(crate) mod tolerances;
pub(crate) mod variance;
pub(crate) mod yield_power;
pub(crate) mod yields;
