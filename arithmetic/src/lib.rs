//! The mathematics of a residue-based accelerator, without any physics.
//!
//! ```
//! use mirage_arithmetic::{EmulatedGemm, GemmConfig, Matrix, Pass, Protection, ResidueChannel, Site};
//!
//! // A product of 2 x 3 by 3 x 2 on Mirage's arithmetic, with residues misread at a rate of 1e-3.
//! let config = GemmConfig { protection: Protection::ReadAgain { repeats: 3 }, ..GemmConfig::mirage(42) };
//! let channel = ResidueChannel::uniform(&config.moduli, 1e-3)?;
//! let gemm = EmulatedGemm::new(config, Some(channel))?;
//!
//! let a = [1.0, 2.0, 3.0, -1.0, 0.5, 4.0];
//! let b = [1.0, 0.0, 0.0, 1.0, 1.0, 1.0];
//! let mut c = [0.0; 4];
//! let site = Site { layer: 0, pass: Pass::Forward, step: 0 };
//! let counters = gemm.multiply(site, Matrix::new(&a, 2, 3), Matrix::new(&b, 3, 2), &mut c);
//!
//! assert_eq!(c, [4.0, 5.0, 3.0, 4.5]);
//! assert_eq!(counters.residues, 12); // 4 dot products of one group, 3 moduli each
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```
//!
//! | module | what lives there |
//! |---|---|
//! | `moduli`, `special`, `redundant`, `divisor` | residue number systems: CRT, shift-and-add forms, codes that detect and correct |
//! | `slip`, `code_search` | how residues lie on phase levels, so that a slip is seen; which way leaves least unseen |
//! | `bfp` | block floating point |
//! | `formats` | bfloat16, HFP8 and integers, for comparison |
//! | `channel`, `channel_csv` | the residue channel and its file |
//! | `detection` | which share of errors the range check sees |
//! | `gemm` | the emulated product: reference, fast path, tiles for each kind of processor |
//! | `draws`, `philox` | every random draw, by counter |
//! | `histogram`, `group_sample` | operand distributions, and a sample of whole reads |
//! | `placement`, `gemm_list`, `site`, `counters`, `matrix` | plain types that training and system share |
//! | `section` | the design file's `[arithmetic]` |
//!
//! What is unsafe, the vectors of `gemm`, `draws` and `philox`, is run under Miri and the address sanitizer by `sanitize.sh`; on an
//! emulated processor with AVX-512 by `bochs/run.sh`.

mod bfp;
mod channel;
mod channel_csv;
mod code_search;
mod counters;
mod detection;
mod divisor;
mod draws;
mod formats;
mod gemm;
mod gemm_list;
mod group_sample;
mod histogram;
mod key;
mod matrix;
mod moduli;
mod philox;
mod placement;
mod redundant;
mod section;
mod site;
mod slip;
mod special;

pub use bfp::{BfpFormat, FormatError, Quantised, Rounding};
pub use channel::{ChannelError, ChannelKey, ChannelTable, ResidueChannel};
pub use code_search::{CodeError, CodeJudge, RankedCode};
pub use counters::Counters;
pub use detection::{ExpectedReads, expected_reads};
pub use formats::{NumberFormat, Rounded};
pub use gemm::{CpuPath, EmulatedGemm, GemmConfig, GemmError, Protection};
pub use gemm_list::{GemmEntry, GemmListError};
pub use group_sample::{GroupPair, GroupSample};
pub use histogram::{HistogramError, OperandHistogram};
pub use key::draw_key;
pub use matrix::Matrix;
pub use moduli::{Moduli, ModuliError};
pub use placement::{Place, Placement};
pub use redundant::{Decoded, RedundantCode};
pub use section::{ArithmeticSection, RangeCheck};
pub use site::{Pass, Site};
pub use slip::SlipCode;
pub use special::SpecialSet;
