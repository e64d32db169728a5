//! Files of the neighbours: INTERCONNECT and Touchstone S-parameters.

mod error;
mod interconnect;
mod lines;
mod load;
mod sparameters;
mod touchstone;

#[cfg(test)]
mod tests;

pub(crate) use sparameters::enforce_passivity;

pub use error::FileError;
pub(crate) use error::number;
pub use interconnect::{InterconnectFile, Selection};
pub use load::{Load, load_sparameters, read_sweep};
pub use sparameters::{Passivity, Reciprocity, SParameters};
pub use touchstone::{TimeConvention, Touchstone, read_touchstone, write_touchstone};
