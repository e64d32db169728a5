//! Sampled chips: every MDPU with its own fabrication errors, its error rate and its own residue channel.

use crate::characterise::bench::Watch;
use crate::characterise::channel::{Provenance, table};
use crate::characterise::sweep::SweepSetting;
use crate::characterise::targets::Vectors;
use crate::draws::{Domain, generator};
use crate::error::DeviceError;
use crate::numerics::normal_pair;
use crate::unit::chips::Sample;
use crate::unit::mmu::{Mdpu, MdpuErrors};
use crate::unit::population::Population;
use crate::unit::rates::Operating;
use crate::unit::repeats::ATTEMPTS;
use crate::unit::sampled::SampledMdpu;
use crate::variation::{ChipMaps, Maps};
use judge::{Row, judge};
use mirage_arithmetic::{ChannelKey, ChannelTable, Place, Placement, ResidueChannel, SlipCode};
use rand_pcg::Pcg64;
use rayon::prelude::*;
use std::sync::atomic::{AtomicUsize, Ordering};

mod judge;
mod lab;

/// The largest number of MDPUs of a chip.
const MOST: u64 = 1 << 20;

/// Chips of units x rows x moduli MDPUs, and the operand vectors over which each MDPU is judged.
///
/// Chip k draws the errors of each MDPU from a stream of its own, so that a chip is the same whoever asks for it, and however
/// many chips are asked for. All MDPUs of a modulus are judged over the same operand vectors, chosen among many in proportion to
/// how often they are misread, and weighted accordingly. The temperature is that of the whole chip. Where paths vary by maps, all MDPUs
/// of a chip lie on the same maps and the same wafer, at the places of [`crate::variation::Floor`].
#[derive(Debug, Clone)]
pub struct SampledChips<'a> {
    setting: SweepSetting<'a>,
    placement: Placement,
    /// For each modulus: the unit, the largest log-amplitude, the operand vectors.
    units: Vec<(Mdpu, f64, Vectors)>,
    /// The maps over a whole chip, if paths vary by maps.
    maps: Option<Maps>,
}

/// What all MDPUs of a chip share.
struct Made {
    /// Drift of the temperature since the read-outs were calibrated, in standard deviations.
    temperature: f64,
    maps: Option<ChipMaps>,
}

/// Where an MDPU sits on its chip.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Seat {
    /// Unit and row.
    pub place: Place,
    /// Index of the modulus.
    pub modulus: usize,
}

impl<'a> SampledChips<'a> {
    /// Chips of `placement` (rows of MDPUs of every modulus in each unit), judged over `reads` operand vectors.
    ///
    /// # Errors
    /// As [`Mdpu::new`], no reads, more than 65,536 reads, more than a million MDPUs, or MDPUs that overlap on the floor plan.
    pub fn new(setting: SweepSetting<'a>, placement: Placement, reads: usize) -> Result<Self, DeviceError> {
        let mdpus = u64::from(placement.units) * u64::from(placement.rows) * setting.moduli.len() as u64;
        if !(1..=MOST).contains(&mdpus) || !(1..=65_536).contains(&reads) {
            let problem = format!(
                "a chip of {mdpus} dot-product units judged over {reads} reads; at most 2^20 and 65536"
            );
            return Err(DeviceError::Question(problem));
        }
        let mut units = Vec::new();
        for (&modulus, operands) in setting.moduli.iter().zip(setting.operands) {
            let unit = Mdpu::new(setting.parameters, modulus)?;
            let largest = Population::moments_of(&unit, operands).largest_log_amplitude;
            let vectors = Vectors::new(&setting, &unit, operands, largest, reads);
            units.push((unit, largest, vectors));
        }
        let maps = chip_maps(&setting, placement, &units)?;
        Ok(SampledChips { setting, placement, units, maps })
    }

    /// The MDPUs of a chip, in the order of all results: unit by unit, row by row, modulus by modulus.
    pub fn seats(&self) -> Vec<Seat> {
        let moduli = self.units.len();
        let rows = |unit| (0..self.placement.rows).map(move |row| Place { unit, row });
        let places = (0..self.placement.units).flat_map(rows);
        places.flat_map(|place| (0..moduli).map(move |modulus| Seat { place, modulus })).collect()
    }

