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

/// The divided difference of the exponential function at two points.
pub(crate) fn divided2(a: f64, b: f64) -> f64 {
    let y = (a - b).abs();
    let mean = if y > 0.0 { -(-y).exp_m1() / y } else { 1.0 };
    a.max(b).exp() * mean
}

/// The divided difference of the exponential function at three points.
pub(crate) fn divided3(a: f64, b: f64, c: f64) -> f64 {
    let (high, low) = (a.max(b).max(c), a.min(b).min(c));
    let middle = a.min(b).max(a.max(b).min(c));
    let width = high - low;
    if width > 1.0 {
        return (divided2(high, middle) - divided2(middle, low)) / width;
    }
    // Close together: exp(high) times the series of h(n)/(n + 2)!, h(n) the sum of all products of n of the two differences.
    let (u, v) = (middle - high, low - high);
    let (mut power, mut products, mut factorial, mut sum) = (1.0, 1.0, 2.0, 0.0);
    for n in 0..18 {
        sum += products / factorial;
        power *= u;
        products = products * v + power;
        factorial *= f64::from(n + 3);
    }
    high.exp() * sum
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
            t / self.second * divided2(-t / self.first, -t / self.second)
        };
        Left { first, carried, second }
    }

    /// The longer of the two time constants.
    pub fn slowest(self) -> f64 {
        self.first.max(self.second)
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

    /// Genocchi and Hermite's mean over the triangle, by Gauss and Legendre's rule.
    #[test]
    fn divided_differences_are_means_of_the_exponential() {
        let nodes = crate::numerics::gauss_legendre(24);
        for [a, b, c] in [
            [-1.0, -1.0, -1.0],
            [-0.3, -1.0, -1.0],
            [-1.0, -0.3, -1.2999],
            [-2.0, -1.0 + 1e-12, -1.0],
            [-9.0, -1.0, -5.0],
            [0.0, -8.0, -8.0],
        ] {
            let mut mean = 0.0;
            for &(x, wx) in &nodes {
                let s = 0.5 * (1.0 + x);
                for &(y, wy) in &nodes {
                    let r = 0.5 * (1.0 + y) * (1.0 - s);
                    mean += 0.25 * wx * wy * (1.0 - s) * (a * (1.0 - s - r) + b * s + c * r).exp();
                }
            }
            let found: f64 = divided3(a, b, c);
            assert!((found / mean - 1.0).abs() < 1e-13, "{a} {b} {c}: {found} {mean}");
        }
    }
}
