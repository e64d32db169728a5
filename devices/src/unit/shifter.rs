//! The stationary operand: phase-voltage curve, DAC codes, and the covariance of what calibration does not know.

use crate::draws::{Domain, generator};
use crate::error::DeviceError;
use crate::numerics::normal_pair;
use crate::unit::encoding::{Digits, Encoding};
use crate::unit::parameters::{Codes, MdpuParameters};
use rand::RngExt;
use rand_pcg::Pcg64;
use std::f64::consts::PI;

const HARMONICS: usize = 3;

/// What the DAC of one MMU makes of each stationary residue, in levels (one level = 2 pi/m of unit phase).
#[derive(Debug, Clone)]
pub(crate) struct Drive {
    /// Voltage over the largest voltage used, for each residue.
    pub relative_voltage: Vec<f64>,
    /// Known error of the nearest code, levels.
    pub rounding: Vec<f64>,
    /// Slope of the phase-voltage curve at each residue, levels per volt.
    pub levels_per_volt: Vec<f64>,
    /// Code of each residue and levels per LSB there.
    codes: Vec<(i64, f64)>,
    /// Which of the distinct codes each residue has, and how many there are.
    rough: Vec<usize>,
    distinct: usize,
    code_span: f64,
    inl: f64,
    dnl: f64,
    /// Levels per volt at no volts, and the curvature per volt.
    curve: (f64, f64),
    /// Volts of an LSB at the nominal reference.
    lsb: f64,
    /// Voltage of each level on the nominal curve, where codes lie on the levels.
    on_level: Option<Vec<f64>>,
}

/// What is unknown of one sampled DAC, at every code.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct DacErrors {
    /// Sines and cosines of the smooth part.
    smooth: [f64; 2 * HARMONICS],
    /// The codes' own parts come from this key.
    key: u64,
}

impl Drive {
    pub fn new(p: &MdpuParameters, digits: &Digits) -> Result<Self, DeviceError> {
        let m = digits.modulus() as usize;
        let unit = f64::from(digits.modulus()) * p.shifters.unit_length / (2.0 * p.shifters.vpi_length);
        // level(V) = unit (V + q V|V|); the inverse solves the quadratic in its stable form.
        let q = p.shifters.curvature / p.shifters.max_voltage;
        let level_at = |v: f64| unit * (v + q * v * v.abs());
        let voltage_at = |level: f64| {
            let y = level / unit;
            2.0 * y / (1.0 + (1.0 + 4.0 * q * y.abs()).sqrt())
        };
        let full = voltage_at(f64::from(digits.largest_level()));
        if !(full.is_finite() && full <= p.shifters.max_voltage) {
            let (needed, available) = (full, p.shifters.max_voltage);
            return Err(DeviceError::DriveRange { modulus: digits.modulus(), needed, available });
        }
        let steps = match p.encoding {
            Encoding::Natural => (1i64 << p.dac.bits) - 1,
            Encoding::Centred => (1i64 << (p.dac.bits - 1)) - 1,
        } as f64;
        let lsb = full / steps;
        let exact = p.dac.codes == Codes::OnLevel;
        let mut drive = Drive {
            relative_voltage: Vec::with_capacity(m),
            rounding: Vec::with_capacity(m),
            levels_per_volt: Vec::with_capacity(m),
            codes: Vec::with_capacity(m),
            rough: Vec::with_capacity(m),
            distinct: 0,
            code_span: if p.encoding == Encoding::Natural { steps + 1.0 } else { 2.0 * steps + 1.0 },
            inl: if exact { 0.0 } else { p.dac.inl },
            dnl: if exact { 0.0 } else { p.dac.dnl },
            curve: (unit, q),
            lsb,
            on_level: exact.then(|| (0..m).map(|w| voltage_at(f64::from(digits.level(w)))).collect()),
        };
        for w in 0..m {
            let level = f64::from(digits.level(w));
            let code = (voltage_at(level) / lsb).round();
            let voltage = if exact { voltage_at(level) } else { code * lsb };
            drive.relative_voltage.push(voltage / full);
            drive.rounding.push(if exact { 0.0 } else { level_at(voltage) - level });
            let slope = unit * (1.0 + 2.0 * q * voltage.abs());
            let known = drive.codes.iter().position(|known| known.0 == code as i64);
            drive.rough.push(known.map_or(drive.distinct, |at| drive.rough[at]));
            drive.distinct += usize::from(known.is_none());
            drive.levels_per_volt.push(slope);
            drive.codes.push((code as i64, slope * lsb));
        }
        Ok(drive)
    }

