//! devices
mod bench; pub mod chips;
mod crosstalk; mod encoding; mod error; mod link; mod mmu; mod numerics; mod operands; mod parameters; mod population; mod rates; mod readout; mod section; mod shifter; mod solve; mod trim;
pub use bench::*; pub use section::*; pub use solve::*;
pub use crosstalk::*; pub use encoding::*; pub use error::*; pub use link::*; pub use mmu::*; pub use numerics::*; pub use operands::*; pub use parameters::*; pub use population::*; pub use rates::{rates, Rates, Dominance, Quantisation}; pub use readout::*;
