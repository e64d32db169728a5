//! From maps to the phases and gains of MDPUs as made.

use crate::error::DeviceError;
use crate::numerics::normal_pair;
use crate::variation::{CorrelatedField, Map, Spread, Variation};
use rand_pcg::Pcg64;
use std::f64::consts::PI;

/// What fabrication makes of an MDPU, before any trimming; stages counted along the light.
#[derive(Debug, Clone, PartialEq)]
pub struct MadeErrors {
    /// Phase error of each bus path, rad.
    pub bus: Vec<f64>,
    /// Phase error of each detour, rad.
    pub detour: Vec<f64>,
    /// Relative error of each shifter's phase per volt.
    pub gain: Vec<f64>,
}

/// Where the paths of an MDPU lie, from its beginning.
#[derive(Debug, Clone)]
pub(crate) struct Site {
    digits: usize,
    /// Coordinates that occur, rising, m.
    xs: Vec<f64>,
    ys: Vec<f64>,
    /// Indices of each path's coordinates: bus and detour of every stage.
    paths: Vec<(usize, usize)>,
}

impl Site {
    /// For stages whose bus paths lie at `places`, m, `digits` of them to an MMU, and detours `separation` beside them.
    pub fn new(places: &[(f64, f64)], digits: usize, separation: f64) -> Self {
        let paths = places.iter().flat_map(|&(x, y)| [(x, y), (x, y + separation)]);
        let paths: Vec<(f64, f64)> = paths.collect();
        let different = |mut list: Vec<f64>| {
            list.sort_by(f64::total_cmp);
            list.dedup();
            list
        };
        let xs = different(paths.iter().map(|p| p.0).collect());
        let ys = different(paths.iter().map(|p| p.1).collect());
        let index = |list: &[f64], value: f64| list.partition_point(|v| *v < value);
        let paths = paths.iter().map(|p| (index(&xs, p.0), index(&ys, p.1))).collect();
        Site { digits, xs, ys, paths }
    }

    /// Ranges of x and y.
    pub fn ranges(&self) -> ((f64, f64), (f64, f64)) {
        let range =
            |list: &[f64]| (list.first().copied().unwrap_or(0.0), list.last().copied().unwrap_or(0.0));
        (range(&self.xs), range(&self.ys))
    }
}

/// The maps of width and thickness over a region, factored once, to be drawn for each chip.
#[derive(Debug, Clone)]
pub(crate) struct Maps {
    variation: Variation,
    width: CorrelatedField,
    thickness: CorrelatedField,
}

/// One chip's maps, and its wafer.
#[derive(Debug, Clone)]
pub(crate) struct ChipMaps {
    wafers: (f64, f64),
    width: Map,
    thickness: Map,
}

impl Maps {
    /// Over the rectangle of these ranges of x and y, m.
    pub fn new(variation: Variation, x: (f64, f64), y: (f64, f64)) -> Result<Self, DeviceError> {
        Ok(Maps {
            variation,
            width: CorrelatedField::new(x, y, variation.width.correlation)?,
            thickness: CorrelatedField::new(x, y, variation.thickness.correlation)?,
        })
    }

    /// Draws the maps of one chip, on a wafer of its own.
    pub fn sample(&self, rng: &mut Pcg64) -> ChipMaps {
        let wafers = normal_pair(rng);
        ChipMaps { wafers, width: self.width.sample(rng), thickness: self.thickness.sample(rng) }
    }

    /// What fabrication makes of an MDPU that begins at `from` on a chip. A map is taken as constant along a path, which is far
    /// shorter than the correlation length.
    ///
    /// The controller has calibrated each MMU's DAC as a whole: of the shifters' gain errors what the digits of an MMU have
    /// in common is known, and their differences are left.
    pub fn made(&self, chip: &ChipMaps, site: &Site, from: (f64, f64)) -> MadeErrors {
        let mut made = self.untouched(chip, site, from);
        for mmu in made.gain.chunks_mut(site.digits.max(1)) {
            let mean = mmu.iter().sum::<f64>() / mmu.len() as f64;
            mmu.iter_mut().for_each(|g| *g -= mean);
        }
        made
    }

