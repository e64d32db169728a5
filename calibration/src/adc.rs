//! The energy law of ADCs, fitted to published converters.

use crate::CalibrationError;
use crate::table::columns;

/// Points whose mean makes each coefficient.
const BEST: usize = 3;

/// One published converter.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Converter {
    /// Line in the survey.
    pub line: u64,
    /// Effective number of bits, (SNDR - 1.76 dB) / 6.02 dB.
    pub bits: f64,
    /// Energy of one conversion at the Nyquist rate, J.
    pub energy: f64,
    /// Nyquist rate, samples/s.
    pub rate: f64,
    /// Signal to noise and distortion, dB.
    pub sndr: f64,
    /// Year of publication.
    pub year: f64,
}

/// The converters of a survey that state SNDR, power and rate.
#[derive(Debug, Clone, PartialEq)]
pub struct AdcSurvey {
    converters: Vec<Converter>,
    left_out: usize,
}

/// E = k1 b + k2 4^b: a part that grows with each bit (logic), and one bound by thermal noise.
///
/// The law is that of "A blueprint for precise and fault-tolerant analog neural networks" (Nature Communications 2024).
/// "Best" is taken here as: over the converters at or above the stated rate, k1 is the mean of the three smallest E/b,
/// k2 the mean of the three smallest E/4^b. Each coefficient thus claims the whole energy of its own best converters.
#[derive(Debug, Clone, PartialEq)]
pub struct AdcLaw {
    /// Energy per bit, J.
    pub k1: f64,
    /// Energy per 4^bits, J.
    pub k2: f64,
    /// The converters behind k1.
    pub best_k1: [Converter; BEST],
    /// The converters behind k2.
    pub best_k2: [Converter; BEST],
    /// Converters at or above the rate.
    pub candidates: usize,
}

impl AdcSurvey {
    /// Reads a survey with columns `year`, `sndr_db`, `power_w`, `fsnyq_hz`; `file` is its name for messages. Rows where one of
    /// them is missing, and converters without a positive number of bits, are left out.
    ///
    /// # Errors
    /// A missing column, or a cell that is not a number (with its line).
    pub fn read(text: &str, file: &str) -> Result<Self, CalibrationError> {
        let rows = columns(text, file, ["sndr_db", "power_w", "fsnyq_hz", "year"])?;
        let all = rows.len();
        let converters: Vec<Converter> = rows
            .into_iter()
            .filter_map(|(line, [sndr, power, rate, year])| {
                let (sndr, power, rate, year) = (sndr?, power?, rate?, year?);
                let bits = (sndr - 1.76) / 6.02;
                let usable = bits > 0.0 && power > 0.0 && rate > 0.0;
                usable.then_some(Converter { line, bits, energy: power / rate, rate, sndr, year })
            })
            .collect();
        Ok(AdcSurvey { left_out: all - converters.len(), converters })
    }

    /// The usable converters.
    pub fn converters(&self) -> &[Converter] {
        &self.converters
    }

    /// Rows that were left out.
    pub fn left_out(&self) -> usize {
        self.left_out
    }

    /// Fits the law to the converters of at least `rate` samples/s.
    ///
    /// # Errors
    /// Fewer than three such converters.
    pub fn law(&self, rate: f64) -> Result<AdcLaw, CalibrationError> {
        let fast: Vec<Converter> = self.converters.iter().copied().filter(|c| c.rate >= rate).collect();
        Self::law_of(&fast, rate)
    }

    /// The same of a list of converters, all of at least `rate` samples/s.
    pub(crate) fn law_of(fast: &[Converter], rate: f64) -> Result<AdcLaw, CalibrationError> {
        let best = |merit: fn(&Converter) -> f64| -> Result<(f64, [Converter; BEST]), CalibrationError> {
            let mut sorted = fast.to_vec();
            sorted.sort_by(|a, b| merit(a).total_cmp(&merit(b)));
            let best: [Converter; BEST] =
                sorted.get(..BEST).and_then(|s| s.try_into().ok()).ok_or_else(|| {
                    CalibrationError::TooFew(format!(
                        "{} converters at or above {rate:e} samples/s: {BEST} are needed",
                        fast.len()
                    ))
                })?;
            Ok((best.iter().map(merit).sum::<f64>() / BEST as f64, best))
        };
        let (k1, best_k1) = best(|c| c.energy / c.bits)?;
        let (k2, best_k2) = best(|c| c.energy / 4f64.powf(c.bits))?;
        Ok(AdcLaw { k1, k2, best_k1, best_k2, candidates: fast.len() })
    }
}

impl AdcLaw {
    /// Energy of one conversion with `bits` effective bits, J.
    pub fn energy(&self, bits: f64) -> f64 {
        self.k1 * bits + self.k2 * 4f64.powf(bits)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn law_equals_the_hand_calculation() {
        // SNDR 1.76 + 6.02 b, power chosen for energies of 8, 4, 12, 40 and (too slow) 1 pJ.
        let text = "sndr_db,power_w,fsnyq_hz,year\n25.84,8e-3,1e9,2000\n13.8,8e-3,2e9,2000\n37.88,12e-3,1e9,2000\n49.92,40e-3,1e9,2000\n25.84,1e-4,1e8,2000\n,1,1e9,2000\n";
        let survey = AdcSurvey::read(text, "x").unwrap();
        assert_eq!((survey.converters().len(), survey.left_out()), (5, 1));
        let law = survey.law(1e9).unwrap();
        // bits 4, 2, 6, 8: E/b = 2, 2, 2, 5 pJ; E/4^b = 1/32, 1/4, 12/4096, 40/65536 pJ.
        assert!((law.k1 / 2e-12 - 1.0).abs() < 1e-9);
        assert!((law.k2 / (1e-12 * (1.0 / 32.0 + 12.0 / 4096.0 + 40.0 / 65536.0) / 3.0) - 1.0).abs() < 1e-9);
        assert_eq!(law.best_k2[0].line, 5);
        assert!((law.energy(4.0) / (8e-12 + 256.0 * law.k2) - 1.0).abs() < 1e-9);
    }

    #[test]
    fn errors_name_the_line() {
        let error = AdcSurvey::read("sndr_db,power_w,fsnyq_hz,year\n20,1,1e9,2000\n20,x,1e9,2000\n", "s.csv")
            .unwrap_err();
        assert_eq!(error.to_string(), "s.csv:3: `x` in column `power_w` is not a number");
        assert!(
            AdcSurvey::read("a,b\n1,2\n", "s.csv").unwrap_err().to_string().contains("no column `sndr_db`")
        );
        let few = AdcSurvey::read("sndr_db,power_w,fsnyq_hz,year\n20,1,1e9,2000\n", "s.csv").unwrap();
        assert!(few.law(1e9).unwrap_err().to_string().contains("1 converters"));
    }

    #[test]
    fn the_survey_gives_plausible_energies() {
        let survey =
            AdcSurvey::read(include_str!("../../data/adc-survey/adc_survey_2025.csv"), "survey").unwrap();
        let law = survey.law(1e9).unwrap();
        // Tens to hundreds of femtojoules a bit, attojoules for the noise-bound part.
        assert!(law.k1 > 1e-14 && law.k1 < 1e-12 && law.k2 > 1e-20 && law.k2 < 1e-16, "{law:?}");
        assert!(law.candidates > 50);
    }
}
