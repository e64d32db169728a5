//! Where the MDPUs of a chip lie.

/// Floor plan of a chip: MDPUs lie along x, in the direction of the light; those of a unit lie side by side along y, row by row
/// and modulus by modulus; units fill lines of `units_across`, one line beside the other.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Floor {
    /// Distance of neighbouring MDPUs of a unit, m.
    pub row_pitch: f64,
    /// Distance of neighbouring units along the light, m.
    pub unit_pitch: f64,
    /// Units in a line along the light.
    pub units_across: u32,
}

impl Floor {
    /// Units of 4 mm, four in a line, MDPUs 60 um apart.
    pub const CLOSE: Self = Floor { row_pitch: 60e-6, unit_pitch: 4e-3, units_across: 4 };

    /// Where MDPU `index` of a unit with `mdpus` of them begins, m.
    pub fn place(&self, unit: u32, index: u32, mdpus: u32) -> (f64, f64) {
        let across = self.units_across.max(1);
        let (column, line) = (unit % across, unit / across);
        let row = f64::from(line) * f64::from(mdpus) + f64::from(index);
        (f64::from(column) * self.unit_pitch, row * self.row_pitch)
    }

    /// Size of the chip of `units` units of `mdpus` MDPUs, from the first MDPU's beginning to the last one's, m.
    pub fn extent(&self, units: u32, mdpus: u32) -> (f64, f64) {
        let last = units.saturating_sub(1);
        let across = self.units_across.max(1);
        let column = last.min(across - 1);
        let (x, _) = self.place(column, 0, mdpus);
        let (_, y) = self.place(last / across * across, mdpus.saturating_sub(1), mdpus);
        (x, y)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn units_fill_lines() {
        let floor = Floor::CLOSE;
        let close = |a: (f64, f64), b: (f64, f64)| (a.0 - b.0).abs() + (a.1 - b.1).abs() < 1e-12;
        assert!(close(floor.place(0, 1, 96), (0.0, 60e-6)));
        assert!(close(floor.place(3, 0, 96), (12e-3, 0.0)));
        assert!(close(floor.place(4, 2, 96), (0.0, 98.0 * 60e-6)));
        assert!(close(floor.extent(8, 96), (12e-3, 191.0 * 60e-6)));
        assert!(close(floor.extent(2, 96), (4e-3, 95.0 * 60e-6)));
        // Every place lies on the chip.
        for units in 1..10 {
            let (x, y) = floor.extent(units, 7);
            let places = (0..units).flat_map(|u| (0..7).map(move |i| floor.place(u, i, 7)));
            assert!(places.into_iter().all(|p| p.0 <= x + 1e-12 && p.1 <= y + 1e-12), "{units}");
        }
    }
}
