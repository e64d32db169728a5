//! Directional couplers, single or in an interferometer of two alike, as the fit sees them.

use super::mzi::guide;
use super::trace::Trace;
use crate::CalibrationError;
use mirage_devices::component::GuideCoupling;

/// Parameters of the coupler itself: kappa (rad/um), its slope (rad/um per um), angle of the bends (rad), its slope (rad/um).
/// An interferometer adds the group path (um), its slope (um/um), and a fringe (nm) for each device.
pub(super) const OWN: usize = 4;

/// What stands between input and outputs.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Structure {
    /// One coupler.
    Single,
    /// Two alike, and guides of different length between them.
    Interferometer,
}

/// Powers of both outputs of one device.
pub(super) struct Split {
    pub name: String,
    pub nanometres: Vec<f64>,
    /// dBm.
    through: Vec<f64>,
    cross: Vec<f64>,
    /// um.
    pub length: f64,
}

impl Split {
    /// The powers at the wavelengths that both ports have seen.
    pub fn new(file: &str, length: f64, through: &Trace, cross: &Trace) -> Result<Self, CalibrationError> {
        let name = format!("{file} cross share");
        let mut split = Self { name, nanometres: vec![], through: vec![], cross: vec![], length };
        let mut j = 0;
        for (i, nm) in through.nanometres.iter().enumerate() {
            while j < cross.nanometres.len() && cross.nanometres[j] < *nm {
                j += 1;
            }
            if cross.nanometres.get(j) == Some(nm) {
                split.nanometres.push(*nm);
                split.through.push(through.dbm[i]);
                split.cross.push(cross.dbm[j]);
            }
        }
        if split.nanometres.len() < 40 {
            let count = split.nanometres.len();
            let text = format!("{file}: {count} wavelengths are seen in both ports: at least 40 are needed");
            return Err(CalibrationError::TooFew(text));
        }
        Ok(split)
    }

    /// Share of the cross port in the power of both, if its fibre coupler is better by `level` dB.
    pub fn share(&self, level: f64) -> Vec<f64> {
        let share = |(c, t): (&f64, &f64)| 1.0 / (1.0 + 10f64.powf((t - c + level) / 10.0));
        self.cross.iter().zip(&self.through).map(share).collect()
    }
}

/// Angle of a coupler; wavelengths in nm, length in um.
pub(super) fn angle(p: &[f64], centre: f64, nanometres: f64, length: f64) -> f64 {
    let law =
        GuideCoupling { wl0: centre * 1e-9, kappa: [p[0] * 1e6, p[1] * 1e12], bend: [p[2], p[3] * 1e6] };
    law.angle(nanometres * 1e-9, length * 1e-6)
}

/// All devices of a question.
pub(super) struct Bench {
    pub structure: Structure,
    pub all: Vec<Split>,
    /// nm.
    pub centre: f64,
}

impl Bench {
    /// Shares of the cross port: sin^2 of the angle, and for two couplers with a phase between their guides
    /// 4 k (1 - k) cos^2(phase/2), which is |out1/in0|^2 of the component `mzi`.
    pub fn fill(&self, p: &[f64], out: &mut [f64]) {
        let mut rest = out;
        for (device, split) in self.all.iter().enumerate() {
            let (here, behind) = rest.split_at_mut(split.nanometres.len());
            rest = behind;
            let fringe = match self.structure {
                Structure::Single => None,
                Structure::Interferometer => {
                    let path = guide(self.centre * 1e-9, p[OWN], p[OWN + 1]);
                    Some((path, path.wavenumber(p[OWN + 2 + device] * 1e-9)))
                }
            };
            for (out, nm) in here.iter_mut().zip(&split.nanometres) {
                let share = angle(p, self.centre, *nm, split.length).sin().powi(2);
                *out = match &fringe {
                    None => share,
                    Some((path, zero)) => {
                        // Over a path of 1 um the wavenumber of a guide whose group index is the group path in um.
                        let phase = (path.wavenumber(nm * 1e-9) - zero) * 1e-6;
                        4.0 * share * (1.0 - share) * (0.5 * phase).cos().powi(2)
                    }
                };
            }
        }
    }
}
