//! Photonic devices and the units built from them, from the laser to the probability of misreading a residue.
//!
//! ```
//! use mirage_arithmetic::{Moduli, SlipCode};
//! use mirage_design::Document;
//! use mirage_devices::{Bench, DevicesSection, Operands, Provenance, Watch, characterise, solve};
//!
//! // The default design, but with a fine DAC given instead of "required", and one modulus to keep it short.
//! let text = include_str!("../../data/designs/parts/devices.toml").replace(r#"bits = { value = "required", mark = "required" }"#, "bits = 16");
//! let section = DevicesSection::read(&Document::new(text, "devices.toml")?)?;
//! let point = section.design_point(16);
//! let moduli = Moduli::new(&[32])?;
//! let operands = [Operands::uniform(32)];
//!
//! // What the design leaves open becomes the loosest value that reaches the target; then the laser power follows.
//! let solution = solve(&point, moduli.as_slice(), &operands, Watch::default())?;
//! for solved in &solution.tolerances {
//!     println!("{} = {} {}", solved.tolerance.key(), solved.value, solved.tolerance.unit());
//! }
//!
//! // The unit becomes a residue channel.
//! let bench = Bench::new(&solution.parameters, moduli.as_slice(), &operands)?;
//! let code = SlipCode::natural(&moduli);
//! let provenance = Provenance { design: "example".into(), seed: 1 };
//! let result = characterise(&bench, solution.laser_power, &moduli, &code, &operands, &provenance)?;
//! assert!(result.rates[0].error_rate <= 1e-8 && result.rates[0].error_rate > 0.9e-8);
//! assert!(result.channel.error_rate(32).unwrap() > 0.0);
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```
//!
//! # Conventions
//!
//! * A field is a complex amplitude with |E|^2 in watts, e^{-i omega t}, propagation e^{+i k L}. SI units; decibels where
//!   a name ends in `_db`.
//! * A residue r of modulus m is the phase 2 pi r/m; the sector of a residue is 2 pi/m wide and centred on it.
//! * Losses are in decibels of power; an extinction of E dB leaks the field amplitude 10^(-E/20) through one ring.
//! * The read-out's rotation is calibrated: the mean phase deviation over the operands is zero for every MDPU.
//! * The controller knows the nominal phase-voltage curve and the code of every level; it does not know INL, DNL, length
//!   mismatch, what the trim leaves, nor what thermal crosstalk does when drives differ from their mean.
//! * Slow disorder is fixed for a chip; shot, front-end, intensity and phase noise are fresh for each read.
//!
//! # Which estimator when
//!
//! | estimator | sees | cost of a point |
//! |---|---|---|
//! | [`rates()`] over a [`Population`] | means over chips and operands, down to about 1e-13 | tens of milliseconds a modulus |
//! | [`ImportanceStudy`] | the same with full fields of sampled chips, at any depth | a second for 5,000 draws |
//! | [`SampledChips`] | every row of a chip, given the chip | two seconds for 768 rows |
//! | [`chips::sample_rate`] with [`chips::Judge::Conditional`] | one chip after the other, full fields | a millisecond a chip |
//! | [`chips::sample_rate`] with [`chips::Judge::Noise`] | plain Monte-Carlo, down to about 1e-5 | a microsecond a read |
//!
//! # Map
//!
//! | folder | what lives there |
//! |---|---|
//! | `section` | [`DevicesSection`]: `[devices]` of the design file, checked, and turned into [`MdpuParameters`] |
//! | `unit` | the MDPU: encoding, shifters, trim, crosstalk; [`Mdpu`] fields; link, noise, [`ReadOut`]; [`Population`] and [`rates()`]; [`chips`]; [`Lab`], a unit as made with knobs to turn |
//! | [`component`] | what a component is: ports, settings, S-matrix; the library of them, SAX's generic models among them |
//! | [`circuit`] | netlists in SAX's form, and the forward and the general solver |
//! | [`files`] | S-parameters of INTERCONNECT and Touchstone, their reciprocity and passivity |
//! | [`variation`] | correlated maps of width and thickness, and the phases, gains and resonances that follow |
//! | [`heat`] | crosstalk matrices, settled states, compensation, ambient drift, ring locks |
//! | [`noise`] | spectral densities, filters, sampled series, a seed for each source |
//! | `physics`, `numerics`, `draws` | constants and decibels; tails, quadrature, phasors; a random generator for each purpose |
//! | `characterise` | [`Bench`] of all moduli; the residue channel; required tolerances and laser power; sweeps; light and parts |
//! | [`time`] | the streaming path driven by events: memory of earlier symbols, eye, settling |
//!
//! Reads of the channel have no memory of the symbol before; [`time`] says what that memory does to their error rate.

mod characterise;
pub mod circuit;
pub mod component;
mod draws;
mod error;
pub mod files;
pub mod heat;
pub mod noise;
mod numerics;
mod physics;
mod section;
pub mod time;
mod unit;
pub mod variation;
mod vectorised;
mod watch;

pub use unit::chips;

pub use characterise::bench::{Bench, RequiredPower};
pub use characterise::budget::{UnitBudget, unit_budget};
pub use characterise::channel::{Characterisation, Provenance, characterise};
pub use characterise::importance::{DeepRow, ImportanceStudy};
pub use characterise::inversion::{InversionRow, InversionStudy};
pub use characterise::limit::{LimitRow, Symbol, photon_limit, quantum_limit};
pub use characterise::obstacle::{BEYOND_DB, Obstacle};
pub use characterise::rows::{SampledChips, Seat};
pub use characterise::sobol::{SobolReport, SobolRow, SobolStudy};
pub use characterise::solve::{DesignPoint, Known, Solution, SolvedTolerance, Tolerance, solve};
pub use characterise::study::{Store, Study, run_study};
pub use characterise::sweep::{
    Sweep, SweepRow, SweepSetting, SweepStudy, default_sweeps, run_sweeps, write_errors_csv,
};
pub use characterise::tolerances::{Range, Spread, Toleranced};
pub use characterise::variance::{VarianceRow, variance_budget};
pub use characterise::yield_power::{YieldPowerRow, YieldPowerStudy};
pub use characterise::yields::{YieldPoint, YieldReport, YieldRow, YieldStudy};
pub use error::DeviceError;
pub use physics::{ELEMENTARY_CHARGE, LIGHT_SPEED};
pub use section::{
    AdcSection, AmbientSection, ChipVariation, Compensation, CrosstalkSection, DacSection, DevicesSection,
    DistributionSection, Fabrication, HybridSection, LaserSection, PhotodiodeSection, ReferenceLoss,
    RingLifetime, RingSection, ShifterSection, SolveSection, TiaSection, TimeSection, TrimSection,
    UnitSection, VariationSection, WaveguideSection,
};
pub use unit::bounds::Bounds;
pub use unit::chain::{Chains, FieldTables};
pub use unit::crosstalk::crosstalk_matrix;
pub use unit::encoding::{Digits, Encoding};
pub use unit::lab::{Knobs, Lab};
pub use unit::link::{Light, Noise};
pub use unit::mmu::{Mdpu, MdpuErrors, MmuErrors};
pub use unit::operands::{Group, Operands};
pub use unit::parameters::{
    Adc, Codes, ConverterNoise, Crosstalk, Dac, Detector, FrontEnd, Heat, Link, LossAccounting,
    MdpuParameters, OwnBus, Rings, Shifters, Trim,
};
pub use unit::population::{Moments, Population};
pub use unit::rates::{Dominance, Quantisation, Rates, rates};
pub use unit::readout::wrap;
pub use unit::readout::{Point, ReadOut};
pub use watch::{Report, Watch};
