//! The command line of the Mirage toolkit.

#[macro_use]
mod say;

mod args;
mod commands;
mod design;
mod error;
mod folder;
mod journal;
mod lock;
mod npy;
mod plots;
mod progress;
mod report;
mod stop;
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
        Err(CliError::Stopped(kept)) => {
            eprintln!("stopped: {}", CliError::Stopped(kept));
            ExitCode::from(stop::EXIT_CODE)
        }
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
        Command::Circuit(a) => commands::circuit::run(a),
        Command::Stream(a) => on_threads(a.common.threads, || commands::stream::run(a)),
        Command::Train(a) => on_threads(a.common.threads, || commands::train::run(a)),
        Command::Trim(a) => on_threads(a.common.threads, || commands::trim::run(a)),
        Command::SlipCode(a) => on_threads(a.common.threads, || commands::slip_code::run(a)),
        Command::Tolerate(a) => on_threads(a.common.threads, || commands::tolerate::run(a)),
        Command::Simulate(a) => on_threads(a.common.threads, || commands::simulate::run(a)),
        Command::Compare(a) => on_threads(a.common.threads, || commands::compare::run(a)),
        Command::Reproduce(a) => on_threads(a.common.threads, || commands::reproduce::run(a)),
        Command::Explore(a) => on_threads(a.common.threads, || commands::explore::run(a)),
        Command::Gemm(a) => on_threads(a.common.threads, || commands::gemm::run(a)),
        Command::Sparam(a) => commands::sparam::run(a),
        Command::Calibrate(a) => on_threads(a.threads, || commands::calibrate::run(a)),
        Command::Design(command) => commands::design::run(command),
    }
}

/// What a folder says of the command that filled it: program, seed, and the words but for those that name the folder, the
/// number of threads, the form of what is printed and checkpoints, on which results do not depend.
fn command_line(seed: u64) -> serde_json::Value {
    let mut words = Vec::new();
    let mut given = std::env::args().skip(1);
    while let Some(word) = given.next() {
        match word.as_str() {
            "--json" | "--resume" => {}
            "-o" | "--output" | "--threads" | "--checkpoint-every" => {
                given.next();
            }
            w if w.starts_with("--output=") || w.starts_with("--threads=") || w.starts_with("-o") => {}
            w if w.starts_with("--checkpoint-every=") => {}
            _ => words.push(word),
        }
    }
    serde_json::json!({ "program": "mirage", "version": env!("CARGO_PKG_VERSION"), "arguments": words, "seed": seed })
}

/// Runs `work` on a pool of its own, so that nothing depends on a global one.
fn on_threads(threads: Option<u16>, work: impl FnOnce() -> Result<()> + Send) -> Result<()> {
    let pool = rayon::ThreadPoolBuilder::new().num_threads(threads.unwrap_or(0).into()).build();
    pool.map_err(|e| CliError::message(format!("cannot start threads: {e}")))?.install(work)
}
