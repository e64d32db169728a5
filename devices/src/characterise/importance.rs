//! Error rates of sampled chips at any depth, by importance sampling: the check on the analytic population.
//!
//! A read is a group of operands and an MDPU with all its errors; its conditional error probability is the sum over ADC cells.
//! Groups are picked in proportion to a first estimate of their rate, and the errors of a picked group are tilted towards the
//! upper or lower edge of its sector ([`crate::unit::tilt`]), a tenth of all draws being plain. A draw is weighted by the
//! density of the truth over that of the whole mixture, so that no weight exceeds ten times a plain one's, and no tail that the
//! first estimate overlooks can hide (Owen and Zhou, "Safe and effective importance sampling", JASA 95 (2000) 135).

use crate::characterise::bench::Watch;
use crate::characterise::study::Study;
use crate::characterise::sweep::SweepSetting;
use crate::characterise::targets::{Target, Targets};
use crate::draws::{Domain, generator};
use crate::error::DeviceError;
use crate::unit::mmu::Mdpu;
use crate::unit::operands::Operands;
use crate::unit::population::Population;
use crate::unit::rates::{Operating, Quantisation, rates};
use crate::unit::sampled::draw_previous;
use crate::unit::tilt::{Draw, Terms, Tilt};
use rand::RngExt;
use rand_pcg::Pcg64;
use serde::Serialize;
use std::f64::consts::PI;

/// Share of draws that are plain.
const PLAIN: f64 = 0.1;
/// Draws of one item.
const BATCH: usize = 250;
/// Groups drawn where operands are independent.
const GROUPS: usize = 32_768;

/// The error rate of every modulus from sampled chips. As the channel it is compared with, it takes the errors of different paths
/// as independent: of a chip's correlated maps ([`MdpuParameters::variation`](crate::MdpuParameters)) only the spread of each path
/// counts. Items are batches of draws, modulus by modulus.
#[derive(Debug)]
pub struct ImportanceStudy<'a> {
    setting: SweepSetting<'a>,
    batches: usize,
    moduli: Vec<Mixture>,
}

/// What sampled chips say beside the channel's analytic rate.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct DeepRow {
    /// The modulus.
    pub modulus: u32,
    /// Analytic rate, as in the channel.
    pub analytic: f64,
    /// Rate of sampled chips.
    pub sampled: f64,
    /// Its standard error: of the draws and, where operands are independent, of the groups drawn.
    pub standard_error: f64,
    /// `sampled` over `analytic`.
    pub ratio: f64,
    /// Rate of the same draws with every true level alike at each read, as the channel takes them: where a few reads carry the
    /// rate, the ADC cells at their own levels decide, and `sampled` differs from this.
    pub levels_alike: f64,
    /// Its standard error.
    pub levels_alike_error: f64,
    /// Draws.
    pub draws: u64,
    /// Effective number of them, (sum of contributions)^2 over the sum of their squares.
    pub effective: f64,
}

/// The groups of one modulus with the shares in which they are picked.
#[derive(Debug)]
struct Mixture {
    unit: Mdpu,
    largest: f64,
    groups: Vec<Target>,
    /// Sums of the estimated rates, one group after the other.
    cumulated: Vec<f64>,
    /// Variance that the drawing of groups leaves in the mean; zero where the groups are the truth.
    of_groups: f64,
}

impl<'a> ImportanceStudy<'a> {
    /// A study of at least `draws` draws for each modulus.
    ///
    /// # Errors
    /// As [`Mdpu::new`], and more than ten million draws or none.
    pub fn new(setting: SweepSetting<'a>, draws: usize) -> Result<Self, DeviceError> {
        if !(1..=10_000_000).contains(&draws) {
            return Err(DeviceError::Question(format!("{draws} draws of sampled chips; give 1 to 10000000")));
        }
        let mixture = |(&modulus, operands)| Mixture::new(&setting, modulus, operands);
        let moduli: Result<_, _> = setting.moduli.iter().zip(setting.operands).map(mixture).collect();
        Ok(ImportanceStudy { batches: draws.div_ceil(BATCH), moduli: moduli?, setting })
    }
}

