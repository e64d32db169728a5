//! The spectrum of a reference structure, smoothed.

use super::Input;
use super::given::Given;
use super::trace::Trace;
use crate::CalibrationError;
use crate::spectrum::Spectrum;

/// Half the width of the smoothing, nm: wider than ripple, narrower than the couplers' response.
const REACH: f64 = 1.0;

/// Powers of a structure that holds the couplers alone.
pub(super) struct Reference {
    file: String,
    nanometres: Vec<f64>,
    dbm: Vec<f64>,
}

impl Reference {
    pub fn read(input: &Input, channel: u32, given: &Given) -> Result<Self, CalibrationError> {
        let spectrum = Spectrum::read(&input.bytes, &input.file)?;
        let trace = Trace::new(&spectrum, channel, given)?;
        Ok(Self { file: input.file.clone(), nanometres: trace.nanometres, dbm: trace.dbm })
    }

    /// The part of a trace that the reference covers.
    pub fn cut(&self, trace: &Trace) -> Result<Trace, CalibrationError> {
        let (from, to) = (self.nanometres[0], self.nanometres[self.nanometres.len() - 1]);
        let inside: Vec<usize> =
            (0..trace.dbm.len()).filter(|i| (from..=to).contains(&trace.nanometres[*i])).collect();
        if inside.len() < 40 {
            return Err(CalibrationError::TooFew(format!(
                "{} points of {} lie within the reference {}, which was seen from {from:.3} to {to:.3} nm",
                inside.len(),
                trace.name,
                self.file
            )));
        }
        let pick = |all: &[f64]| inside.iter().map(|i| all[*i]).collect::<Vec<f64>>();
        Ok(Trace {
            wavelengths: pick(&trace.wavelengths),
            nanometres: pick(&trace.nanometres),
            dbm: pick(&trace.dbm),
            ..trace.clone()
        })
    }

    /// Its power at wavelengths in nm: a line through the neighbours within 1 nm, the nearer the heavier (tricube weights;
    /// Cleveland, J. Am. Stat. Assoc. 74:829, 1979).
    pub fn at(&self, nanometres: &[f64]) -> Vec<f64> {
        let (mut from, mut to) = (0, 0);
        let mut smooth = |nm: f64| {
            while self.nanometres[from] < nm - REACH && from + 1 < self.nanometres.len() {
                from += 1;
            }
            while to < self.nanometres.len() && self.nanometres[to] <= nm + REACH {
                to += 1;
            }
            self.local(nm, from, to)
        };
        nanometres.iter().map(|nm| smooth(*nm)).collect()
    }

    fn local(&self, nm: f64, from: usize, to: usize) -> f64 {
        let mut s = [0.0; 5];
        for i in from..to {
            let x = (self.nanometres[i] - nm) / REACH;
            let w = (1.0 - x.abs().powi(3)).max(0.0).powi(3);
            s = [
                s[0] + w,
                s[1] + w * x,
                s[2] + w * x * x,
                s[3] + w * self.dbm[i],
                s[4] + w * x * self.dbm[i],
            ];
        }
        let determinant = s[0] * s[2] - s[1] * s[1];
        if determinant > 1e-9 * s[0] * s[0] {
            return (s[2] * s[3] - s[1] * s[4]) / determinant;
        }
        // In a gap: a straight line over it.
        let right = self.nanometres.partition_point(|w| *w < nm).clamp(1, self.nanometres.len() - 1);
        let (x0, x1) = (self.nanometres[right - 1], self.nanometres[right]);
        let share = ((nm - x0) / (x1 - x0)).clamp(0.0, 1.0);
        self.dbm[right - 1] + share * (self.dbm[right] - self.dbm[right - 1])
    }
}
