//! Two first-order low-passes in series, exactly.

/// Two first-order low-passes in series, by their time constants in seconds; zero = immediate.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(crate) struct TwoPoles {
    pub first: f64,
    pub second: f64,
}

/// What is left of deviations from the settled state some time later.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(crate) struct Left {
    /// Of the first pole's deviation, in the first.
    pub first: f64,
    /// Of the first pole's deviation, in the second.
    pub carried: f64,
    /// Of the second pole's deviation, in the second.
    pub second: f64,
}

/// exp(-t/tau), where nothing is left at once if tau is zero.
pub(crate) fn left(t: f64, tau: f64) -> f64 {
    if tau > 0.0 { (-t / tau).exp() } else { 0.0 }
}

impl TwoPoles {
    /// What is left after `t` seconds.
    ///
    /// With dr/dt = (d - r)/tau2 and d = D exp(-t/tau1), the second state is
    /// r = R exp(-t/tau2) + D tau1/(tau1 - tau2) (exp(-t/tau1) - exp(-t/tau2)); written so that equal time constants do
    /// not cancel.
    pub fn left(self, t: f64) -> Left {
        let (first, second) = (left(t, self.first), left(t, self.second));
        let carried = if self.first <= 0.0 {
            0.0
        } else if self.second <= 0.0 {
            first
        } else {
            let (slow, fast) = (self.first.max(self.second), self.first.min(self.second));
            let y = t * (1.0 / fast - 1.0 / slow);
            let mean = if y > 0.0 { -(-y).exp_m1() / y } else { 1.0 };
            t / self.second * (-t / slow).exp() * mean
        };
        Left { first, carried, second }
    }

    /// The longer of the two time constants.
    pub fn slowest(self) -> f64 {
        self.first.max(self.second)
    }

    /// A bound on |d/dt| of the second state `t` seconds after it and the first deviated by `second` and `first`; it never
    /// rises with t.
    pub fn speed(self, left: Left, first: f64, second: f64) -> f64 {
        if self.second > 0.0 {
            (second.abs() * left.second + first.abs() * left.first.max(left.carried)) / self.second
        } else if self.first > 0.0 {
            first.abs() * left.first / self.first
        } else {
            0.0
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Both differential equations by Runge and Kutta's method of fourth order.
    fn integrate(poles: TwoPoles, t: f64, mut d: f64, mut r: f64) -> (f64, f64) {
        let steps = 20_000;
        let h = t / f64::from(steps);
        let slope = |d: f64, r: f64| (-d / poles.first, (d - r) / poles.second);
        for _ in 0..steps {
            let a = slope(d, r);
            let b = slope(d + 0.5 * h * a.0, r + 0.5 * h * a.1);
            let c = slope(d + 0.5 * h * b.0, r + 0.5 * h * b.1);
            let e = slope(d + h * c.0, r + h * c.1);
            d += h / 6.0 * (a.0 + 2.0 * b.0 + 2.0 * c.0 + e.0);
            r += h / 6.0 * (a.1 + 2.0 * b.1 + 2.0 * c.1 + e.1);
        }
        (d, r)
    }

    #[test]
    fn states_solve_the_differential_equations() {
        for (first, second) in [(5e-12, 8e-12), (8e-12, 5e-12), (7e-12, 7e-12), (7e-12, 7.0001e-12)] {
            let poles = TwoPoles { first, second };
            for t in [1e-12, 2e-11, 1e-10] {
                let left = poles.left(t);
                let (d, r) = integrate(poles, t, 0.7, -0.4);
                assert!((0.7 * left.first - d).abs() < 1e-11, "{poles:?} {t}");
                assert!((0.7 * left.carried - 0.4 * left.second - r).abs() < 1e-11, "{poles:?} {t}");
            }
        }
    }

    #[test]
    fn immediate_poles_are_the_limits_of_fast_ones() {
        let t = 3e-12;
        for (first, second) in [(0.0, 4e-12), (4e-12, 0.0), (0.0, 0.0)] {
            let (exact, near) = (
                TwoPoles { first, second }.left(t),
                TwoPoles { first: f64::max(first, 1e-18), second: f64::max(second, 1e-18) }.left(t),
            );
            assert!((exact.carried - near.carried).abs() < 1e-6, "{first} {second}");
            assert!((exact.second - near.second).abs() < 1e-6 && (exact.first - near.first).abs() < 1e-6);
        }
    }

    #[test]
    fn speeds_are_bounds_and_fall() {
        for (first, second) in [(5e-12, 8e-12), (8e-12, 5e-12), (0.0, 5e-12), (5e-12, 0.0)] {
            let poles = TwoPoles { first, second };
            let state = |t: f64| 0.9 * poles.left(t).carried - 0.5 * poles.left(t).second;
            let mut last = f64::INFINITY;
            for step in 1..200 {
                let (t, h) = (f64::from(step) * 3e-13, 1e-16);
                let speed = poles.speed(poles.left(t), 0.9, -0.5);
                let slope = (state(t + h) - state(t - h)) / (2.0 * h);
                assert!(slope.abs() <= speed * (1.0 + 1e-3), "{poles:?} {t}: {slope} {speed}");
                assert!(speed <= last);
                last = speed;
            }
        }
    }
}