    pub(crate) fn setting(&self) -> &SweepSetting<'a> {
        &self.setting
    }

    /// Error rate of every MDPU of chip `chip`, in the order of [`SampledChips::seats`], and its relative standard error: the
    /// weighted mean over its operand vectors of the probability of a wrong read, summed over ADC cells, true levels equally
    /// likely as in [`SampledChips::channel`].
    ///
    /// # Errors
    /// [`DeviceError::Cancelled`].
    pub fn rates(&self, chip: u32, watch: Watch) -> Result<Vec<(f64, f64)>, DeviceError> {
        let (operating, made) = (self.operating(), self.draw_chip(chip));
        let rate = |(index, seat): (usize, Seat)| -> Result<(f64, f64), DeviceError> {
            watch.check()?;
            let at = &operating[seat.modulus];
            let row = self.row(chip, &made, index, seat, at);
            Ok((row.offsets.iter().sum::<f64>() / f64::from(at.unit.modulus()), row.error))
        };
        self.seats().into_iter().enumerate().collect::<Vec<_>>().into_par_iter().map(rate).collect()
    }

    /// The residue channel of chip `chip`: one table for each unit, row and modulus, in residues of `code`.
    ///
    /// True levels are taken as equally likely at each read's deviation and loss, as in the average channel. The bounds are two
    /// standard errors that the choice of operand vectors leaves. Each row has its own P(wrong again | wrong), attempt by
    /// attempt, over its operand vectors: a repeat meets the same chip and operands, all noise anew, and all phase shifters
    /// settled.
    ///
    /// # Errors
    /// A code for another number of moduli, a channel that the arithmetic refuses, [`DeviceError::Cancelled`].
    pub fn channel(
        &self,
        chip: u32,
        code: &SlipCode,
        provenance: &Provenance,
        watch: Watch,
    ) -> Result<ResidueChannel, DeviceError> {
        let (operating, seats, made) = (self.operating(), self.seats(), self.draw_chip(chip));
        let (done, steps) = (AtomicUsize::new(0), seats.len());
        let one = |(index, seat): (usize, &Seat)| -> Result<(ChannelKey, ChannelTable, [f64; ATTEMPTS]), DeviceError> {
            watch.check()?;
            let at = &operating[seat.modulus];
            let Row { offsets, error, again } = self.row(chip, &made, index, *seat, at);
            let m = at.unit.modulus();
            let probability =
                |t: usize, r: usize| offsets[t * m as usize + (r + m as usize - t) % m as usize];
            let scales = ((1.0 - 2.0 * error).max(0.0), 1.0 + 2.0 * error);
            let table = table(m, &probability, scales, code, seat.modulus)?;
            watch.done(done.fetch_add(1, Ordering::Relaxed) + 1, steps, "rows of the chip");
            Ok((ChannelKey { chip: Some(chip), place: Some(seat.place) }, table, again))
        };
        let rows: Result<Vec<_>, _> =
            seats.iter().enumerate().collect::<Vec<_>>().into_par_iter().map(one).collect();
        let rows = rows?;
        let again: Vec<_> = rows.iter().map(|(key, table, again)| (*key, table.modulus(), *again)).collect();
        let mut channel =
            ResidueChannel::keyed(rows.into_iter().map(|(key, table, _)| (key, table)).collect());
        for (key, modulus, again) in again {
            channel.set_again_of(key, modulus, &again);
        }
        let reads = self.units.first().map_or(0, |u| u.2.reads.len());
        for (key, value) in [
            ("design", provenance.design.clone()),
            ("seed", provenance.seed.to_string()),
            (
                "samples",
                format!("{reads} operand vectors for each row, chosen by their estimated rate and weighted"),
            ),
            ("estimator", "sampled chip: full fields of every row, sum over ADC cells".to_string()),
            ("operands", self.setting.operands.first().map_or("none", |o| o.name()).to_string()),
            ("slip_code", code.to_string()),
            ("laser_power_w", format!("{:e}", self.setting.laser_power)),
        ] {
            channel.header.insert(key.to_string(), value);
        }
        Ok(channel)
    }

    fn operating(&self) -> Vec<Operating<'_>> {
        self.units
            .iter()
            .map(|(unit, largest, _)| Operating::new(unit, *largest, self.setting.laser_power))
            .collect()
    }

    /// What all MDPUs of a chip share, from a stream that none of them has.
    fn draw_chip(&self, chip: u32) -> Made {
        let mut rng = self.stream(chip, u64::MAX);
        let temperature = normal_pair(&mut rng).0;
        Made { temperature, maps: self.maps.as_ref().map(|maps| maps.sample(&mut rng)) }
    }

    fn stream(&self, chip: u32, index: u64) -> Pcg64 {
        generator(self.setting.seed, Domain::Rows, [u64::from(chip), index])
    }

    /// Where an MDPU begins on the chip, m, if it lies on maps.
    fn begins(&self, seat: Seat) -> Option<(f64, f64)> {
        let variation = self.setting.parameters.variation?;
        let moduli = self.units.len() as u32;
        let index = seat.place.row * moduli + seat.modulus as u32;
        Some(variation.floor.place(seat.place.unit, index, self.placement.rows * moduli))
    }

    /// How one MDPU of a chip errs.
    fn row(&self, chip: u32, made: &Made, index: usize, seat: Seat, at: &Operating) -> Row {
        let (unit, _, vectors) = &self.units[seat.modulus];
        let mut rng = self.stream(chip, index as u64);
        let paths = || Some(self.maps.as_ref()?.made(made.maps.as_ref()?, unit.site()?, self.begins(seat)?));
        let errors = MdpuErrors {
            ambient: unit.ambient() * made.temperature,
            ..unit.sample_made(paths().as_ref(), &mut rng)
        };
        let mdpu = SampledMdpu::new(unit, &self.setting.operands[seat.modulus], &errors);
        let reads: Vec<Sample> =
            vectors.reads.iter().map(|(group, previous)| mdpu.read(group, previous)).collect();
        let settled = |read: usize| mdpu.read(&vectors.reads[read].0, &[]);
        judge(at, &reads, &settled, vectors)
    }
}

