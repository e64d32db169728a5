//! What goes to standard output: where nobody reads it any more (`mirage ... | head`), work goes on and nothing is said.

/// Prints a line.
macro_rules! say {
    ($($what:tt)*) => {{
        use std::io::Write as _;
        let _ = writeln!(std::io::stdout(), $($what)*);
    }};
}

/// Prints without an end of line.
macro_rules! say_part {
    ($($what:tt)*) => {{
        use std::io::Write as _;
        let _ = write!(std::io::stdout(), $($what)*);
    }};
}
