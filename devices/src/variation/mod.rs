//! Fabrication: width and thickness vary over a chip as correlated maps, so that nearby devices vary alike.
//!
//! | quantity | formula | source |
//! |---|---|---|
//! | correlation of two points | exp(-(d/l)^2), l the foundry's correlation length | usual Gaussian law of rough surfaces, where l is the distance over which the correlation falls to 1/e; the foundry's file does not say which law it means, and exp(-2 (d/l)^2), also in use, makes neighbours differ by a factor of sqrt 2 more |
//! | a map | sum f_a(x) Z_ab g_b(y): the correlation is a product of one along x and one along y, each factored by Cholesky with pivoting | Harbrecht, Peters, Schneider, Appl. Numer. Math. 62, 428 (2012) |
//! | phase error of a path | (2 pi/lambda) (dn/dw dw + dn/dh dh) integrated over its length | definition of the effective index |
//! | resonance shift of a ring | lambda/n_g (dn/dw dw + dn/dh dh) | Bogaerts et al., Laser Photonics Rev. 6, 47 (2012) |
//!
//! Standard deviations and correlation lengths come from the foundry's numbers in `data/siepic-fdtd`, dn/dw and dn/dh from
//! the table of strip guides beside them. The maps know nothing of roughness at the scale of micrometres.

mod field;
mod floor;
mod maps;
mod paths;
mod process;

pub use field::{CorrelatedField, Map, correlation, path_average};
pub use floor::Floor;
pub use maps::MadeErrors;
pub(crate) use maps::{ChipMaps, Maps, Site};
pub use paths::Variation;
pub use process::{Process, Spread};