/// The maps over a chip, if paths vary by maps.
fn chip_maps(
    setting: &SweepSetting<'_>,
    placement: Placement,
    units: &[(Mdpu, f64, Vectors)],
) -> Result<Option<Maps>, DeviceError> {
    let Some(variation) = setting.parameters.variation else { return Ok(None) };
    let floor = variation.floor;
    let wider = |(a, b): (f64, f64), (c, d): (f64, f64)| (a.min(c), b.max(d));
    let ranges = units.iter().filter_map(|unit| unit.0.site()).map(|site| site.ranges());
    let Some((x, y)) = ranges.reduce(|a, b| (wider(a.0, b.0), wider(a.1, b.1))) else { return Ok(None) };
    let mdpus = placement.rows * units.len() as u32;
    let across = placement.units.min(floor.units_across);
    for (many, key, pitch, size, what) in [
        (mdpus > 1, "row_pitch", floor.row_pitch, y.1 - y.0, "wide"),
        (across > 1, "unit_pitch", floor.unit_pitch, x.1 - x.0, "long"),
    ] {
        if many && size > pitch * (1.0 + 1e-9) {
            let problem = format!(
                "a dot-product unit is {:.4} mm {what}, but devices.variation.{key} is {:.4} mm: neighbours would overlap",
                size * 1e3,
                pitch * 1e3
            );
            return Err(DeviceError::Question(problem));
        }
    }
    let extent = floor.extent(placement.units, mdpus);
    Maps::new(variation, (x.0, x.1 + extent.0), (y.0, y.1 + extent.1)).map(Some)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::unit::operands::Operands;
    use crate::unit::parameters::{FrontEnd, MdpuParameters, Trim};
    use crate::unit::rates::{Quantisation, rates};
    use mirage_arithmetic::Moduli;
    use std::f64::consts::PI;

    #[test]
    fn rows_differ_their_mean_is_the_populations_and_the_channel_is_theirs() {
        let mut p = MdpuParameters::ideal(16);
        p.trim = Trim { fabrication: 1.0, resolution: 0.008, range: PI };
        p.shifters.loss_db = 0.1;
        p.detector.front_end = FrontEnd::InputNoise(1.1e-6);
        p.adc.bits = Some(8);
        let (moduli, operands) = (Moduli::new(&[31, 32]).unwrap(), [31, 32].map(Operands::uniform));
        let setting = SweepSetting {
            parameters: &p,
            laser_power: 8e-5,
            max_laser_power: 1.0,
            target: 1e-4,
            moduli: moduli.as_slice(),
            operands: &operands,
            seed: 3,
        };
        let chips = SampledChips::new(setting, Placement { units: 2, rows: 32 }, 64).unwrap();
        let rates_of = |chip| -> Vec<f64> {
            chips.rates(chip, Watch::default()).unwrap().into_iter().map(|(rate, _)| rate).collect()
        };
        let found = rates_of(1);
        assert_eq!((found.len(), &found), (128, &rates_of(1)));
        assert_ne!(found, rates_of(2));
        let provenance = Provenance { design: "test".into(), seed: 3 };
        let code = SlipCode::with_changes(&moduli, &[17, 23]).unwrap();
        let channel = chips.channel(1, &code, &provenance, Watch::default()).unwrap();
        for (rate, seat) in found.iter().zip(chips.seats()) {
            let m = moduli.as_slice()[seat.modulus];
            let table = channel.table_at(Some(1), seat.place, m).unwrap();
            assert!((table.mean_rate() / rate - 1.0).abs() < 1e-9, "{seat:?} {rate}");
        }
        for (index, &m) in moduli.as_slice().iter().enumerate() {
            let own: Vec<f64> = found.iter().skip(index).step_by(2).copied().collect();
            let mean = own.iter().sum::<f64>() / own.len() as f64;
            let scatter = own.iter().map(|r| (r - mean).powi(2)).sum::<f64>().sqrt() / own.len() as f64;
            let unit = Mdpu::new(&p, m).unwrap();
            let all = Population::new(&unit, &operands[index]);
            let population = rates(&unit, &all, 8e-5, Quantisation::Cells);
            let expected = population.error_rate;
            // Rows share their operand vectors, which adds to their scatter.
            assert!(
                (mean - expected).abs() < 5.0 * scatter + 0.15 * expected,
                "{m}: {mean} {expected} {scatter}"
            );
            assert!(
                own.iter().any(|r| *r > 1.3 * mean) && own.iter().any(|r| *r < 0.8 * mean),
                "{m}: {own:?}"
            );
            // Of all wrong reads of a chip as many are wrong again as of those of the population: its chips, and their operands.
            let again = chips.seats().into_iter().filter(|seat| seat.modulus == index).map(|seat| {
                let key = ChannelKey { chip: Some(1), place: Some(seat.place) };
                channel.again_of(key, m).unwrap()[0]
            });
            let both: f64 = own.iter().zip(again).map(|(rate, again)| rate * again).sum();
            let ratio = both / own.iter().sum::<f64>() / population.again[0];
            assert!((ratio - 1.0).abs() < 0.15, "{m}: {ratio}");
            assert!(population.again[0] > 1.5 * expected, "{m}: {:?} {expected}", population.again);
        }
    }

    /// Shifters whose gain follows their width, and nothing else that differs from MDPU to MDPU.
    fn gains_by_width(p: &mut MdpuParameters) {
        use crate::variation::{Floor, Process, Variation};
        let process = Process::find("Electron Beam Lithography (University of Washington)").unwrap();
        let varied = Variation::of(process, 1.55e-6, 240e-6, 20e-6, Floor::CLOSE).unwrap();
        p.trim.range = PI;
        (p.detector.front_end, p.adc.bits) = (FrontEnd::InputNoise(1.1e-6), Some(8));
        (p.crosstalk.pitch, p.variation) = (40e-6, Some(Variation { gain_per_width: 2e5, ..varied }));
    }

    #[test]
    fn neighbours_on_a_chip_err_alike_and_distant_ones_do_not() {
        let mut p = MdpuParameters::ideal(16);
        gains_by_width(&mut p);
        let operands = [Operands::uniform(32)];
        let setting = SweepSetting {
            parameters: &p,
            laser_power: 8e-5,
            max_laser_power: 1.0,
            target: 1e-4,
            moduli: &[32],
            operands: &operands,
            seed: 5,
        };
        // Logarithms of the rates of all MDPUs of 12 chips.
        let logs_of = |p: &MdpuParameters| -> Vec<Vec<f64>> {
            let setting = SweepSetting { parameters: p, ..setting.clone() };
            let chips = SampledChips::new(setting, Placement { units: 8, rows: 6 }, 48).unwrap();
            let rates = |chip| chips.rates(chip, Watch::default()).unwrap();
            (0..12).map(|chip| rates(chip).iter().map(|rate| rate.0.ln()).collect()).collect()
        };
        let logs = logs_of(&p);
        let mean_square = |pairs: Vec<(f64, f64)>| {
            pairs.iter().map(|(a, b)| (a - b).powi(2)).sum::<f64>() / pairs.len() as f64
        };
        let rows = || (0..48).filter(|i| i % 6 != 5);
        let next_row = mean_square(logs.iter().flat_map(|l| rows().map(|i| (l[i], l[i + 1]))).collect());
        let between_chips = |logs: &[Vec<f64>]| {
            mean_square(logs.windows(2).flat_map(|l| rows().map(|i| (l[0][i], l[1][i]))).collect())
        };
        let next_chip = between_chips(&logs);
        // Gains of either sign do the same harm, so the logarithm of a rate moves by their square, and this by its square.
        let mut half = p.clone();
        half.variation.as_mut().unwrap().gain_per_width /= 2.0;
        let ratio = next_chip / between_chips(&logs_of(&half));
        assert!((12.0..20.0).contains(&ratio), "{ratio}");
        assert!(next_row < 0.02 * next_chip, "{next_row} {next_chip}");
        // The same seat in the next unit along, 4 mm away: between the two.
        let units = |l: &Vec<f64>| (0..6).map(|i| (l[i], l[i + 6])).collect::<Vec<_>>();
        let next_unit = mean_square(logs.iter().flat_map(units).collect());
        assert!(
            next_unit > 3.0 * next_row && next_unit < 2.0 * next_chip,
            "{next_unit} {next_row} {next_chip}"
        );
        for (change, says) in [
            (crate::variation::Floor { row_pitch: 10e-6, ..crate::variation::Floor::CLOSE }, "row_pitch"),
            (crate::variation::Floor { unit_pitch: 1e-3, ..crate::variation::Floor::CLOSE }, "unit_pitch"),
        ] {
            let mut close = p.clone();
            close.variation.as_mut().unwrap().floor = change;
            let setting = SweepSetting { parameters: &close, ..setting.clone() };
            let error =
                SampledChips::new(setting, Placement { units: 8, rows: 6 }, 48).unwrap_err().to_string();
            assert!(error.contains(says) && error.contains("overlap"), "{error}");
        }
    }

    /// At 1e-8 a few of many thousand vectors carry the mean: 256 plain ones would miss them or count them a hundredfold.
    #[test]
    fn rows_at_depth_do_not_hang_on_the_vectors_that_were_drawn() {
        let mut p = MdpuParameters::ideal(16);
        p.rings.extinction_db = 36.5;
        (p.shifters.loss_db, p.rings.drop_loss_db) = (0.91, 0.02);
        p.trim = Trim { fabrication: 1.0, resolution: 0.003, range: PI };
        p.detector.front_end = FrontEnd::InputNoise(1.1e-6);
        p.adc.bits = Some(8);
        let operands = [Operands::uniform(32)];
        let power = 5e-4;
        let unit = Mdpu::new(&p, 32).unwrap();
        let population = Population::new(&unit, &operands[0]);
        let expected = rates(&unit, &population, power, Quantisation::Cells).error_rate;
        assert!((1e-11..1e-7).contains(&expected), "{expected:e}");
        for seed in [1, 2, 3] {
            let setting = SweepSetting {
                parameters: &p,
                laser_power: power,
                max_laser_power: 1.0,
                target: 1e-8,
                moduli: &[32],
                operands: &operands,
                seed,
            };
            let chips = SampledChips::new(setting, Placement { units: 4, rows: 32 }, 256).unwrap();
            let found = chips.rates(0, Watch::default()).unwrap();
            let mean = found.iter().map(|f| f.0).sum::<f64>() / found.len() as f64;
            let ratio = mean / expected;
            let error = found.iter().map(|f| f.1).fold(0.0, f64::max);
            assert!((ratio - 1.0).abs() < 0.4 && error < 0.4, "seed {seed}: {ratio} +- {error}");
        }
    }

    #[test]
    fn a_quarter_turn_changes_nothing_and_the_rest_is_close() {
        let mut p = MdpuParameters::ideal(16);
        p.detector.front_end = FrontEnd::InputNoise(1.1e-6);
        p.adc.bits = Some(7);
        let unit = Mdpu::new(&p, 32).unwrap();
        let at = Operating::new(&unit, 0.0, 8e-5);
        let read = |i: usize| Sample {
            truth: 0,
            deviation: 0.01 * (i as f64 - 4.0),
            log_amplitude: -0.1 * i as f64,
            dac_variance: 0.0,
        };
        let reads: Vec<Sample> = (0..8).map(read).collect();
        let vectors =
            Vectors { reads: Vec::new(), weights: vec![1.0 / 8.0; 8], sure: vec![false; 8], of_groups: 0.0 };
        let table = judge(&at, &reads, &|read| reads[read], &vectors).offsets;
        for truth in 0..32 {
            let mut row = vec![0.0; 32];
            for read in &reads {
                at.readout.add_errors(truth, at.point_of(read, truth), 1.0 / 8.0, &mut row);
            }
            for j in [1, 31] {
                let ours = table[truth * 32 + j];
                assert!((ours / row[j] - 1.0).abs() < 0.01, "{truth} {j}: {ours} {}", row[j]);
            }
        }
    }
}
