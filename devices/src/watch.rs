//! Progress of long work, and the wish to stop it.

use crate::error::DeviceError;
use std::sync::atomic::{AtomicBool, Ordering};

/// Called after each step with the steps done, all steps and a word on what was done.
pub type Report<'a> = &'a (dyn Fn(usize, usize, &str) + Sync);

/// Lets the caller watch and stop long work. Both parts are optional.
#[derive(Clone, Copy, Default)]
pub struct Watch<'a> {
    /// Told of progress.
    pub report: Option<Report<'a>>,
    /// Set by the caller to stop; the work then ends with [`DeviceError::Cancelled`].
    pub cancel: Option<&'a AtomicBool>,
}

impl Watch<'_> {
    pub(crate) fn check(&self) -> Result<(), DeviceError> {
        match self.cancel {
            Some(flag) if flag.load(Ordering::Relaxed) => Err(DeviceError::Cancelled),
            _ => Ok(()),
        }
    }

    pub(crate) fn done(&self, step: usize, steps: usize, what: &str) {
        if let Some(report) = self.report {
            report(step, steps, what);
        }
    }
}
