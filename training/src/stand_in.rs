//! Temporary.
#[path = "../../arithmetic/src/counters.rs"]
mod counters;
#[path = "../../arithmetic/src/matrix.rs"]
mod matrix;
#[path = "../../arithmetic/src/site.rs"]
mod site;
pub use counters::*;
pub use matrix::*;
pub use site::*;
/// Temporary.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct GemmEntry {
    pub network: String,
    pub layer: String,
    pub pass: Pass,
    pub m: u64,
    pub k: u64,
    pub n: u64,
    pub repeats: u64,
}
