//! The program as its users meet it. One binary for all, so that tests run side by side.

mod common;

mod bad_input;
mod calibrate;
mod chip;
mod circuit;
mod gemm;
mod heaters;
mod inversion;
mod language;
mod messages;
mod process;
mod resume;
mod rivals;
mod sparam;
mod spread;
mod stream;
mod sweep;
mod tolerance;
mod train;
mod trim;
