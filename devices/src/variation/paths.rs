//! From maps to the phases, gains and resonances of an MDPU as made.

use crate::component::{GuideTable, Polarization};
use crate::error::DeviceError;
use crate::variation::{Floor, Process, Spread, correlation, path_average};
use std::f64::consts::PI;

/// Width and thickness of the strips, m.
const STRIP: (f64, f64) = (500e-9, 220e-9);

/// How the paths of an MDPU vary.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Variation {
    /// Of the guides' width.
    pub width: Spread,
    /// Of their thickness.
    pub thickness: Spread,
    /// dneff/dwidth and dneff/dthickness, 1/m.
    pub slopes: (f64, f64),
    /// Wavelength, m.
    pub wavelength: f64,
    /// Length of each path (bus or detour) of a stage, m.
    pub path_length: f64,
    /// Distance between bus and detour of a stage, m.
    pub separation: f64,
    /// Relative change of a shifter's phase per volt with the width of its guide, 1/m.
    pub gain_per_width: f64,
    /// Where the MDPUs of a chip lie.
    pub floor: Floor,
}

impl Variation {
    /// A process' variations on strips of 500 nm x 220 nm, with gains that do not depend on the width; lengths in m.
    ///
    /// # Errors
    /// None in a sound build: the table of strips is part of it and holds this size.
    pub fn of(
        process: &Process,
        wavelength: f64,
        path_length: f64,
        separation: f64,
        floor: Floor,
    ) -> Result<Self, DeviceError> {
        let table = GuideTable::silicon_strips().map_err(|e| DeviceError::Question(e.to_string()))?;
        let slopes = table.slopes(STRIP.0, STRIP.1, Polarization::Te).ok_or_else(|| {
            DeviceError::parameter("variation.strip", STRIP.0, "m is not within the table of strip guides")
        })?;
        let (width, thickness) = (process.width, process.thickness);
        let gain_per_width = 0.0;
        Ok(Variation { width, thickness, slopes, wavelength, path_length, separation, gain_per_width, floor })
    }

    /// Standard deviation of the phase error of one path as made, rad, over wafers and chips, or (`within` a wafer) from place
    /// to place: (2 pi/lambda) L sqrt(sum over width and thickness of (dn)^2 (deviation^2 average + wafer^2)), with the
    /// average of the map over the path's own length.
    pub fn path_deviation(&self, within: bool) -> f64 {
        let part = |slope: f64, spread: &Spread| {
            let local = spread.deviation.powi(2) * path_average(self.path_length, spread.correlation);
            slope * slope * (local + if within { 0.0 } else { spread.wafer.powi(2) })
        };
        let index = part(self.slopes.0, &self.width) + part(self.slopes.1, &self.thickness);
        2.0 * PI / self.wavelength * self.path_length * index.sqrt()
    }

    /// Standard deviation of the effective index's difference between two places `distance` m apart on a chip.
    pub fn index_difference(&self, distance: f64) -> f64 {
        let part = |slope: f64, spread: &Spread| {
            2.0 * (slope * spread.deviation).powi(2) * (1.0 - correlation(distance, spread.correlation))
        };
        (part(self.slopes.0, &self.width) + part(self.slopes.1, &self.thickness)).sqrt()
    }

    /// Standard deviation of the difference of the phase errors of two equal paths `distance` m apart, rad.
    pub fn path_difference(&self, distance: f64) -> f64 {
        2.0 * PI / self.wavelength * self.path_length * self.index_difference(distance)
    }

    /// Standard deviation of a ring's resonance, m, within a wafer, for guides of group index `group_index`.
    pub fn resonance_deviation(&self, group_index: f64) -> f64 {
        let part = |slope: f64, spread: &Spread| (slope * spread.deviation).powi(2);
        let index = part(self.slopes.0, &self.width) + part(self.slopes.1, &self.thickness);
        self.wavelength / group_index * index.sqrt()
    }

    /// Standard deviation of the difference of two equal rings' resonances `distance` m apart, m.
    pub fn resonance_difference(&self, distance: f64, group_index: f64) -> f64 {
        self.wavelength / group_index * self.index_difference(distance)
    }

    /// The first value that is not finite or negative, for the check of parameters.
    pub(crate) fn fault(&self) -> Option<(&'static str, f64)> {
        let positive = [
            ("variation.width.correlation", self.width.correlation),
            ("variation.thickness.correlation", self.thickness.correlation),
            ("variation.wavelength", self.wavelength),
            ("variation.width.deviation", self.width.deviation),
            ("variation.thickness.deviation", self.thickness.deviation),
            ("variation.path_length", self.path_length),
            ("variation.row_pitch", self.floor.row_pitch),
            ("variation.unit_pitch", self.floor.unit_pitch),
            ("variation.units_across", f64::from(self.floor.units_across)),
        ];
        let rest = [
            ("variation.width.wafer", self.width.wafer),
            ("variation.thickness.wafer", self.thickness.wafer),
            ("variation.separation", self.separation),
            ("variation.slopes", self.slopes.0.abs() + self.slopes.1.abs()),
            ("variation.gain_per_width", self.gain_per_width.abs()),
        ];
        let bad = |value: f64, least: f64| !(value.is_finite() && value >= least);
        let first = positive.into_iter().find(|(_, value)| bad(*value, f64::MIN_POSITIVE));
        first.or(rest.into_iter().find(|(_, value)| bad(*value, 0.0)))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn nanotools() -> Variation {
        let process = Process::find("Electron Beam Lithography (Applied Nanotools)").unwrap();
        Variation::of(process, 1.55e-6, 240e-6, 20e-6, Floor::CLOSE).unwrap()
    }

    #[test]
    fn deviations_are_the_tables_slopes_times_the_foundrys_sizes() {
        let v = nanotools();
        // By hand from the table's neighbours of 500 x 220 nm: (2.47492 - 2.41168)/40 and (2.48129 - 2.40705)/20 per nm.
        let (by_width, by_thickness): (f64, f64) = (1.581e-3, 3.712e-3);
        let turn = 2.0 * PI / 1.55e-6 * 240e-6;
        let within = turn * (by_width * 1.132).hypot(by_thickness * 0.585);
        assert!((v.path_deviation(true) / within - 1.0).abs() < 1e-3, "{} {within}", v.path_deviation(true));
        let wafer = turn * (by_width * 5.0).hypot(by_thickness * 3.0);
        assert!((v.path_deviation(false) / within.hypot(wafer) - 1.0).abs() < 1e-3);
        let shift = 1.55e-6 / 4.19 * (by_width * 1.132).hypot(by_thickness * 0.585);
        assert!((v.resonance_deviation(4.19) / shift - 1.0).abs() < 1e-3);
        // Far apart, differences are sqrt 2 of each; side by side they vanish with the distance.
        assert!((v.path_difference(1.0) / (2f64.sqrt() * within) - 1.0).abs() < 1e-3);
        assert!((v.path_difference(40e-6) / v.path_difference(20e-6) - 2.0).abs() < 1e-3);
        assert_eq!(v.fault(), None);
        assert_eq!(Variation { wavelength: 0.0, ..v }.fault().unwrap().0, "variation.wavelength");
    }
}
