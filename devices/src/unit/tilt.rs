//! Random errors of an MDPU drawn so that wrong reads become frequent: exponential tilting.
//!
//! For given operands the phase deviation is nearly a sum L = sum of c_j e_j of independent errors e_j. Drawn with densities
//! proportional to f(e_j) exp(theta c_j e_j), they push the phase towards a sector's edge; the likelihood ratio to the true
//! densities is exp(K(theta) - theta L), K the cumulant generating function of L (Siegmund, Annals of Statistics 4 (1976) 673;
//! Asmussen and Glynn, "Stochastic Simulation", chapter VI). Normal errors stay normal with their mean moved, uniform ones
//! become truncated exponentials. The phase itself is not taken as L: it is computed from the fields of what was drawn.

use crate::numerics::normal_pair;
use crate::unit::chips::Sample;
use crate::unit::mmu::{Mdpu, MdpuErrors};
use crate::unit::operands::{Group, Operands};
use crate::unit::sampled::{SampledMdpu, digit_errors, left_by, ones};
use crate::unit::trim::Law;
use rand::RngExt;
use rand_pcg::Pcg64;
use std::f64::consts::PI;

/// What is the same for all groups: means over the operands, which the read-out's calibration takes out.
pub(crate) struct Tilt<'a> {
    unit: &'a Mdpu,
    nominal: SampledMdpu<'a>,
    ones: Vec<f64>,
    mean_level: f64,
    /// For each normal number of a DAC, its part in the mean phase of an MMU.
    mean_drive: Vec<f64>,
}

/// The coefficients of one group: of standard normal numbers, and of numbers uniform in [-1, 1].
pub(crate) struct Terms {
    normals: Vec<f64>,
    uniforms: Vec<f64>,
}

/// One draw: the read of the group, and L.
pub(crate) struct Draw {
    pub read: Sample,
    pub sum: f64,
}

impl<'a> Tilt<'a> {
    pub fn new(unit: &'a Mdpu, operands: &Operands) -> Self {
        let digits = unit.digits();
        let turn = 2.0 * PI / f64::from(unit.modulus());
        let levels = operands.stationary().iter().enumerate();
        let mean_level = levels.map(|(w, p)| p * f64::from(digits.level(w))).sum();
        let streamed = operands.streaming().iter().enumerate();
        let mean_gain: f64 = streamed.map(|(x, p)| p * turn * f64::from(digits.value(x))).sum();
        let mut mean_drive = vec![0.0; unit.drive().normals()];
        for (w, p) in operands.stationary().iter().enumerate() {
            unit.drive().for_each_part(w, |index, part| mean_drive[index] += p * mean_gain * part);
        }
        let mmus = vec![unit.no_errors(); unit.parameters().group];
        let nominal = SampledMdpu::new(unit, operands, &MdpuErrors { mmus, ambient: 0.0 });
        Tilt { unit, nominal, ones: ones(unit, operands), mean_level, mean_drive }
    }

    /// The read of a group without random errors.
    pub fn nominal(&self, group: &Group) -> Sample {
        self.nominal.read(group, &[])
    }

    /// The coefficients for a group of operands.
    pub fn terms(&self, (w, x): &Group) -> Terms {
        let digits = self.unit.digits();
        let turn = 2.0 * PI / f64::from(digits.modulus());
        let (law, mismatch) = (self.unit.residue().law(), self.unit.parameters().shifters.mismatch);
        let lock = self.unit.lock_variance().sqrt();
        let mut terms = Terms { normals: vec![self.unit.ambient()], uniforms: Vec::new() };
        for ((&w, &x), heat) in w.iter().zip(x).zip(self.unit.crosstalk_gains()) {
            for (d, one) in self.ones.iter().enumerate() {
                // Of the two paths one counts; the read-out has taken out the mean.
                let used = f64::from(u8::from(digits.bit(x, d)));
                for share in [one - used, used - one] {
                    match law {
                        Law::Normal(sigma) => terms.normals.push(share * sigma),
                        Law::Uniform(half) => terms.uniforms.push(share * half),
                        Law::Other => {}
                    }
                }
                terms.normals.push((used - one) * lock);
                let level = used * f64::from(digits.level(w)) - one * self.mean_level;
                terms.normals.push(mismatch * turn * f64::from(digits.weights()[d]) * level);
            }
            let drive = turn * (f64::from(digits.level(w)) - self.mean_level);
            terms.normals.push(heat.variance.sqrt() * drive);
            let first = terms.normals.len();
            terms.normals.extend(self.mean_drive.iter().map(|mean| -mean));
            let gain = turn * f64::from(digits.value(x));
            self.unit.drive().for_each_part(w, |index, part| terms.normals[first + index] += gain * part);
        }
        terms
    }

