//! One module for each command.

pub mod characterize;
pub mod circuit;
pub mod design;
pub mod gemm;
pub mod run;
pub mod simulate;
pub mod slip_code;
pub mod sparam;
pub mod stream;
pub mod tolerate;
pub mod train;
