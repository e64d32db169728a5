//! Directional couplers, single or in an interferometer of two alike, as the fit sees them.

use super::given::Given;
use super::mzi::guide;
use super::trace::{CLEAR, band, floor, nanometres, running_median, varied};
use crate::CalibrationError;
use crate::spectrum::Spectrum;
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
    /// mW, the detector's floor taken off.
    through: Vec<f64>,
    cross: Vec<f64>,
    /// Scatter of the share of each point, up to a factor.
    pub spread: Vec<f64>,
    /// Points that the floor hides.
    pub hidden: usize,
    /// um.
    pub length: f64,
}

/// Floor over total power at which the detector's noise is as large as that of the powers themselves.
const EVEN: f64 = 40.0;
/// What the model leaves, over the noise of an even split.
const LEFT: f64 = 0.1;

/// Scatter of a share s, up to a factor: that of two powers which err by a share of themselves is s (1 - s) of it, most where the
/// fringes are steepest; then the detector's noise, and what the model leaves.
fn scatter(share: f64, dark: f64) -> f64 {
    (4.0 * share * (1.0 - share)).hypot(EVEN * dark).hypot(LEFT)
}

impl Split {
    /// The powers where the through port or the cross port is well above the floor.
    ///
    /// # Errors
    /// Channels that are missing or constant, or too few such points.
    pub fn new(
        spectrum: &Spectrum,
        length: f64,
        ports: [u32; 2],
        given: &Given,
    ) -> Result<Self, CalibrationError> {
        let part = band(spectrum, given)?;
        let [through, cross] = ports.map(|port| varied(&part, port));
        let (through, cross) = (through?, cross?);
        let floor = floor(given);
        let dark = 10f64.powf(floor / 10.0);
        let light = |dbm: &f64| 10f64.powf(dbm / 10.0) - dark;
        let total: Vec<f64> =
            through.iter().zip(cross).map(|(t, c)| (light(t) + light(c)).max(1e-3 * dark)).collect();
        let level: Vec<f64> = total.iter().map(|t| 10.0 * (t + dark).log10()).collect();
        let level = running_median(&level);
        let seen: Vec<usize> = (0..total.len()).filter(|i| level[*i] > floor + CLEAR).collect();
        if seen.len() < 40 {
            let count = seen.len();
            return Err(part.wrong(format!(
                "{count} wavelengths have light in channel {} or {} more than {CLEAR} dB above the detector's floor of {floor} dBm: at least 40 are needed",
                ports[0], ports[1]
            )));
        }
        Ok(Self {
            name: format!("{} cross share", spectrum.file),
            nanometres: seen.iter().map(|i| nanometres(part.wavelengths[*i])).collect(),
            through: seen.iter().map(|i| light(&through[*i])).collect(),
            cross: seen.iter().map(|i| light(&cross[*i])).collect(),
            spread: seen.iter().map(|i| scatter(light(&cross[*i]) / total[*i], dark / total[*i])).collect(),
            hidden: total.len() - seen.len(),
            length,
        })
    }

    /// Share of the cross port in the power of both, if its fibre coupler is better by `level` dB.
    pub fn share(&self, level: f64) -> Vec<f64> {
        let worse = 10f64.powf(-level / 10.0);
        let share = |(c, t): (&f64, &f64)| worse * c / (worse * c + t);
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