    /// Draws the errors of an MDPU tilted by `theta` along the terms of a group, and reads the group with them after the
    /// stationary levels `previous`.
    ///
    /// The fields are those of the drawn errors; what the calibration takes out is linear in them, which leaves a product of
    /// error and leakage, some 1e-5 rad, averaged over the operands.
    pub fn draw(
        &self,
        group: &Group,
        terms: &Terms,
        theta: f64,
        previous: &[usize],
        rng: &mut Pcg64,
    ) -> Draw {
        let mut dice = Dice { terms, theta, normals: 0, uniforms: 0, sum: 0.0 };
        let mut read = self.nominal(group);
        read.log_amplitude = 0.0;
        read.deviation += self.unit.ambient() * dice.normal(rng);
        let (digits, residue) = (self.unit.digits(), self.unit.residue());
        let turn = 2.0 * PI / f64::from(digits.modulus());
        let (law, mismatch) = (residue.law(), self.unit.parameters().shifters.mismatch);
        let lock = self.unit.lock_variance().sqrt();
        let mut one = self.unit.no_errors();
        let path = |dice: &mut Dice, rng: &mut Pcg64| match law {
            Law::Normal(sigma) => residue.left_of(sigma * dice.normal(rng)),
            Law::Uniform(half) => {
                let (plain, value) = (residue.sample(rng), dice.uniform(rng));
                // Beyond the range of the trim nothing is uniform; such an error is drawn as it is.
                if plain.abs() > half { plain } else { half * value }
            }
            Law::Other => residue.sample(rng),
        };
        let heat = self.unit.crosstalk_gains();
        for (mmu, ((&w, &x), heat)) in group.0.iter().zip(&group.1).zip(heat).enumerate() {
            for (d, ones) in self.ones.iter().enumerate() {
                (one.bus[d], one.detour[d]) = (path(&mut dice, rng), path(&mut dice, rng));
                one.detour[d] += lock * dice.normal(rng);
                one.gain[d] = mismatch * dice.normal(rng);
                let weight = turn * f64::from(digits.weights()[d]);
                let calibrated = one.detour[d] + weight * self.mean_level * one.gain[d];
                read.deviation -= (1.0 - ones) * one.bus[d] + ones * calibrated;
            }
            let level = turn * (f64::from(digits.level(w)) - self.mean_level);
            read.deviation += heat.variance.sqrt() * dice.normal(rng) * level;
            let drive: Vec<f64> = self.mean_drive.iter().map(|_| dice.normal(rng)).collect();
            one.level[w] = self.unit.drive().error(w, &drive);
            read.deviation -= self.mean_drive.iter().zip(&drive).map(|(mean, n)| mean * n).sum::<f64>();
            for (d, digit) in digit_errors(self.unit, &one, w).enumerate() {
                let bit = usize::from(digits.bit(x, d));
                read.deviation += digit[bit].0 - self.nominal.digit(mmu, w, d)[bit].0;
                read.log_amplitude += digit[bit].1;
            }
        }
        read.deviation += left_by(previous, self.unit, &group.0, &group.1);
        Draw { read, sum: dice.sum }
    }
}

/// Hands out tilted numbers in the order of the terms, and sums up L.
struct Dice<'a> {
    terms: &'a Terms,
    theta: f64,
    normals: usize,
    uniforms: usize,
    sum: f64,
}

impl Dice<'_> {
    fn normal(&mut self, rng: &mut Pcg64) -> f64 {
        let c = self.terms.normals.get(self.normals).copied().unwrap_or(0.0);
        self.normals += 1;
        let value = normal_pair(rng).0 + self.theta * c;
        self.sum += c * value;
        value
    }

    fn uniform(&mut self, rng: &mut Pcg64) -> f64 {
        let c = self.terms.uniforms.get(self.uniforms).copied().unwrap_or(0.0);
        self.uniforms += 1;
        let value = tilted_uniform(self.theta * c, rng);
        self.sum += c * value;
        value
    }
}