    /// The same before the controller has calibrated anything.
    pub fn untouched(&self, chip: &ChipMaps, site: &Site, from: (f64, f64)) -> MadeErrors {
        let v = &self.variation;
        let moved = |list: &[f64], by: f64| list.iter().map(|x| x + by).collect::<Vec<_>>();
        let (xs, ys) = (moved(&site.xs, from.0), moved(&site.ys, from.1));
        let sizes = |field: &CorrelatedField, map: &Map, spread: &Spread, wafer: f64| -> Vec<f64> {
            let values = field.at(map, &xs, &ys, &site.paths);
            values.into_iter().map(|value| spread.deviation * value + spread.wafer * wafer).collect()
        };
        let width = sizes(&self.width, &chip.width, &v.width, chip.wafers.0);
        let thickness = sizes(&self.thickness, &chip.thickness, &v.thickness, chip.wafers.1);
        let turn = 2.0 * PI / v.wavelength * v.path_length;
        let phase = |path: usize| turn * (v.slopes.0 * width[path] + v.slopes.1 * thickness[path]);
        let stages = site.paths.len() / 2;
        MadeErrors {
            bus: (0..stages).map(|s| phase(2 * s)).collect(),
            detour: (0..stages).map(|s| phase(2 * s + 1)).collect(),
            gain: (0..stages).map(|s| v.gain_per_width * width[2 * s + 1]).collect(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::variation::{Floor, Process, correlation};
    use rand::SeedableRng;

    fn nanotools() -> Variation {
        let process = Process::find("Electron Beam Lithography (Applied Nanotools)").unwrap();
        let made = Variation::of(process, 1.55e-6, 240e-6, 20e-6, Floor::CLOSE).unwrap();
        Variation { gain_per_width: 1e7, ..made }
    }

    fn row() -> Site {
        let places: Vec<(f64, f64)> = (0..80).map(|s| (f64::from(s) * 40e-6, 0.0)).collect();
        Site::new(&places, 5, 20e-6)
    }

    /// A mean square of n draws against a deviation.
    fn close(found: f64, deviation: f64, n: u32, what: &str) {
        let error = 4.0 * (2.0 / f64::from(n)).sqrt();
        assert!((found / deviation.powi(2) - 1.0).abs() < error + 1e-3, "{what}: {found} {deviation}");
    }

    #[test]
    fn sampled_paths_have_these_deviations() {
        let (v, site) = (nanotools(), row());
        let (x, y) = site.ranges();
        let maps = Maps::new(v, x, y).unwrap();
        let mut rng = Pcg64::seed_from_u64(4);
        let n = 4000u32;
        let (mut made, mut pair, mut far, mut gain) = (0.0, 0.0, 0.0, 0.0);
        for _ in 0..n {
            let errors = maps.made(&maps.sample(&mut rng), &site, (0.0, 0.0));
            assert_eq!((errors.bus.len(), errors.gain.len()), (80, 80));
            made += errors.bus[7].powi(2) / f64::from(n);
            pair += (errors.bus[7] - errors.detour[7]).powi(2) / f64::from(n);
            far += (errors.bus[0] - errors.bus[79]).powi(2) / f64::from(n);
            gain += (errors.gain[10] - errors.gain[14]).powi(2) / f64::from(n);
            assert!(errors.gain[10..15].iter().sum::<f64>().abs() < 1e-12);
        }
        close(made, v.path_deviation(false), n, "made");
        close(pair, v.path_difference(20e-6), n, "bus and detour");
        close(far, v.path_difference(79.0 * 40e-6), n, "across the unit");
        let width = v.width.deviation * (2.0 * (1.0 - correlation(160e-6, v.width.correlation))).sqrt();
        close(gain, 1e7 * width, n, "gain within an MMU");
    }

    #[test]
    fn mdpus_of_a_chip_differ_as_far_as_they_are_apart_and_share_the_wafer() {
        let (v, site) = (nanotools(), row());
        let (width, height) = v.floor.extent(8, 96);
        let maps = Maps::new(v, (0.0, width + 3.2e-3), (0.0, height + 20e-6)).unwrap();
        let mut rng = Pcg64::seed_from_u64(6);
        let n = 4000u32;
        let seats = [(0u32, 0u32), (0, 1), (0, 95), (3, 0), (7, 95)];
        let places = seats.map(|(unit, index)| v.floor.place(unit, index, 96));
        let (mut own, mut apart, mut gains) = (0.0, [0.0; 5], 0.0);
        for _ in 0..n {
            let chip = maps.sample(&mut rng);
            let made = places.map(|place| maps.made(&chip, &site, place));
            own += made[4].bus[40].powi(2) / f64::from(n);
            for (sum, other) in apart.iter_mut().zip(&made) {
                *sum += (other.bus[0] - made[0].bus[0]).powi(2) / f64::from(n);
            }
            gains += (made[1].gain[0] - made[0].gain[0]).powi(2) / f64::from(n);
        }
        close(own, v.path_deviation(false), n, "each by itself");
        for ((place, found), seat) in places.iter().zip(apart).zip(seats).skip(1) {
            // A difference holds no wafer.
            close(found, v.path_difference(place.0.hypot(place.1)), n, &format!("{seat:?}"));
        }
        // Neighbouring rows have nearly the same gain errors.
        let alone = 1e7 * v.width.deviation * (2.0 * (1.0 - correlation(80e-6, v.width.correlation))).sqrt();
        assert!(gains.sqrt() < 0.05 * alone, "{gains} {alone}");
    }

    #[test]
    fn a_layout_that_is_no_row_has_its_own_distances() {
        let site = Site::new(&[(0.0, 0.0), (1e-3, 0.0), (0.0, 2e-3), (1e-3, 2e-3)], 2, 20e-6);
        assert_eq!((site.xs.len(), site.ys.len(), site.ranges()), (2, 4, ((0.0, 1e-3), (0.0, 2.02e-3))));
        let v = nanotools();
        let maps = Maps::new(v, (0.0, 1e-3), (0.0, 2.02e-3)).unwrap();
        let mut rng = Pcg64::seed_from_u64(2);
        let n = 4000u32;
        let square = |_| {
            let made = maps.made(&maps.sample(&mut rng), &site, (0.0, 0.0));
            [made.bus[1] - made.bus[2], made.bus[3] - made.detour[3]].map(|d| d * d / f64::from(n))
        };
        let sum = (0..n).map(square).fold([0.0; 2], |sum, s| [sum[0] + s[0], sum[1] + s[1]]);
        close(sum[0], v.path_difference(5f64.sqrt() * 1e-3), n, "across");
        close(sum[1], v.path_difference(20e-6), n, "bus and detour");
    }
}
