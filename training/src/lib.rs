//! Neural networks trained with every product on the emulated hardware

mod config;
mod dataset;
mod error;
mod gemm;
mod idx;
mod layers;
mod network;
mod parameters;
mod record;
mod stand_in;
mod sweep;
mod tape;
mod tensor;
mod trainer;

pub use config::{TrainConfig, TrainingSection};
pub use dataset::{CLASSES, Dataset, Images, fashion_mnist_subset};
pub use error::{DataError, NetworkError};
pub use gemm::{Fp32, Gemm, Tally};
pub use idx::{IdxImages, parse_idx_images, parse_idx_labels, read_idx_images, read_idx_labels};
pub use layers::{Layer, Product, softmax_cross_entropy};
pub use network::{NETWORKS, Network, NetworkBuilder, epoch_gemm_list, gemm_list};
pub use parameters::{Gradients, ParameterId, ParameterSpec, Parameters, Sgd};
pub use record::{Label, Record, write_records};
pub use sweep::SweepSection;
pub use tape::{Backward, NodeId, Operation, Scope, Tape};
pub use tensor::{Pool, Shape, Tensor};
pub use trainer::{Divergence, EVALUATION_STEP, Outcome, Run, Task, TrainError, train};