impl Mixture {
    fn new(setting: &SweepSetting, modulus: u32, operands: &Operands) -> Result<Self, DeviceError> {
        let unit = Mdpu::new(setting.parameters, modulus)?;
        let largest = Population::moments_of(&unit, operands).largest_log_amplitude;
        let mut rng = generator(setting.seed, Domain::Groups, [u64::from(modulus), 0]);
        let operating = Operating::new(&unit, largest, setting.laser_power);
        let Targets { list: groups, of_groups } = Targets::new(&operating, operands, GROUPS, &mut rng);
        let running = |sum: &mut f64, t: &Target| {
            *sum += t.sides[0] + t.sides[1];
            Some(*sum)
        };
        let cumulated: Vec<f64> = groups.iter().scan(0.0, running).collect();
        Ok(Mixture { unit, largest, groups, cumulated, of_groups })
    }

    /// One draw: its weight times its conditional error probability, at its own level and in the mean over all levels.
    fn contribution(&self, tools: &Tools, rng: &mut Pcg64) -> [f64; 2] {
        let total = self.cumulated.last().copied().unwrap_or(0.0);
        let n = self.groups.len() as f64;
        let plain = total <= 0.0 || rng.random::<f64>() < PLAIN;
        let at = if plain {
            rng.random_range(0..self.groups.len())
        } else {
            let aim = total * rng.random::<f64>();
            self.cumulated.partition_point(|sum| *sum <= aim).min(self.groups.len() - 1)
        };
        let target = &self.groups[at];
        let terms = tools.tilt.terms(&target.group);
        let [up, down] = self.tilts(target, &terms);
        let theta = if plain {
            0.0
        } else if rng.random::<f64>() * (target.sides[0] + target.sides[1]) < target.sides[0] {
            up
        } else {
            down
        };
        let previous = draw_previous(&self.unit, tools.operands, rng);
        let Draw { read, sum } = tools.tilt.draw(&target.group, &terms, theta, &previous, rng);
        let levels = tools.operating.wrong_by_level(&read);
        // Density of the draw under the mixture over that of the truth, whose groups are equally likely.
        let aimed: f64 = [(up, target.sides[0]), (down, target.sides[1])]
            .iter()
            .map(|(theta, share)| share * (theta * sum - terms.cumulants(*theta)[0]).exp())
            .sum();
        let density = if total > 0.0 { PLAIN + (1.0 - PLAIN) * n * aimed / total } else { 1.0 };
        [levels[read.truth], levels.iter().sum::<f64>() / levels.len() as f64].map(|wrong| wrong / density)
    }

    /// Tilts towards the upper and the lower edge.
    fn tilts(&self, target: &Target, terms: &Terms) -> [f64; 2] {
        let half = PI / f64::from(self.unit.modulus());
        let up = terms.saddle(half - target.deviation, target.noise);
        [up, -terms.saddle(half + target.deviation, target.noise)]
    }
}

/// What all draws of a modulus share.
struct Tools<'a> {
    tilt: Tilt<'a>,
    operating: Operating<'a>,
    operands: &'a Operands,
}

