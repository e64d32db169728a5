//! Modes of strip guides over width and thickness, from a table.

use crate::files::FileError;
use crate::physics::LIGHT_SPEED;
use std::f64::consts::PI;
use std::sync::LazyLock;

/// What a guide's mode is at its centre wavelength, and the wavenumber that follows elsewhere.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct GuideMode {
    /// Wavelength of the numbers, m.
    pub wavelength: f64,
    /// Effective index.
    pub neff: f64,
    /// Group index.
    pub ng: f64,
    /// Dispersion D, s/m^2 (1e-6 s/m^2 = 1 ps/(nm km)).
    pub dispersion: f64,
}

impl GuideMode {
    /// Wavenumber in rad/m at a vacuum wavelength in m: the expansion of beta(omega) to second order, with
    /// beta_2 = -D lambda^2/(2 pi c) (Agrawal, Nonlinear Fiber Optics, eqs. 1.2.8 and 1.2.11).
    pub fn wavenumber(&self, wavelength: f64) -> f64 {
        let offset = 2.0 * PI * LIGHT_SPEED * (1.0 / wavelength - 1.0 / self.wavelength);
        let beta_2 = -self.dispersion * self.wavelength.powi(2) / (2.0 * PI * LIGHT_SPEED);
        2.0 * PI * self.neff / self.wavelength + offset * (self.ng / LIGHT_SPEED + 0.5 * beta_2 * offset)
    }
}

/// The two guided polarisations.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Polarization {
    /// Quasi-TE: the field lies in the plane of the chip.
    Te,
    /// Quasi-TM.
    Tm,
}

/// Effective index, group index and dispersion of strip guides on a grid of widths and thicknesses.
#[derive(Debug, Clone, PartialEq)]
pub struct GuideTable {
    wavelength: f64,
    widths: Vec<f64>,
    thicknesses: Vec<f64>,
    /// neff, ng, D of TE and of TM at `width * thicknesses.len() + thickness`.
    modes: Vec<[[f64; 3]; 2]>,
}

/// Strip guides of silicon in oxide, of the SiEPIC kit.
const SILICON: &str = include_str!("../../../data/siepic-fdtd/waveguide_neff_1550.txt");

static STRIPS: LazyLock<Result<GuideTable, FileError>> =
    LazyLock::new(|| GuideTable::read(SILICON, "waveguide_neff_1550.txt"));

struct Row {
    width: f64,
    thickness: f64,
    wavelength: f64,
    mode: [[f64; 3]; 2],
}

