//! Workloads, the chip as discrete events, and what a training step on it takes in time and energy.
//!
//! ```
//! use mirage_arithmetic::{BfpFormat, Pass};
//! use mirage_design::parse_section;
//! use mirage_system::{Chip, Options, Parts, System, builtin, design, summarise};
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
//! // One training step of ResNet-18 with two images: its products, simulated tile by tile.
//! let step = builtin("resnet18")?.training_step(2)?;
//! let layers = chip.run(&step, &Options::default(), 1, &|_done| {})?;
//! let conv = layers.iter().find(|l| l.layer == "layer1.0.conv1" && l.pass == Pass::Forward).unwrap();
//! assert_eq!((conv.m, conv.k, conv.n), (64, 576, 2 * 56 * 56));
//! assert_eq!(conv.tiles, 2 * 36);
//! assert_eq!(conv.bottleneck(), "streaming");
//!
//! // Summed over the network.
//! let network = &summarise(&layers)[0];
//! assert!(network.events >= network.tiles);
//! assert!(network.utilisation > 0.3 && network.utilisation < 1.0);
//! println!("{}: {:.1} us, {:.1} mJ", network.network, network.seconds * 1e6, network.joules() * 1e3);
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```
//!
//! # The map
//!
//! | module | what lives there |
//! |---|---|
//! | [`workload`] | layer tables of networks (seven built in, any from a file), lowered to the products of training, and to whole steps |
//! | [`design`] | the `[system]` section of a design file, its choices and checks |
//! | `plan` | a product cut into tiles |
//! | `product` | one product as discrete events: loading, programming, streaming, repeats, draining |
//! | `repeats` | how many products are read again, drawn from the channel's rates |
//! | `energy` | what each component costs |
//! | `chip` | [`Chip`]: a design made into numbers; the closed form; [`Chip::simulate`] |
//! | `run` | [`Chip::run`]: a list of products on several threads |
//! | `result` | [`LayerResult`], [`NetworkResult`], [`Breakdown`] |
//! | [`published`] | published figures, to be shown beside ours |
//!
//! # Limits
//!
//! * Off-chip memory is not modelled: each result gives its working set, to be held against the SRAM. Work that is no
//!   matrix product (normalisation, activations, the optimiser) is not modelled either.
//! * Products follow one another; a product begins when the one before has drained, but its first tiles are
//!   loaded by then (a choice of the design).
//! * The sums of tiles that lie along K on different units meet in memories of their own; how they are joined is
//!   part of the pipeline latency.
//! * Laser, amplifiers and ADCs are on all the time; rows and columns that a tile does not fill are not driven.

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
pub use result::{Breakdown, LayerResult, NetworkResult, RunResult, StepResult};
pub use workload::{Kind, Layer, NETWORKS, Network, Step, TableError, all, builtin};