impl Terms {
    /// Cumulant generating function of L, and its first two derivatives.
    pub fn cumulants(&self, theta: f64) -> [f64; 3] {
        let square: f64 = self.normals.iter().map(|c| c * c).sum();
        let mut k = [0.5 * theta * theta * square, theta * square, square];
        for &c in &self.uniforms {
            let part = log_sinhc(theta * c);
            (k[0], k[1], k[2]) = (k[0] + part[0], k[1] + c * part[1], k[2] + c * c * part[2]);
        }
        k
    }

    /// The tilt under which L and a further normal spread of `noise` together are expected at `distance`: the saddle point of
    /// the probability that they exceed it. Zero for distances that are not positive.
    pub fn saddle(&self, distance: f64, noise: f64) -> f64 {
        if distance <= 0.0 {
            return 0.0;
        }
        let mut theta = 0.0;
        for _ in 0..50 {
            let [_, first, second] = self.cumulants(theta);
            let slope = second + noise * noise;
            if slope <= 0.0 {
                break;
            }
            let step = (distance - first - noise * noise * theta) / slope;
            theta += step;
            if step.abs() <= 1e-9 * theta.abs() {
                break;
            }
        }
        if theta.is_finite() { theta } else { 0.0 }
    }
}

/// ln(sinh(u)/u) and its first two derivatives.
fn log_sinhc(u: f64) -> [f64; 3] {
    let a = u.abs();
    if a < 0.02 {
        let s = u * u;
        return [s / 6.0 - s * s / 180.0, u / 3.0 - u * s / 45.0, 1.0 / 3.0 - s / 15.0];
    }
    // ln sinh a = a + ln(1 - exp(-2a)) - ln 2, without overflow.
    let fall = (-2.0 * a).exp();
    let value = a + (-fall).ln_1p() - 2f64.ln() - a.ln();
    let coth = (1.0 + fall) / (1.0 - fall);
    [value, (coth - 1.0 / a) * u.signum(), 1.0 / (a * a) - (coth * coth - 1.0)]
}