impl GuideTable {
    /// Silicon strips in oxide: 400 to 3500 nm wide, 210 to 230 nm thick (SiEPIC EBeam kit, `data/siepic-fdtd`).
    ///
    /// # Errors
    /// None in a sound build: the table is part of it, and a test reads it.
    pub fn silicon_strips() -> Result<&'static GuideTable, FileError> {
        STRIPS.as_ref().map_err(Clone::clone)
    }

    /// Reads lines of `w=500,h=220 1.55e-06 neff_te neff_tm ng_te ng_tm d_te d_tm`: nm, m, and s/m^2 for the dispersions.
    ///
    /// # Errors
    /// A line of another form, several wavelengths, a size given twice, or sizes that are no full grid of at least 2 x 2.
    pub fn read(text: &str, file: &str) -> Result<Self, FileError> {
        let mut rows = Vec::new();
        for (index, line) in text.lines().enumerate().filter(|(_, line)| !line.trim().is_empty()) {
            let at = |problem: String| FileError::at(file, index + 1, problem);
            rows.push(read_row(line).map_err(at)?);
        }
        let whole = |problem: &str| FileError::whole(file, problem);
        let axis = |of: fn(&Row) -> f64| {
            let mut values: Vec<f64> = rows.iter().map(of).collect();
            values.sort_by(f64::total_cmp);
            values.dedup();
            values
        };
        let (widths, thicknesses) = (axis(|r| r.width), axis(|r| r.thickness));
        if widths.len() < 2 || thicknesses.len() < 2 || rows.len() != widths.len() * thicknesses.len() {
            return Err(whole(
                "the sizes are not a full grid of at least 2 widths and 2 thicknesses, each once",
            ));
        }
        if axis(|r| r.wavelength).len() != 1 {
            return Err(whole("the lines are of several wavelengths"));
        }
        rows.sort_by(|a, b| a.width.total_cmp(&b.width).then(a.thickness.total_cmp(&b.thickness)));
        let full = rows.iter().enumerate().all(|(i, r)| {
            r.width == widths[i / thicknesses.len()] && r.thickness == thicknesses[i % thicknesses.len()]
        });
        if !full {
            return Err(whole("one size stands twice and another is missing"));
        }
        let modes = rows.iter().map(|r| r.mode).collect();
        Ok(GuideTable { wavelength: rows[0].wavelength, widths, thicknesses, modes })
    }

    /// The mode of a guide of this width and thickness in m, bilinear between the points of the grid; `None` outside it.
    pub fn mode(&self, width: f64, thickness: f64, polarization: Polarization) -> Option<GuideMode> {
        let (i, x) = cell(&self.widths, width)?;
        let (j, y) = cell(&self.thicknesses, thickness)?;
        let at = |i: usize, j: usize| self.modes[i * self.thicknesses.len() + j][polarization as usize];
        let corners = [at(i, j), at(i, j + 1), at(i + 1, j), at(i + 1, j + 1)];
        let weights = [(1.0 - x) * (1.0 - y), (1.0 - x) * y, x * (1.0 - y), x * y];
        let [neff, ng, dispersion] =
            [0, 1, 2].map(|k| corners.iter().zip(weights).map(|(c, w)| c[k] * w).sum());
        Some(GuideMode { wavelength: self.wavelength, neff, ng, dispersion })
    }

    /// dneff/dwidth and dneff/dthickness in 1/m: the difference over 10 nm to either side, so that a size on the grid has the
    /// mean of its two neighbours' slopes; `None` within 10 nm of the border.
    pub fn slopes(&self, width: f64, thickness: f64, polarization: Polarization) -> Option<(f64, f64)> {
        const STEP: f64 = 10e-9;
        let neff = |dw: f64, dh: f64| Some(self.mode(width + dw, thickness + dh, polarization)?.neff);
        let by_width = neff(STEP, 0.0)? - neff(-STEP, 0.0)?;
        let by_thickness = neff(0.0, STEP)? - neff(0.0, -STEP)?;
        Some((by_width / (2.0 * STEP), by_thickness / (2.0 * STEP)))
    }

    /// Smallest and largest width, then thickness, m.
    pub fn range(&self) -> [(f64, f64); 2] {
        [&self.widths, &self.thicknesses].map(|axis| (axis[0], axis[axis.len() - 1]))
    }
}

/// The cell of a grid that holds a value, and the share of the way through it. A rounding error outside is inside.
fn cell(axis: &[f64], value: f64) -> Option<(usize, f64)> {
    let (low, high) = (axis[0], axis[axis.len() - 1]);
    if !(low * (1.0 - 1e-12)..=high * (1.0 + 1e-12)).contains(&value) {
        return None;
    }
    let i = axis.partition_point(|a| *a <= value).clamp(1, axis.len() - 1) - 1;
    Some((i, ((value - axis[i]) / (axis[i + 1] - axis[i])).clamp(0.0, 1.0)))
}

