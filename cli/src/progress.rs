//! Progress: a bar on a terminal, a line now and then elsewhere. Always on standard error.

use std::io::IsTerminal;
use std::sync::Mutex;
use std::time::{Duration, Instant};

use indicatif::{ProgressBar, ProgressDrawTarget, ProgressStyle};

/// Time between two lines of the same work where there is no terminal.
const EVERY: Duration = Duration::from_secs(10);

/// Tells on standard error what is being done, unless told to be quiet.
#[derive(Debug, Clone, Copy)]
pub struct Progress {
    form: Form,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Form {
    /// A bar that moves, for a terminal.
    Bar,
    /// Plain lines, for a file or a pipe.
    Lines,
    Quiet,
}

impl Progress {
    /// A bar on a terminal, lines elsewhere, nothing with `--json`.
    pub fn new(json: bool) -> Self {
        let form = match (json, std::io::stderr().is_terminal()) {
            (true, _) => Form::Quiet,
            (false, true) => Form::Bar,
            (false, false) => Form::Lines,
        };
        Self { form }
    }

    /// For parts of work that tells of itself.
    pub fn quiet(self) -> Self {
        Self { form: Form::Quiet }
    }

    /// Begins a stage of `total` steps.
    pub fn bar(self, total: u64, what: &str) -> Bar {
        match self.form {
            Form::Quiet => Bar::Quiet,
            Form::Bar => {
                let bar = ProgressBar::with_draw_target(Some(total), ProgressDrawTarget::stderr());
                let style = ProgressStyle::with_template(
                    "{msg:28} [{bar:40}] {percent:>3}% {eta:>6} left {elapsed:>6}",
                );
                let style = style.unwrap_or_else(|_| ProgressStyle::default_bar()).progress_chars("=> ");
                bar.set_style(style);
                bar.set_message(what.to_owned());
                Bar::Terminal(bar)
            }
            Form::Lines => {
                eprintln!("{what} ..");
                Bar::Lines(Mutex::new(Lines::new(total, what, Instant::now())))
            }
        }
    }
}

/// A stage of the work. May be told of steps from any thread.
pub enum Bar {
    Terminal(ProgressBar),
    Lines(Mutex<Lines>),
    Quiet,
}

impl Bar {
    /// So many more steps are done.
    pub fn inc(&self, steps: u64) {
        match self {
            Self::Terminal(bar) => bar.inc(steps),
            Self::Lines(_) => self.line(|lines| lines.at(lines.done + steps, Instant::now())),
            Self::Quiet => {}
        }
    }

    /// So many steps are done.
    pub fn set_position(&self, done: u64) {
        match self {
            Self::Terminal(bar) => bar.set_position(done),
            Self::Lines(_) => self.line(|lines| lines.at(done, Instant::now())),
            Self::Quiet => {}
        }
    }

    /// So many steps were done before, at no cost in time: those of an earlier run.
    pub fn begin_at(&self, done: u64) {
        match self {
            Self::Terminal(bar) => {
                bar.set_position(done);
                bar.reset_eta();
            }
            Self::Lines(_) => self.line(|lines| {
                (lines.done, lines.before) = (done, done);
                None
            }),
            Self::Quiet => {}
        }
    }

    /// So many steps more were done before, at no cost in time.
    pub fn skip(&self, steps: u64) {
        match self {
            Self::Terminal(bar) => {
                bar.inc(steps);
                bar.reset_eta();
            }
            Self::Lines(_) => self.line(|lines| {
                lines.done += steps;
                lines.before += steps;
                None
            }),
            Self::Quiet => {}
        }
    }

    /// The stage is over: the bar goes away.
    pub fn finish_and_clear(&self) {
        match self {
            Self::Terminal(bar) => bar.finish_and_clear(),
            Self::Lines(_) => self.line(|lines| lines.end(Instant::now())),
            Self::Quiet => {}
        }
    }

    /// Prints the line that `make` has to say, if it has one.
    fn line(&self, make: impl FnOnce(&mut Lines) -> Option<String>) {
        // A thread that failed while it held the lock leaves numbers that can still be counted on.
        let Self::Lines(lines) = self else { return };
        let text = make(&mut lines.lock().unwrap_or_else(std::sync::PoisonError::into_inner));
        if let Some(text) = text {
            eprintln!("{text}");
        }
    }
}

/// What plain lines say, and when.
pub struct Lines {
    what: String,
    total: u64,
    done: u64,
    /// Steps of an earlier run.
    before: u64,
    begun: Instant,
    said: Instant,
}

impl Lines {
    fn new(total: u64, what: &str, now: Instant) -> Self {
        Self { what: what.to_owned(), total, done: 0, before: 0, begun: now, said: now }
    }

    /// What to say with `done` steps done: nothing if something was said not long ago.
    fn at(&mut self, done: u64, now: Instant) -> Option<String> {
        self.done = done;
        if now.duration_since(self.said) < EVERY || done >= self.total {
            return None;
        }
        self.said = now;
        let gone = now.duration_since(self.begun);
        let fresh = done.saturating_sub(self.before);
        let left = match fresh {
            0 => String::new(),
            _ => {
                let left = gone.as_secs_f64() * (self.total - done) as f64 / fresh as f64;
                format!(", about {} left", span(left))
            }
        };
        Some(format!("{}: {done} of {} after {}{left}", self.what, self.total, span(gone.as_secs_f64())))
    }

    /// What to say at the end: how long it took, if it was long.
    fn end(&mut self, now: Instant) -> Option<String> {
        let gone = now.duration_since(self.begun);
        // (what was stopped says so itself)
        let stopped = self.total > 1 && self.done < self.total;
        (gone >= EVERY && !stopped).then(|| format!("{}: done after {}", self.what, span(gone.as_secs_f64())))
    }
}

/// A time for people: 42 s, 5 min 10 s, 3 h 20 min.
fn span(seconds: f64) -> String {
    let whole = seconds.round() as u64;
    match whole {
        0..60 => format!("{whole} s"),
        60..3600 => format!("{} min {} s", whole / 60, whole % 60),
        _ => format!("{} h {} min", whole / 3600, whole % 3600 / 60),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lines_come_every_ten_seconds_with_the_time_that_is_left() {
        let start = Instant::now();
        let at = |seconds: u64| start + Duration::from_secs(seconds);
        let mut lines = Lines::new(100, "sweep", start);
        assert_eq!(lines.at(3, at(9)), None);
        assert_eq!(lines.at(20, at(10)).unwrap(), "sweep: 20 of 100 after 10 s, about 40 s left");
        assert_eq!(lines.at(30, at(19)), None);
        assert_eq!(
            lines.at(50, at(100)).unwrap(),
            "sweep: 50 of 100 after 1 min 40 s, about 1 min 40 s left"
        );
        assert_eq!(lines.at(100, at(200)), None);
        assert_eq!(lines.end(at(200)).unwrap(), "sweep: done after 3 min 20 s");
        // Steps of an earlier run took no time of this one.
        let mut again = Lines::new(100, "sweep", start);
        (again.done, again.before) = (50, 50);
        assert_eq!(again.at(60, at(10)).unwrap(), "sweep: 60 of 100 after 10 s, about 40 s left");
        assert_eq!(Lines::new(5, "short", start).end(at(9)), None);
        assert_eq!(span(12_000.0), "3 h 20 min");
    }
}
