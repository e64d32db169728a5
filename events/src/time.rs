//! What a tick means.

use thiserror::Error;

/// Why a time could not be put into ticks.
#[derive(Debug, Clone, PartialEq, Error)]
pub enum TimeError {
    /// Negative, infinite or not a number.
    #[error("{0} s is not a time: it must be a finite number and not negative")]
    NotATime(f64),
    /// More ticks than a `u64` holds.
    #[error(
        "a time of {seconds:e} s does not fit into 64 bits of ticks, {ticks_per_second} of them a second"
    )]
    TooLong {
        /// The time, in seconds.
        seconds: f64,
        /// Ticks per second.
        ticks_per_second: u64,
    },
    /// A clock or tick rate of zero.
    #[error("a rate of zero has no period")]
    ZeroRate,
}

/// The length of a tick.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct TimeBase {
    ticks_per_second: u64,
}

impl TimeBase {
    /// Ticks of one picosecond: 213 days fit.
    pub const PICOSECONDS: Self = Self { ticks_per_second: 1_000_000_000_000 };
    /// Ticks of one femtosecond: 5.1 hours fit.
    pub const FEMTOSECONDS: Self = Self { ticks_per_second: 1_000_000_000_000_000 };

    /// A time base of `ticks_per_second`.
    ///
    /// # Errors
    /// [`TimeError::ZeroRate`] for zero.
    pub fn new(ticks_per_second: u64) -> Result<Self, TimeError> {
        if ticks_per_second == 0 { Err(TimeError::ZeroRate) } else { Ok(Self { ticks_per_second }) }
    }

    /// Ticks per second.
    #[must_use]
    pub fn ticks_per_second(self) -> u64 {
        self.ticks_per_second
    }

    /// The nearest number of ticks to `seconds`.
    ///
    /// # Errors
    /// [`TimeError::NotATime`] or [`TimeError::TooLong`].
    pub fn ticks(self, seconds: f64) -> Result<u64, TimeError> {
        if !seconds.is_finite() || seconds < 0.0 {
            return Err(TimeError::NotATime(seconds));
        }
        let ticks = (seconds * self.ticks_per_second as f64).round();
        // 2^64 as f64 is exact, and every smaller non-negative float converts without loss.
        if ticks >= 18_446_744_073_709_551_616.0 {
            return Err(TimeError::TooLong { seconds, ticks_per_second: self.ticks_per_second });
        }
        Ok(ticks as u64)
    }

    /// The ticks that `count` things take at `rate` things a second, rounded up; exact arithmetic.
    ///
    /// # Errors
    /// [`TimeError::ZeroRate`] or [`TimeError::TooLong`].
    pub fn span(self, count: u64, rate: u64) -> Result<u64, TimeError> {
        if rate == 0 {
            return Err(TimeError::ZeroRate);
        }
        let ticks = (u128::from(count) * u128::from(self.ticks_per_second)).div_ceil(u128::from(rate));
        u64::try_from(ticks).map_err(|_| TimeError::TooLong {
            seconds: count as f64 / rate as f64,
            ticks_per_second: self.ticks_per_second,
        })
    }

    /// Ticks in seconds.
    #[must_use]
    pub fn seconds(self, ticks: u64) -> f64 {
        ticks as f64 / self.ticks_per_second as f64
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn spans_are_exact_and_round_up() {
        let ps = TimeBase::PICOSECONDS;
        assert_eq!(ps.span(7, 10_000_000_000), Ok(700));
        assert_eq!(ps.span(1, 3_000_000_000), Ok(334));
        assert_eq!(ps.span(3, 3_000_000_000), Ok(1000));
        assert!(matches!(ps.span(u64::MAX, 1), Err(TimeError::TooLong { .. })));
        assert_eq!(ps.span(1, 0), Err(TimeError::ZeroRate));
    }

    #[test]
    fn what_is_no_time_is_refused() {
        let ps = TimeBase::PICOSECONDS;
        assert_eq!(ps.ticks(5e-9), Ok(5000));
        for bad in [-1e-9, f64::NAN, f64::INFINITY] {
            assert!(matches!(ps.ticks(bad), Err(TimeError::NotATime(_))));
        }
        assert!(matches!(ps.ticks(1e9), Err(TimeError::TooLong { .. })));
        assert_eq!(TimeBase::new(0), Err(TimeError::ZeroRate));
        assert_eq!(TimeBase::FEMTOSECONDS.seconds(1_000_000), 1e-9);
    }
}
