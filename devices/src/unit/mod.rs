//! The modular dot-product unit: MMUs in cascade between the splitter and the read-out.

pub(crate) mod bounds;
pub(crate) mod chain;
pub mod chips;
pub(crate) mod crosstalk;
pub(crate) mod deviations;
pub(crate) mod disturbances;
pub(crate) mod encoding;
pub(crate) mod lab;
pub(crate) mod link;
pub(crate) mod mmu;
pub(crate) mod noise_draws;
pub(crate) mod operands;
pub(crate) mod parameters;
pub(crate) mod population;
pub(crate) mod rates;
pub(crate) mod readout;
pub(crate) mod repeats;
pub(crate) mod sampled;
pub(crate) mod shifter;
pub(crate) mod tilt;
pub(crate) mod trim;