/// A number in [-1, 1] with density proportional to exp(u x), by its inverse distribution.
fn tilted_uniform(u: f64, rng: &mut Pcg64) -> f64 {
    let quantile: f64 = rng.random();
    let a = u.abs();
    let value = if a < 1e-6 {
        2.0 * quantile - 1.0
    } else {
        // From the crowded end: 1 + ln(q + (1 - q) exp(-2a)) / a.
        1.0 + libm::log(quantile + (1.0 - quantile) * (-2.0 * a).exp()) / a
    };
    if u < 0.0 { -value } else { value }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::unit::parameters::{Codes, Dac, MdpuParameters, Trim};
    use crate::unit::population::Population;
    use crate::unit::sampled::draw;
    use rand::SeedableRng;

    fn rough(trim: Trim) -> MdpuParameters {
        let mut p = MdpuParameters::ideal(16);
        p.shifters.mismatch = 1e-5;
        p.dac = Dac { codes: Codes::Nearest, bits: 14, inl: 0.3, dnl: 0.2 };
        p.trim = trim;
        p
    }

    #[test]
    fn the_sum_is_the_phase_and_its_cumulants_are_its_moments() {
        for trim in [
            Trim { fabrication: 1.0, resolution: 0.006, range: 4.0 }, // no error is beyond it
            Trim { fabrication: 0.002, resolution: 0.0, range: 0.0 },
        ] {
            let unit = Mdpu::new(&rough(trim), 33).unwrap();
            let operands = Operands::uniform(33);
            let (tilt, mut rng) = (Tilt::new(&unit, &operands), Pcg64::seed_from_u64(4));
            let group = draw(&operands, 16, &mut rng);
            let nominal = tilt.nominal(&group);
            let terms = tilt.terms(&group);
            let theta = 150.0;
            let [k, first, second] = terms.cumulants(theta);
            let n = 4000;
            let (mut sum, mut square, mut ratio) = (0.0, 0.0, 0.0);
            for _ in 0..n {
                let drawn = tilt.draw(&group, &terms, theta, &[], &mut rng);
                // Without leakage the fields' phase is the linear sum, but for mismatch times level errors.
                let off = drawn.read.deviation - nominal.deviation - drawn.sum;
                assert!(off.abs() < 1e-6, "{off}");
                sum += drawn.sum / n as f64;
                square += drawn.sum.powi(2) / n as f64;
                ratio += (k - theta * drawn.sum).exp() / n as f64;
            }
            let error = 5.0 * (second / n as f64).sqrt();
            assert!((sum - first).abs() < error, "{sum} {first}");
            assert!(((square - sum * sum) / second - 1.0).abs() < 0.15, "{} {second}", square - sum * sum);
            assert!((ratio - 1.0).abs() < 0.35, "likelihood ratios average to one: {ratio}");
        }
    }

    #[test]
    fn variances_are_the_populations() {
        // Averaged over uniform operands the terms' variance is the population's, rounding apart.
        let unit = Mdpu::new(&rough(Trim { fabrication: 1.0, resolution: 0.006, range: PI }), 32).unwrap();
        let operands = Operands::uniform(32);
        let (tilt, mut rng) = (Tilt::new(&unit, &operands), Pcg64::seed_from_u64(4));
        let n = 3000;
        let one = |rng: &mut Pcg64| {
            let group = draw(&operands, 16, rng);
            tilt.terms(&group).cumulants(0.0)[2] + tilt.nominal(&group).deviation.powi(2)
        };
        let mean = (0..n).map(|_| one(&mut rng)).sum::<f64>() / n as f64;
        let expected = Population::moments_of(&unit, &operands).deviation.powi(2);
        assert!((mean / expected - 1.0).abs() < 0.03, "{mean} {expected}");
    }

    #[test]
    fn untilted_draws_are_those_of_sampled_units_with_leakage_and_loss() {
        let mut p = rough(Trim { fabrication: 1.0, resolution: 0.02, range: 4.0 });
        (p.rings.extinction_db, p.shifters.loss_db, p.rings.drop_loss_db) = (25.0, 0.9, 0.2);
        (p.heat.drift, p.heat.ring_lock, p.link.delay_mismatch) = (0.5, 2e-3, 2e-12);
        (p.crosstalk.coefficient, p.heat.compensation) = (2e-3, Some(0.1));
        let unit = Mdpu::new(&p, 31).unwrap();
        let operands = Operands::uniform(31);
        let (tilt, mut rng) = (Tilt::new(&unit, &operands), Pcg64::seed_from_u64(4));
        let group = draw(&operands, 16, &mut rng);
        let terms = tilt.terms(&group);
        let n = 3000;
        let moments = |reads: Vec<Sample>| {
            let mean = |f: &dyn Fn(&Sample) -> f64| reads.iter().map(f).sum::<f64>() / n as f64;
            let centre = mean(&|r| r.deviation);
            (centre, mean(&|r| (r.deviation - centre).powi(2)).sqrt(), mean(&|r| r.log_amplitude))
        };
        let fast = moments((0..n).map(|_| tilt.draw(&group, &terms, 0.0, &[], &mut rng).read).collect());
        let full = |rng: &mut Pcg64| SampledMdpu::sample(&unit, &operands, rng).read(&group, &[]);
        let full = moments((0..n).map(|_| full(&mut rng)).collect());
        let error = 5.0 * full.1 / (n as f64).sqrt();
        assert!((fast.0 - full.0).abs() < 1.5 * error, "{fast:?} {full:?}");
        assert!((fast.1 / full.1 - 1.0).abs() < 0.09, "{fast:?} {full:?}");
        assert!((fast.2 - full.2).abs() < 2e-3, "{fast:?} {full:?}");
    }

    #[test]
    fn tilted_uniforms_follow_their_law() {
        let mut rng = Pcg64::seed_from_u64(9);
        for u in [-3.0, 0.0, 0.01, 0.8, 20.0] {
            let n = 40_000;
            let mean = (0..n).map(|_| tilted_uniform(u, &mut rng)).sum::<f64>() / n as f64;
            let [_, first, second] = log_sinhc(u);
            assert!((mean - first).abs() < 5.0 * (second / n as f64).sqrt(), "{u}: {mean} {first}");
        }
        // The series and the closed form meet.
        let (a, b) = (log_sinhc(0.019_999), log_sinhc(0.020_001));
        for i in 0..3 {
            assert!((a[i] - b[i]).abs() < 3e-4 * b[i].abs(), "{a:?} {b:?}");
        }
    }
}
