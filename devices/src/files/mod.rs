//! Files of the neighbours: INTERCONNECT and Touchstone S-parameters.

mod error;
mod interconnect;
mod lines;
mod sparameters;
mod touchstone;

#[cfg(test)]
mod tests;

pub use error::FileError;
pub use interconnect::{InterconnectFile, Selection};
pub use sparameters::{Passivity, Reciprocity, SParameters};
pub use touchstone::{TimeConvention, Touchstone, read_touchstone, write_touchstone};
