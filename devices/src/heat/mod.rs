//! Heat: crosstalk between heaters and guides, its compensation, its time response, ambient drift, and ring locks.
//!
//! | effect | model | source |
//! |---|---|---|
//! | crosstalk | phase of guide i per phase of heater j's drive: coefficient x exp(-distance/decay), or a measured matrix | a law of distance as measured between heaters on a chip, e.g. Jacques et al., Opt. Express 27, 10456 (2019) |
//! | settled state | theta = A p, p_j = d_j / (1 + kappa theta_j): a heater's resistance rises with its own temperature, so that a fixed voltage gives less power | temperature coefficient of resistance, definition |
//! | response | first order: dtheta/dt = (settled - theta)/tau | Harris et al., Opt. Express 22, 10487 (2014) |
//! | compensation | drives d' = K^-1 d with the matrix K as it is known; what remains is ((A K^-1) - 1) d | Milanizadeh et al., J. Lightwave Technol. 37, 1325 (2019) |
//! | ambient | (2 pi/lambda) (dn/dT) dL dT: only the imbalance dL = c T/n_g of signal and reference counts | common mode cancels |
//! | ring lock | a detuning of x half-linewidths leaks x^2 of the power into the wrong path, and turns the dropped field by x | add-drop ring near resonance: Bogaerts et al., Laser Photonics Rev. 6, 47 (2012) |
//!
//! Phases stand for temperatures: a guide's phase is proportional to its temperature, so that a matrix in phase per phase
//! needs no thermal resistances.

mod ambient;
mod compensation;
mod layout;
mod matrix;
mod settled;
mod stages;

pub use ambient::{RingLock, phase_per_kelvin};
pub use compensation::{Remaining, remaining_after, remaining_table};
pub use layout::{Layout, Place};
pub use matrix::ThermalMatrix;
pub use settled::{Response, settle};
pub use stages::HeaterMap;