impl Study for ImportanceStudy<'_> {
    type Outcome = Vec<DeepRow>;

    fn name(&self) -> &'static str {
        "sampled chips"
    }

    fn items(&self) -> usize {
        self.batches * self.moduli.len()
    }

    fn width(&self) -> usize {
        4
    }

    /// Sums of the contributions of a batch, and of their squares: at the reads' own levels, then with all levels alike.
    fn item(&self, index: usize, watch: Watch) -> Result<Vec<f64>, DeviceError> {
        let at = index / self.batches;
        let (mixture, operands) = (&self.moduli[at], &self.setting.operands[at]);
        let tools = Tools {
            tilt: Tilt::new(&mixture.unit, operands),
            operating: Operating::new(&mixture.unit, mixture.largest, self.setting.laser_power),
            operands,
        };
        let mut rng = generator(self.setting.seed, Domain::Importance, [index as u64, 0]);
        let mut sums = vec![0.0; 4];
        for _ in 0..BATCH {
            watch.check()?;
            for (value, sums) in mixture.contribution(&tools, &mut rng).into_iter().zip(sums.chunks_mut(2)) {
                sums[0] += value;
                sums[1] += value * value;
            }
        }
        Ok(sums)
    }

    fn outcome(&self, items: &[Vec<f64>]) -> Result<Vec<DeepRow>, DeviceError> {
        let mut rows = Vec::new();
        for ((mixture, operands), items) in
            self.moduli.iter().zip(self.setting.operands).zip(items.chunks(self.batches))
        {
            let n = (items.len() * BATCH) as f64;
            // Mean, its standard error, and how many equal draws would be as good.
            let of = |first: usize| {
                let sum: f64 = items.iter().map(|item| item[first]).sum();
                let squares: f64 = items.iter().map(|item| item[first + 1]).sum();
                let mean = sum / n;
                let of_draws = (squares / n - mean * mean).max(0.0) / (n - 1.0);
                let error = (of_draws + mixture.of_groups * mean * mean).sqrt();
                (mean, error, if squares > 0.0 { sum * sum / squares } else { 0.0 })
            };
            let ((sampled, standard_error, effective), (levels_alike, levels_alike_error, _)) =
                (of(0), of(2));
            let population = Population::new(&mixture.unit, operands);
            let analytic =
                rates(&mixture.unit, &population, self.setting.laser_power, Quantisation::Cells).error_rate;
            rows.push(DeepRow {
                modulus: mixture.unit.modulus(),
                analytic,
                sampled,
                standard_error,
                ratio: sampled / analytic,
                levels_alike,
                levels_alike_error,
                draws: n as u64,
                effective,
            });
        }
        Ok(rows)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::characterise::study::run_study;
    use crate::numerics::normal_tail;
    use crate::unit::parameters::{Codes, Dac, FrontEnd, MdpuParameters, Trim};
    use std::collections::BTreeMap;

    fn run(p: &MdpuParameters, operands: &Operands, power: f64, draws: usize) -> DeepRow {
        let moduli = [operands.stationary().len() as u32];
        let operands = [operands.clone()];
        let setting = SweepSetting {
            parameters: p,
            laser_power: power,
            max_laser_power: 1.0,
            target: 1e-8,
            moduli: &moduli,
            operands: &operands,
            seed: 5,
        };
        let study = ImportanceStudy::new(setting, draws).unwrap();
        run_study(&study, &BTreeMap::new(), &|_, _| Ok(()), Watch::default()).unwrap().remove(0)
    }

    #[test]
    fn static_errors_as_large_as_the_noise_at_every_depth() {
        // E[Q((a - d)/s)] = Q(a / sqrt(s^2 + sigma^2)) on either side, down to 1e-12 and with 2,000 draws.
        for depth in [3.0, 5.0, 7.03] {
            let (m, half) = (32u32, PI / 32.0);
            let each: f64 = half / depth / 2f64.sqrt();
            let mut p = MdpuParameters::ideal(16);
            p.detector.bandwidth = 1.0; // no shot noise worth speaking of
            p.detector.front_end = FrontEnd::InputNoise(0.5 * each);
            // Untrimmed normal errors: the difference of two paths counts half, in five digits of sixteen MMUs.
            p.trim =
                Trim { fabrication: (each * each / (16.0 * 5.0 * 0.5)).sqrt(), resolution: 0.0, range: 0.0 };
            let row = run(&p, &Operands::uniform(m), 1.0, 2000);
            // (the closed form takes the edge's angle for its sine, which at this depth is some four per cent of the rate)
            let exact = 2.0 * normal_tail(depth);
            let sigmas = (row.sampled - exact) / row.standard_error;
            assert!(
                (row.sampled / exact - 1.0).abs() < 0.08 && sigmas.abs() < 5.0,
                "{depth}: {row:?} {exact}"
            );
            assert!(row.standard_error < 0.04 * row.sampled && row.effective > 300.0, "{row:?}");
            assert!((row.ratio - 1.0).abs() < 0.1, "{row:?}");
        }
    }

    #[test]
    fn full_fields_agree_with_the_analytic_population_where_operands_are_independent() {
        let mut p = MdpuParameters::ideal(16);
        p.rings.extinction_db = 45.0;
        (p.shifters.loss_db, p.rings.drop_loss_db) = (0.1, 0.02);
        p.dac = Dac { codes: Codes::Nearest, bits: 16, inl: 0.3, dnl: 0.2 };
        p.trim = Trim { fabrication: 1.0, resolution: 0.004, range: PI };
        p.detector.front_end = FrontEnd::InputNoise(1.1e-6);
        (p.link.linewidth, p.link.delay_mismatch) = (1e6, 2e-12);
        p.adc.bits = Some(8);
        for (m, power) in [(31u32, 2.2e-4), (33, 2.4e-4)] {
            let row = run(&p, &Operands::uniform(m), power, 4000);
            assert!(row.analytic < 1e-7 && row.analytic > 1e-13, "{row:?}");
            let sigmas = (row.sampled - row.analytic) / row.standard_error;
            let alike = (row.levels_alike - row.analytic) / row.levels_alike_error;
            assert!(
                alike.abs() < 3.5 && row.levels_alike_error <= 1.01 * row.standard_error,
                "{alike} {row:?}"
            );
            assert!(sigmas.abs() < 3.5 && row.standard_error < 0.1 * row.sampled, "{sigmas} {row:?}");
        }
    }
}
