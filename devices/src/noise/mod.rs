//! Noise as spectral densities, each source with its own seed.
//!
//! Every density here is one-sided, in units squared per hertz, and white over the band of the read-out. A filter turns
//! it into a variance, and there is one place that does so: [`SpectralDensity::variance`], S times the filter's noise
//! bandwidth. The static read-out and the time series below share it.
//!
//! | source | density or variance | acts on | source of the formula |
//! |---|---|---|---|
//! | shot | 2 q I, I the sum of a branch's diode currents | each branch | Schottky, Ann. Phys. 57, 541 (1918) |
//! | front end | 4 k T / R, or a stated rms in its own band | each branch | Johnson, Nyquist, Phys. Rev. 32, 97 and 110 (1928) |
//! | intensity | RIN | (I, Q) alike: along | Coldren, Corzine, Masanovic, *Diode Lasers*, 2nd ed., 5.5.2 |
//! | laser phase | 4 sin^2(pi f T) Dnu / (pi f^2) over the path-delay mismatch T | across (I, Q) | Lorentzian line, e.g. Agrawal, *Fiber-Optic Communication Systems*, 10.4.2 |
//! | DAC | e_n^2 in the driver's band | the phase of an MMU, times the streamed x | the operand is amplified: (2 pi/m) x dlevel |
//! | ADC | a variance in LSB^2 | each sample | converters' data sheets |
//! | jitter | (dI/dt)^2 sigma_t^2 | each sample | Walden, IEEE JSAC 17, 539 (1999) |
//!
//! Quantisation is no noise: the read-out sums over the ADC's cells.
//!
//! A sampled series of a white density S at rate fs has variance S fs/2 for each sample and is then filtered; adding the
//! *filtered* variance to each sample before the filter would count the filter twice.

mod density;
mod phase;
mod series;

pub use density::{Filter, SpectralDensity};
pub use phase::{jitter_variance, phase_difference_variance};
pub use series::{DiscreteFilter, NoiseSource, PhaseDifference, Seeds, WhiteNoise};
