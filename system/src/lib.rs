//! Workloads, the chip as discrete events, and what a training step on it takes in time and energy.
//!
//! ```
//! use mirage_arithmetic::BfpFormat;
//! use mirage_design::parse_section;
//! use mirage_system::workload::{Optimiser, Stage};
//! use mirage_system::{Chip, Options, Parts, System, builtin, design};
//!
//! // A design file's `[system]`, the format of the operands, and what the photonic units are made of: three moduli, with two
//! // branches of I and Q for each row, two rings for each of 16 digits, and 10 W of electrical power for the lasers.
//! let system: System = parse_section(design::DEFAULT_SECTION, "mirage.toml", "system")?;
//! let rows = 8 * 32;
//! let parts = Parts {
//!     laser_watts: 10.0,
//!     rings: rows * 16 * 2 * 16,
//!     multipliers: 3 * rows * 16,
//!     amplifiers: 3 * rows * 2,
//!     adcs: 3 * rows * 2,
//! };
//! let chip = Chip::new(&system, BfpFormat::mirage(), &parts)?;
//! assert_eq!(chip.peak(), 40.96e12);
//!
//! // One training step of ResNet-18 with two images, simulated event by event.
//! let step = builtin("resnet18")?.step(2, Optimiser::Momentum)?;
//! let result = chip.step(&step, &Options::default())?;
//! let conv = result.layers.iter().find(|l| l.layer == "layer1.0.conv1" && l.stage == Stage::Forward).unwrap();
//! let product = conv.product.as_ref().unwrap();
//! assert_eq!((product.m, product.k, product.n), (64, 576, 2 * 56 * 56));
//! assert!(conv.tiles >= 2 * 36 && conv.utilisation > 0.5);
//!
//! // The step as a whole: an event for each tile and each block of off-chip memory, never faster than the roofline.
//! let step = &result.network;
//! assert!(step.events >= step.tiles + step.blocks);
//! assert!(step.seconds > step.bound);
//! println!("{}: {:.1} us, {:.1} mJ", step.network, step.seconds * 1e6, step.joules() * 1e3);
//!
//! // Ninety epochs of ImageNet from it, with how sure that is.
//! let run = result.extrapolate(1_281_167, 2, 90)?;
//! let error = run.seconds_error.expect("known: no repeats are drawn");
//! println!("{} steps, {:.3e} s +- {error:.1e} s", run.steps, run.seconds);
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```
//!
//! # The map
//!
//! | module | what lives there |
//! |---|---|
//! | [`workload`] | layer tables of networks (seven built in, any from a file), lowered to products and whole training steps |
//! | [`import`] | networks from ONNX graphs and SCALE-Sim topologies |
//! | [`design`] | the `[system]` section of a design file, its choices and checks |
//! | `engine` | what does the products: photonic units or systolic arrays; tiles, their time and energy |
//! | `plan` | a product cut into tiles |
//! | `machine` | the whole chip as discrete events: controller, units, memories, vector unit, links |
//! | `repeats` | how many products are read again, drawn from the channel's rates |
//! | `energy`, [`area`] | what each component costs |
//! | `chip` | [`Chip`]: a design made into numbers; the closed form; [`Chip::step`], [`Chip::run`], [`Chip::products`] |
//! | `result` | [`StepResult`], [`LayerResult`], [`NetworkResult`], [`Breakdown`] |
//! | `run` | [`RunResult`]: a whole run extrapolated from simulated steps, and how far it may be off |
//! | [`trace`] | what every part did when, for a trace viewer |
//! | `estimate` | a step in closed form, for searches over designs |
//! | [`baselines`], [`compare`] | systolic arrays in six formats, and the rules that make them fair |
//! | [`published`] | published figures, to be shown beside ours |
//!
//! `docs/system.md` says what is modelled, by which rule, and what is not.

pub mod area;
pub mod baselines;
mod chip;
pub mod compare;
pub mod design;
mod energy;
mod engine;
mod error;
mod estimate;
pub mod import;
mod machine;
mod plan;
pub mod published;
mod repeats;
mod result;
mod run;
pub mod trace;
pub mod workload;

pub use chip::{Chip, Options};
pub use design::System;
pub use energy::{ByComponent, Component, Parts};
pub use error::SystemError;
pub use estimate::Estimate;
pub use machine::{QueuePeak, Traffic};
pub use plan::Stationary;
pub use repeats::RepeatModel;
pub use result::{Breakdown, LayerResult, NetworkResult, StepResult};
pub use run::{ErrorBasis, RunResult, steps_of_run};
pub use workload::{Kind, Layer, NETWORKS, Network, Step, TableError, all, builtin};
