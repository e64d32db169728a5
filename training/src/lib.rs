//! Neural networks trained with every product on the emulated hardware.
//!
//! ```
//! use std::sync::atomic::AtomicBool;
//!
//! use mirage_arithmetic::{GemmConfig, Protection, ResidueChannel};
//! use mirage_training::{Arithmetic, CLASSES, Network, Plan, TrainConfig, fashion_mnist_subset, run_all};
//!
//! // 500 images of clothes, a network of two convolutions and two dense layers, one epoch.
//! let data = fashion_mnist_subset()?.first(500, 100);
//! let network = Network::small_cnn(28, 28, CLASSES)?;
//! let config = TrainConfig { epochs: 1, ..TrainConfig::default() };
//!
//! // In single precision, and on Mirage with one residue in ten thousand misread; a dot product that
//! // comes out impossible is read again.
//! let gemm = GemmConfig { protection: Protection::ReadAgain { repeats: 3 }, ..GemmConfig::mirage(0) };
//! let channel = ResidueChannel::slip(&gemm.moduli, &gemm.code, 1e-4)?;
//! let mirage = Arithmetic::Mirage(gemm, Box::new(channel));
//! let plans =
//!     [Arithmetic::Fp32, mirage].map(|arithmetic| Plan::new(arithmetic, "slip", config.clone()));
//! let results = run_all(&network, &data, &plans, &AtomicBool::new(false), &|_, _| {})?;
//!
//! for result in &results {
//!     assert_eq!(result.run.steps, 10);
//!     assert!(result.run.test_accuracy > Some(0.25)); // chance is 0.10
//! }
//! // Two of three slips are seen: modulus 32 hides its own.
//! let met = results[1].run.training.total();
//! assert!(met.detected > met.silent && met.silent > 0);
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```
//!
//! Every matrix product goes through one door, [`Gemm`], which is told where in the run it stands. All else
//! (bias, activation, loss, update) is `f32`. Runs are the same bytes for the same seed on any number of
//! threads; initial weights and batches depend on the seed alone, so arithmetics can be compared.
//!
//! | module | what lives there |
//! |---|---|
//! | `examples` | what a network is trained and tested on |
//! | `text`, `sequences`, `ngram` | text and sentence pairs as tokens; counts of the last few tokens, the models to beat |
//! | `idx`, `cifar`, `dataset` | files of MNIST-like sets and of CIFAR-10, and images with labels; the Fashion-MNIST subset inside the program |
//! | `augment` | images moved and mirrored at random |
//! | `tensor` | arrays with the batch last, so that an activation is the matrix that a product wants |
//! | `gemm`, `arithmetic`, `rounded` | the door to products, and what stands behind it: FP32, other formats, block floating point, Mirage |
//! | `tape` | what the forward pass did, played backwards |
//! | `layers` | convolution in groups, dense layer, batch norm, maximum, mean, rectifiers, dropout, residual block; embedding, layer norm, GELU, attention, encoder and decoder; loss; each with its products |
//! | `network`, `builder`, `models` | layers in a row, and the GEMM list of a training step; how they are put together; those that have a name |
//! | `parameters`, `optimiser`, `schedule` | the numbers of a network and their gradients; SGD, Adam, AdamW; the learning rate over the run |
//! | `math` | functions that are the same bits on every machine |
//! | `draws` | random draws that depend on where in a run they are made |
//! | `config`, `record` | the design file's `[training]`, and the lines of `training.csv` and of counters by layer |
//! | `trainer`, `checkpoint`, `translate` | one run; what it needs to go on after a stop, on disk; what a network of translation says |
//! | `plan`, `sweep` | many runs at once; where training breaks |
//!
//! A further layer is a type with [`Layer`] and an [`Operation`] for its way back; a further arithmetic is a
//! type with [`Gemm`]; further data are a type with [`Examples`]. None needs a change elsewhere.

mod arithmetic;
mod augment;
mod builder;
mod checkpoint;
mod cifar;
mod config;
mod dataset;
mod draws;
mod error;
mod examples;
mod gemm;
mod idx;
mod layers;
mod math;
mod models;
mod network;
mod ngram;
mod optimiser;
mod parameters;
mod plan;
mod record;
mod rounded;
mod schedule;
mod sequences;
mod sweep;
mod tape;
mod tensor;
mod text;
mod trainer;
mod translate;

pub use arithmetic::{Arithmetic, RunError, operand_histogram, recoded};
pub use augment::{Augment, Variation};
pub use builder::{Conv, NetworkBuilder};
#[doc(hidden)]
pub use checkpoint::is_state;
pub use checkpoint::{CheckpointError, CheckpointPlan, weights_of};
pub use cifar::parse_cifar;
pub use config::{
    AugmentSection, DeepSection, LanguageSection, OnDivergence, OptimiserSection, ScheduleSection,
    TrainConfig, TrainingSection,
};
pub use dataset::{CLASSES, Dataset, FASHION_MNIST_FILES, Images, fashion_mnist_subset};
pub use error::{DataError, NetworkError, TextError};
pub use examples::{Baseline, Examples, Part};
pub use gemm::{Fp32, Gemm, Tally, site_index};
pub use idx::{IdxImages, parse_idx_images, parse_idx_labels, read_idx_images, read_idx_labels};
pub use layers::{Layer, NO_LABEL, Positions, Product, softmax_cross_entropy};
pub use models::{LANGUAGE_NETWORKS, NETWORKS};
pub use network::{Network, Side, epoch_gemm_list, gemm_list};
pub use ngram::NGram;
pub use optimiser::{Method, Moments, Optimiser};
pub use parameters::{Gradients, ParameterId, ParameterSpec, Parameters, Role, Start};
pub use plan::{Plan, PlanResult, run_all};
pub use record::{Label, LayerRecord, Record, write_records};
pub use schedule::{Schedule, ScheduleShape};
pub use sequences::{Sequences, TextOptions};
pub use sweep::{ErrorShape, Sweep, SweepProtection, SweepSection};
pub use tape::{Backward, Moment, NodeId, Operation, Scope, Source, Tape};
pub use tensor::{Pool, Shape, Tensor};
pub use text::{Level, TextKind, UNKNOWN, Vocabulary};
pub use trainer::{Divergence, EVALUATION_STEP, Measured, Outcome, Run, Task, TrainError, train};
pub use translate::{Translation, translations};
