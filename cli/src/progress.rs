//! Progress on a terminal; silence elsewhere.

use std::io::IsTerminal;

use indicatif::{ProgressBar, ProgressDrawTarget, ProgressStyle};

/// Tells on standard error what is being done, unless told to be quiet.
#[derive(Debug, Clone, Copy)]
pub struct Progress {
    visible: bool,
}

impl Progress {
    /// Visible on a terminal, and not with `--json`.
    pub fn new(json: bool) -> Self {
        Self { visible: !json && std::io::stderr().is_terminal() }
    }

    /// For parts of work that has a bar of its own.
    pub fn quiet(self) -> Self {
        Self { visible: false }
    }

    /// A bar with the time left, over `total` units of work.
    pub fn bar(self, total: u64, what: &str) -> ProgressBar {
        let target = if self.visible { ProgressDrawTarget::stderr() } else { ProgressDrawTarget::hidden() };
        let bar = ProgressBar::with_draw_target(Some(total), target);
        let style =
            ProgressStyle::with_template("{msg:28} [{bar:40}] {percent:>3}% {eta:>6} left {elapsed:>6}");
        bar.set_style(style.unwrap_or_else(|_| ProgressStyle::default_bar()).progress_chars("=> "));
        bar.set_message(what.to_owned());
        bar
    }
}
