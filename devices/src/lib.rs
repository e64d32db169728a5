//! devices
pub mod chips;
mod crosstalk; mod encoding; mod error; mod link; mod mmu; mod numerics; mod operands; mod parameters; mod population; mod rates; mod readout; mod shifter; mod trim;
pub use crosstalk::*; pub use encoding::*; pub use error::*; pub use link::*; pub use mmu::*; pub use numerics::*; pub use operands::*; pub use parameters::*; pub use population::*; pub use rates::*; pub use readout::*;
