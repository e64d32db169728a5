//! The command line of the Mirage toolkit.

mod args;
mod commands;
mod design;
mod error;
mod folder;
mod npy;
mod plots;
mod progress;
mod report;
mod study;
mod table;

use std::process::ExitCode;

use clap::Parser;

use args::{Cli, Command};
use error::{CliError, Result};

/// Exit code for input that cannot be used, as clap has it for a wrong command line.
const BAD_INPUT: u8 = 2;

fn main() -> ExitCode {
    let cli = Cli::parse();
    match dispatch(&cli.command) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("error: {error}");
            ExitCode::from(BAD_INPUT)
        }
    }
}

fn dispatch(command: &Command) -> Result<()> {
    match command {
        Command::Run(a) => on_threads(a.common.threads, || commands::run::run(a)),
        Command::Characterize(a) => on_threads(a.common.threads, || commands::characterize::run(a)),
        Command::Train(a) => on_threads(a.common.threads, || commands::train::run(a)),
        Command::Simulate(a) => on_threads(a.common.threads, || commands::simulate::run(a)),
        Command::Gemm(a) => on_threads(a.common.threads, || commands::gemm::run(a)),
        Command::Design(command) => commands::design::run(command),
    }
}

/// Runs `work` on a pool of its own, so that nothing depends on a global one.
fn on_threads(threads: Option<u16>, work: impl FnOnce() -> Result<()> + Send) -> Result<()> {
    let pool = rayon::ThreadPoolBuilder::new().num_threads(threads.unwrap_or(0).into()).build();
    pool.map_err(|e| CliError::message(format!("cannot start threads: {e}")))?.install(work)
}
