//! Ctrl-C.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use signal_hook::consts::{SIGINT, SIGTERM};
use signal_hook::flag;

use crate::error::{CliError, Result};

/// Exit code of a program that was stopped by Ctrl-C, as shells have it: 128 and the number of the signal.
pub const EXIT_CODE: u8 = 130;

/// Whether the user asked to stop. The default one is never asked, and leaves Ctrl-C as it is.
#[derive(Debug, Clone, Default)]
pub struct Stop(Arc<AtomicBool>);

impl Stop {
    /// From now on the first Ctrl-C asks long work to stop and to keep what it has; a second one ends the program at once.
    pub fn on_signals() -> Result<Self> {
        let stop = Self::default();
        for signal in [SIGINT, SIGTERM] {
            // In this order: the first signal finds the flag down.
            let now = flag::register_conditional_shutdown(signal, EXIT_CODE.into(), Arc::clone(&stop.0));
            now.and_then(|_| flag::register(signal, Arc::clone(&stop.0)))
                .map_err(|e| CliError::message(format!("cannot listen for Ctrl-C: {e}")))?;
        }
        Ok(stop)
    }

    /// Raised when the user asked.
    pub fn flag(&self) -> &AtomicBool {
        &self.0
    }

    /// Whether the user asked.
    pub fn asked(&self) -> bool {
        self.0.load(Ordering::Relaxed)
    }

    /// Ends work between two steps when the user asked.
    pub fn check(&self) -> Result<()> {
        if self.asked() { Err(CliError::Stopped(String::new())) } else { Ok(()) }
    }
}
