//! Propagation loss from two guides of different length.

use crate::CalibrationError;
use crate::table::columns;
use statrs::distribution::{ContinuousCDF, Normal};

/// Blocks of the spectrum whose means are taken as independent.
const BLOCKS: usize = 20;

/// A measured transmission spectrum.
#[derive(Debug, Clone, PartialEq)]
pub struct Spectrum {
    /// Wavelength (nm) and transmitted power (dBm), wavelength rising.
    points: Vec<(f64, f64)>,
}

/// How well two pairs of couplers of the same chip agree, dB (standard deviation of one pair). It cannot be learnt from
/// two guides and must come from elsewhere.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct CouplerRepeatability {
    /// Standard deviation of the loss of one pair of couplers, dB.
    pub sigma_db: f64,
}

/// Propagation loss with a 95 % interval.
///
/// Two guides determine two unknowns (the couplers' loss and the guide's): no degree of freedom is left to test the
/// model or to estimate the couplers' scatter, so the interval stands on the assumed repeatability.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct GuideLoss {
    /// Loss, dB/cm.
    pub db_per_cm: f64,
    /// Lower end of the interval, dB/cm.
    pub lower: f64,
    /// Upper end, dB/cm.
    pub upper: f64,
    /// Mean difference of the two spectra, dB.
    pub difference_db: f64,
    /// Its standard error from the scatter along the spectrum, dB.
    pub scatter_db: f64,
    /// Wavelengths used.
    pub points: usize,
}

impl Spectrum {
    /// Reads columns `wavelength_nm` and `channel_2_dbm`; `file` is its name for messages.
    ///
    /// # Errors
    /// Missing columns or cells, numbers that cannot be read, wavelengths that do not rise (with their line).
    pub fn read(text: &str, file: &str) -> Result<Self, CalibrationError> {
        let mut points: Vec<(f64, f64)> = Vec::new();
        for (line, cells) in columns(text, file, ["wavelength_nm", "channel_2_dbm"])? {
            let wrong =
                |problem: &str| CalibrationError::Line { file: file.into(), line, problem: problem.into() };
            let [Some(wavelength), Some(power)] = cells else {
                return Err(wrong("a wavelength or a power is missing"));
            };
            if points.last().is_some_and(|last| last.0 >= wavelength) {
                return Err(wrong("the wavelength does not rise"));
            }
            points.push((wavelength, power));
        }
        Ok(Spectrum { points })
    }
}

/// Loss of a guide from the spectra of two that differ in length by `length` metres, over the wavelengths where both lie
/// above `floor_dbm`.
///
/// # Errors
/// A length that is not positive, spectra on different wavelengths, or too few points above the floor.
pub fn guide_loss(
    short: &Spectrum,
    long: &Spectrum,
    length: f64,
    floor_dbm: f64,
    couplers: CouplerRepeatability,
) -> Result<GuideLoss, CalibrationError> {
    if !(length > 0.0 && length.is_finite() && couplers.sigma_db >= 0.0) {
        return Err(CalibrationError::TooFew(
            "the guides must differ in length, and the repeatability be known".into(),
        ));
    }
    let same = |(a, b): (&(f64, f64), &(f64, f64))| (a.0 - b.0).abs() < 1e-6 * a.0;
    if short.points.len() != long.points.len() || !short.points.iter().zip(&long.points).all(same) {
        return Err(CalibrationError::TooFew(
            "the two spectra were not measured at the same wavelengths".into(),
        ));
    }
    let pairs = short.points.iter().zip(&long.points);
    let differences: Vec<f64> =
        pairs.filter(|(a, b)| a.1 > floor_dbm && b.1 > floor_dbm).map(|(a, b)| a.1 - b.1).collect();
    if differences.len() < 2 * BLOCKS {
        return Err(CalibrationError::TooFew(format!(
            "{} wavelengths lie above {floor_dbm} dBm",
            differences.len()
        )));
    }
    let mean = |list: &[f64]| list.iter().sum::<f64>() / list.len() as f64;
    let blocks: Vec<f64> = differences.chunks(differences.len().div_ceil(BLOCKS)).map(mean).collect();
    let middle = mean(&blocks);
    let n = blocks.len() as f64;
    let scatter_db = (blocks.iter().map(|b| (b - middle).powi(2)).sum::<f64>() / (n - 1.0) / n).sqrt();
    let difference_db = mean(&differences);
    let reach =
        Normal::standard().inverse_cdf(0.975) * (2.0 * couplers.sigma_db.powi(2) + scatter_db.powi(2)).sqrt();
    let per_cm = 1.0 / (length * 100.0);
    Ok(GuideLoss {
        db_per_cm: difference_db * per_cm,
        lower: (difference_db - reach) * per_cm,
        upper: (difference_db + reach) * per_cm,
        difference_db,
        scatter_db,
        points: differences.len(),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn spectrum(offset: f64) -> Spectrum {
        let text: String =
            (0..200).map(|i| format!("{},{}\n", 1500.0 + 0.1 * f64::from(i), offset)).collect();
        Spectrum::read(&format!("wavelength_nm,channel_2_dbm\n{text}"), "x").unwrap()
    }

    #[test]
    fn loss_equals_the_hand_calculation() {
        // 6 dB over 2 cm: 3 dB/cm; couplers of 0.5 dB: 1.96 x 0.5 x sqrt 2 / 2 cm = 0.693 dB/cm.
        let couplers = CouplerRepeatability { sigma_db: 0.5 };
        let loss = guide_loss(&spectrum(-20.0), &spectrum(-26.0), 0.02, -50.0, couplers).unwrap();
        assert!((loss.db_per_cm - 3.0).abs() < 1e-12 && (loss.upper - 3.0 - 0.6930).abs() < 1e-3, "{loss:?}");
        assert!((loss.upper + loss.lower - 6.0).abs() < 1e-9);
        assert!(guide_loss(&spectrum(-20.0), &spectrum(-60.0), 0.02, -50.0, couplers).is_err());
        assert!(guide_loss(&spectrum(-20.0), &spectrum(-26.0), 0.0, -50.0, couplers).is_err());
    }

    #[test]
    fn errors_name_the_line() {
        let text = "wavelength_nm,channel_2_dbm\n1500,-20\n1499,-20\n";
        assert_eq!(
            Spectrum::read(text, "s.csv").unwrap_err().to_string(),
            "s.csv:3: the wavelength does not rise"
        );
        let text = "wavelength_nm,channel_2_dbm\n1500,\n";
        assert!(Spectrum::read(text, "s.csv").unwrap_err().to_string().starts_with("s.csv:2: "));
    }

    #[test]
    fn measured_guides_give_a_believable_loss() {
        let short = include_str!("../../data/openebl-2024-10/waveguide_0um.csv");
        let long = include_str!("../../data/openebl-2024-10/waveguide_34909um.csv");
        let (short, long) = (Spectrum::read(short, "short").unwrap(), Spectrum::read(long, "long").unwrap());
        let loss =
            guide_loss(&short, &long, 34_909e-6, -55.0, CouplerRepeatability { sigma_db: 0.3 }).unwrap();
        assert!(loss.db_per_cm > 0.5 && loss.db_per_cm < 4.0 && loss.points > 15_000, "{loss:?}");
    }
}