fn read_row(line: &str) -> Result<Row, String> {
    let form = "expected w=500,h=220 and seven numbers";
    let mut words = line.split_whitespace();
    let size = words.next().and_then(|size| size.split_once(',')).ok_or(form)?;
    let nanometres = |text: Option<&str>| crate::files::number(text.ok_or(form)?);
    let width = nanometres(size.0.strip_prefix("w="))?;
    let thickness = nanometres(size.1.strip_prefix("h="))?;
    let numbers = words.map(crate::files::number).collect::<Result<Vec<f64>, String>>()?;
    let [wavelength, neff_te, neff_tm, ng_te, ng_tm, d_te, d_tm] = numbers[..] else {
        return Err(format!("{} numbers after the size; {form}", numbers.len()));
    };
    if !(width > 0.0 && thickness > 0.0 && wavelength > 0.0 && neff_te > 0.0 && neff_tm > 0.0) {
        return Err("sizes, wavelength and effective indices are positive".into());
    }
    let mode = [[neff_te, ng_te, d_te], [neff_tm, ng_tm, d_tm]];
    Ok(Row { width: width / 1e9, thickness: thickness / 1e9, wavelength, mode })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_grid_is_met_and_interpolated() {
        let table = GuideTable::silicon_strips().unwrap();
        let mode = table.mode(500e-9, 220e-9, Polarization::Te).unwrap();
        assert!((mode.neff - 2.44553).abs() < 1e-12 && (mode.ng - 4.19088).abs() < 1e-12);
        assert!((mode.dispersion - 0.000354275).abs() < 1e-15);
        let tm = table.mode(500e-9, 220e-9, Polarization::Tm).unwrap();
        assert!((tm.neff - 1.77422).abs() < 1e-12);
        // The middle of a cell is the mean of its corners.
        let middle = table.mode(510e-9, 225e-9, Polarization::Te).unwrap().neff;
        assert!((middle - (2.44553 + 2.48129 + 2.47492 + 2.51046) / 4.0).abs() < 1e-12);
        let (by_width, by_thickness) = table.slopes(510e-9, 220e-9, Polarization::Te).unwrap();
        assert!((by_width * 1e-9 - (2.47492 - 2.44553) / 20.0).abs() < 1e-12);
        let mean = |a: f64, b: f64| (a + b) / 2.0;
        let want = (mean(2.48129, 2.51046) - mean(2.40705, 2.43667)) / 20.0;
        assert!((by_thickness * 1e-9 - want).abs() < 1e-12);
    }

    #[test]
    fn outside_the_grid_there_is_no_value() {
        let table = GuideTable::silicon_strips().unwrap();
        assert_eq!(table.range(), [(400e-9, 3500e-9), (210e-9, 230e-9)]);
        let none = |w: f64, h: f64| table.mode(w, h, Polarization::Te).is_none();
        assert!(none(399e-9, 220e-9) && none(500e-9, 231e-9) && none(f64::NAN, 220e-9));
        assert!(!none(400e-9, 210e-9) && !none(3500e-9, 230e-9));
        assert!(table.slopes(405e-9, 220e-9, Polarization::Te).is_none());
    }

    /// The table's own three constants come back as derivatives of the wavenumber.
    #[test]
    fn derivatives_of_the_wavenumber_are_group_index_and_dispersion() {
        let mode = GuideTable::silicon_strips().unwrap().mode(0.5e-6, 0.22e-6, Polarization::Te).unwrap();
        let at = |df: f64| mode.wavenumber(LIGHT_SPEED / (LIGHT_SPEED / 1.55e-6 + df));
        let df = 1e12;
        assert!((at(0.0) * 1.55e-6 / (2.0 * PI) - mode.neff).abs() < 1e-12);
        let ng = (at(df) - at(-df)) * LIGHT_SPEED / (4.0 * PI * df);
        assert!((ng / mode.ng - 1.0).abs() < 1e-9, "{ng}");
        let beta_2 = (at(df) - 2.0 * at(0.0) + at(-df)) / (2.0 * PI * df).powi(2);
        let d = -2.0 * PI * LIGHT_SPEED / 1.55e-6f64.powi(2) * beta_2;
        assert!((d / mode.dispersion - 1.0).abs() < 1e-4, "{d}");
    }

    #[test]
    fn wrong_tables_are_refused_with_their_line() {
        let good = "w=400,h=210 1e-6 2 2 4 4 0 0\nw=400,h=220 1e-6 2 2 4 4 0 0\nw=500,h=210 1e-6 2 2 4 4 0 0\nw=500,h=220 1e-6 2 2 4 4 0 0\n";
        GuideTable::read(good, "g.txt").unwrap();
        for (old, new, line, says) in [
            ("w=500,h=220", "500,220", Some(4), "expected w=500,h=220"),
            ("w=500,h=220", "w=x,h=220", Some(4), "`x` is not a number"),
            ("w=500,h=220 1e-6 2", "w=500,h=220 1e-6", Some(4), "6 numbers"),
            ("w=500,h=220 1e-6 2", "w=500,h=220 1e-6 NaN", Some(4), "not finite"),
            ("w=500,h=220 1e-6", "w=500,h=220 2e-6", None, "several wavelengths"),
            ("w=500,h=220", "w=600,h=220", None, "full grid"),
            ("w=500,h=220", "w=500,h=210", None, "twice"),
            ("w=400,h=210 1e-6", "w=400,h=210 -1e-6", Some(1), "positive"),
        ] {
            let error = GuideTable::read(&good.replacen(old, new, 1), "g.txt").unwrap_err();
            assert!(error.problem.contains(says), "{new}: {error}");
            assert_eq!(error.line, line, "{new}: {error}");
        }
        assert!(GuideTable::read("", "g.txt").is_err());
    }
}