    /// Covariance of the unknown level errors of residues `a` and `b`, levels squared.
    pub fn covariance(&self, a: usize, b: usize) -> f64 {
        let ((code_a, slope_a), (code_b, slope_b)) = (self.codes[a], self.codes[b]);
        let turn = 2.0 * PI * (code_a - code_b) as f64 / self.code_span;
        let smooth: f64 = (1..=HARMONICS).map(|h| (h as f64 * turn).cos()).sum::<f64>() / HARMONICS as f64;
        let rough = if code_a == code_b { self.dnl * self.dnl } else { 0.0 };
        slope_a * slope_b * (self.inl * self.inl * smooth + rough)
    }

    /// Unknown level errors of one sampled DAC: INL is a random sum of three harmonics over the code range (normal
    /// with the stated rms at every code), DNL an independent normal for each code.
    pub fn sample(&self, rng: &mut Pcg64) -> Vec<f64> {
        let mut normals: Vec<f64> = Vec::with_capacity(self.normals());
        (0..HARMONICS).for_each(|_| normals.extend(<[f64; 2]>::from(normal_pair(rng))));
        (0..self.distinct).for_each(|_| normals.push(normal_pair(rng).0));
        (0..self.codes.len()).map(|w| self.error(w, &normals)).collect()
    }

    /// Unknown errors of one sampled DAC at all its codes, of which [`Drive::sample`] gives those at the nominal ones.
    pub fn sample_dac(&self, rng: &mut Pcg64) -> DacErrors {
        let mut smooth = [0.0; 2 * HARMONICS];
        for pair in smooth.chunks_mut(2) {
            pair.copy_from_slice(&<[f64; 2]>::from(normal_pair(rng)));
        }
        DacErrors { smooth, key: rng.random() }
    }

    /// The code that the nominal curve asks for at stationary residue `w`.
    pub fn nominal_code(&self, w: usize) -> i64 {
        self.codes[w].0
    }

    /// Levels per LSB at stationary residue `w`.
    pub fn levels_per_lsb(&self, w: usize) -> f64 {
        self.codes[w].1
    }

    /// The smallest and the largest code.
    pub fn code_range(&self) -> (i64, i64) {
        let natural = self.code_span as i64 % 2 == 0;
        let most = if natural { self.code_span as i64 - 1 } else { (self.code_span as i64 - 1) / 2 };
        (if natural { 0 } else { -most }, most)
    }

    /// Voltage of the largest level at the nominal reference, V.
    pub fn full_voltage(&self) -> f64 {
        self.lsb * self.code_range().1 as f64
    }

    /// Whether every level has a code exactly on it.
    pub fn is_exact(&self) -> bool {
        self.on_level.is_some()
    }

    /// The level to which `code` of a sampled DAC drives nominal shifters, its reference `scale` times the nominal one. Where codes
    /// lie on the levels, the code is that of residue `w` whatever is asked for.
    pub fn level_of(&self, dac: &DacErrors, w: usize, code: i64, scale: f64) -> f64 {
        let (unit, q) = self.curve;
        let level_at = |v: f64| unit * (v + q * v * v.abs());
        if let Some(voltages) = &self.on_level {
            return level_at(voltages[w] * scale);
        }
        let turn = 2.0 * PI * code as f64 / self.code_span;
        let mut error = 0.0;
        for (h, pair) in dac.smooth.chunks(2).enumerate() {
            let (sine, cosine) = libm::sincos((h + 1) as f64 * turn);
            error += self.inl / (HARMONICS as f64).sqrt() * (pair[0] * cosine + pair[1] * sine);
        }
        if self.dnl > 0.0 {
            let mut rng = generator(dac.key, Domain::DacCodes, [code as u64, 0]);
            error += self.dnl * normal_pair(&mut rng).0;
        }
        level_at((code as f64 + error) * self.lsb * scale)
    }

    /// Number of independent standard normal numbers behind the errors of one DAC.
    pub fn normals(&self) -> usize {
        2 * HARMONICS + self.distinct
    }

    /// Level error of residue `w` from them.
    pub fn error(&self, w: usize, normals: &[f64]) -> f64 {
        let mut sum = 0.0;
        self.for_each_part(w, |index, part| sum += part * normals[index]);
        sum
    }

