//! One module for each command.

pub mod calibrate;
pub mod characterize;
pub mod circuit;
pub mod compare;
pub mod design;
pub mod explore;
pub mod gemm;
pub mod reproduce;
pub mod run;
pub mod simulate;
pub mod slip_code;
pub mod sparam;
pub mod stream;
pub mod tolerate;
pub mod train;
pub mod trim;
