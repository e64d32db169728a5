//! The parts of a study, each from plain inputs to files in a folder; `mirage run` strings them together, the other
//! commands do one each.

pub mod axis;
pub mod depth;
pub mod device_sweep;
pub mod devices;
pub mod headline;
pub mod rivals;
pub mod seeds;
pub mod spread;
pub mod stream;
pub mod sweep;
pub mod system;
pub mod training;
pub mod trim;