    /// What each normal number contributes to the level error of residue `w`: its index and its factor.
    pub fn for_each_part(&self, w: usize, mut part: impl FnMut(usize, f64)) {
        let (code, slope) = self.codes[w];
        let turn = 2.0 * PI * code as f64 / self.code_span;
        let inl = slope * self.inl / (HARMONICS as f64).sqrt();
        for h in 0..HARMONICS {
            let (sine, cosine) = libm::sincos((h + 1) as f64 * turn);
            part(2 * h, inl * cosine);
            part(2 * h + 1, inl * sine);
        }
        part(2 * HARMONICS + self.rough[w], slope * self.dnl);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use rand::SeedableRng;

    fn parameters(bits: u32) -> MdpuParameters {
        let mut p = MdpuParameters::ideal(16);
        p.dac.codes = Codes::Nearest;
        p.dac.bits = bits;
        p
    }

    #[test]
    fn nearest_codes_are_within_half_a_step() {
        let digits = Digits::new(32, Encoding::Natural);
        for bits in [6, 8, 11, 14] {
            let drive = Drive::new(&parameters(bits), &digits).unwrap();
            let lsb = 31.0 / ((1 << bits) - 1) as f64;
            assert!(drive.rounding.iter().all(|e| e.abs() <= 0.5 * lsb * (1.0 + 1e-9)));
            assert!(drive.rounding.iter().any(|e| e.abs() > 0.2 * lsb), "{bits} bits: codes cannot all fit");
            assert_eq!(drive.rounding[0], 0.0);
        }
    }

    #[test]
    fn a_dac_at_all_its_codes_errs_as_at_the_nominal_ones() {
        let mut p = parameters(10);
        (p.dac.inl, p.dac.dnl, p.shifters.curvature) = (0.5, 0.3, 0.1);
        for encoding in [Encoding::Natural, Encoding::Centred] {
            p.encoding = encoding;
            let digits = Digits::new(31, encoding);
            let drive = Drive::new(&p, &digits).unwrap();
            let (low, high) = drive.code_range();
            assert!((0..31).all(|w| (low..=high).contains(&drive.nominal_code(w))));
            assert_eq!(high, if encoding == Encoding::Natural { 1023 } else { 511 });
            let mut rng = Pcg64::seed_from_u64(2);
            let (n, w) = (20_000, 7);
            let known = f64::from(digits.level(w)) + drive.rounding[w];
            let square: f64 = (0..n)
                .map(|_| {
                    let dac = drive.sample_dac(&mut rng);
                    (drive.level_of(&dac, w, drive.nominal_code(w), 1.0) - known).powi(2) / f64::from(n)
                })
                .sum();
            // The mean square of n normal numbers is known to sqrt(2/n) = 1 %.
            assert!((square / drive.covariance(w, w) - 1.0).abs() < 0.04, "{encoding:?} {square}");
            let dac = drive.sample_dac(&mut rng);
            assert_eq!(drive.level_of(&dac, w, 40, 1.0), drive.level_of(&dac, w, 40, 1.0));
            let step = drive.level_of(&dac, w, 41, 1.0) - drive.level_of(&dac, w, 40, 1.0);
            assert!((step / drive.levels_per_lsb(1) - 1.0).abs() < 2.0, "{step}");
        }
    }

    #[test]
    fn curvature_is_calibrated_away() {
        let mut p = parameters(16);
        p.shifters.curvature = 0.2;
        for encoding in [Encoding::Natural, Encoding::Centred] {
            p.encoding = encoding;
            let digits = Digits::new(33, encoding);
            let drive = Drive::new(&p, &digits).unwrap();
            assert!(drive.rounding.iter().all(|e| e.abs() < 33.0 / 65535.0 * 1.2), "{encoding:?}");
        }
    }

    #[test]
    fn a_driver_too_weak_is_refused() {
        let mut p = parameters(8);
        p.shifters.max_voltage = 1.0;
        let error = Drive::new(&p, &Digits::new(33, Encoding::Natural)).unwrap_err().to_string();
        assert!(error.contains("driver gives 1.000 V"), "{error}");
    }

    #[test]
    fn samples_have_the_stated_covariance() {
        let mut p = parameters(10);
        (p.dac.inl, p.dac.dnl) = (0.5, 0.3);
        let drive = Drive::new(&p, &Digits::new(31, Encoding::Natural)).unwrap();
        let mut rng = Pcg64::seed_from_u64(1);
        let n = 40_000;
        let (mut same, mut cross) = (0.0, 0.0);
        for _ in 0..n {
            let e = drive.sample(&mut rng);
            same += e[7] * e[7] / n as f64;
            cross += e[7] * e[12] / n as f64;
        }
        assert!((same / drive.covariance(7, 7) - 1.0).abs() < 0.03, "{same}");
        assert!((cross - drive.covariance(7, 12)).abs() < 0.03 * same, "{cross}");
    }
}
