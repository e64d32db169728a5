//! Groups of operands with a first estimate of how often they are misread, and a choice of few that stands for all.
//!
//! Rates differ by many orders of magnitude from group to group: a handful of groups carries the mean, and a plain sample of a
//! few hundred misses them or counts them too often. So groups are chosen in proportion to their estimated rate, and weighted by
//! what that has done to their share.

use crate::characterise::sweep::SweepSetting;
use crate::draws::{Domain, generator};
use crate::numerics::normal_tail;
use crate::unit::mmu::Mdpu;
use crate::unit::operands::{Group, Operands};
use crate::unit::rates::Operating;
use crate::unit::sampled::{draw, draw_previous};
use crate::unit::tilt::Tilt;
use rand::RngExt;
use rand_pcg::Pcg64;
use rayon::prelude::*;
use std::f64::consts::PI;

/// One group as it is aimed at.
#[derive(Debug, Clone)]
pub(crate) struct Target {
    pub group: Group,
    /// Phase deviation without random errors, rad.
    pub deviation: f64,
    /// Noise of a read, rad.
    pub noise: f64,
    /// Estimated probability of a read beyond the upper and beyond the lower edge of the sector, over chips and noise.
    pub sides: [f64; 2],
}

/// Groups of one modulus: those sampled from a run, or drawn ones where operands are independent.
#[derive(Debug)]
pub(crate) struct Targets {
    pub list: Vec<Target>,
    /// Relative variance that the drawing of groups leaves in the mean; zero where the groups are the truth.
    pub of_groups: f64,
}

impl Target {
    fn estimate(&self) -> f64 {
        self.sides[0] + self.sides[1]
    }
}

impl Targets {
    /// The groups of `operands`, or `drawn` of them from `rng` where operands are independent. Errors of the MDPU are taken as
    /// normal, with their variance for the group's own operands.
    pub fn new(operating: &Operating, operands: &Operands, drawn: usize, rng: &mut Pcg64) -> Self {
        let unit = operating.unit;
        let independent = operands.groups().is_empty();
        let groups: Vec<Group> = if independent {
            (0..drawn).map(|_| draw(operands, unit.parameters().group, rng)).collect()
        } else {
            operands.groups().to_vec()
        };
        let (tilt, half) = (Tilt::new(unit, operands), PI / f64::from(unit.modulus()));
        let target = |group: Group| {
            let read = tilt.nominal(&group);
            let noise = 1.0 / operating.noisy_snr(read.log_amplitude, read.dac_variance);
            let spread = (tilt.terms(&group).cumulants(0.0)[2] + noise * noise).sqrt();
            let side = |distance: f64| if spread > 0.0 { normal_tail(distance / spread) } else { 0.0 };
            let sides = [side(half - read.deviation), side(half + read.deviation)];
            Target { group, deviation: read.deviation, noise, sides }
        };
        let list: Vec<Target> = groups.into_par_iter().map(target).collect();
        let n = list.len() as f64;
        let mean = list.iter().map(Target::estimate).sum::<f64>() / n;
        let scatter: f64 = list.iter().map(|t| (t.estimate() - mean).powi(2)).sum();
        // Relative to the mean, so that it carries over to the rate that is found.
        let of_groups = if independent && mean > 0.0 { scatter / (n - 1.0) / n / (mean * mean) } else { 0.0 };
        Targets { list, of_groups }
    }
}

/// Share of the choice that does not follow the estimates, so that no group which they overlook can hide.
const PLAIN: f64 = 0.1;
/// Groups drawn where operands are independent.
const DRAWN: usize = 65_536;

/// Operand vectors over which every MDPU of a modulus is judged.
#[derive(Debug, Clone)]
pub(crate) struct Vectors {
    /// Operands of a read, and the stationary levels before it.
    pub reads: Vec<(Group, Vec<usize>)>,
    /// What each counts; they sum to about one.
    pub weights: Vec<f64>,
    /// Whether each was sure to be chosen, so that it adds nothing to the scatter of the choice.
    pub sure: Vec<bool>,
    /// Relative variance of the mean that the drawing of groups leaves.
    pub of_groups: f64,
}

impl Vectors {
    /// At most `count` vectors for a unit whose converters are set to the log-amplitude `largest`.
    pub fn new(setting: &SweepSetting, unit: &Mdpu, operands: &Operands, largest: f64, count: usize) -> Self {
        let mut rng = generator(setting.seed, Domain::Vectors, [u64::from(unit.modulus()), 0]);
        let operating = Operating::new(unit, largest, setting.laser_power);
        let targets = Targets::new(&operating, operands, DRAWN, &mut rng);
        let estimates: Vec<f64> = targets.list.iter().map(Target::estimate).collect();
        let (mut reads, mut weights, mut sure) = (Vec::new(), Vec::new(), Vec::new());
        for Choice { at, weight, is_sure } in choose(&estimates, count, rng.random()) {
            reads.push((targets.list[at].group.clone(), draw_previous(unit, operands, &mut rng)));
            weights.push(weight);
            sure.push(is_sure);
        }
        Vectors { reads, weights, sure, of_groups: targets.of_groups }
    }
}

#[derive(Debug, Clone, Copy, PartialEq)]
struct Choice {
    at: usize,
    weight: f64,
    is_sure: bool,
}

/// Chooses `count` of the items for the mean over all, in proportion to a share of their own: systematic sampling from the
/// random number `start` in [0, 1), after all items whose share is so large that they are sure to be chosen (Särndal,
/// Swensson and Wretman, *Model Assisted Survey Sampling*, 3.6.2). Weights are one over (items times probability).
fn choose(estimates: &[f64], count: usize, start: f64) -> Vec<Choice> {
    let n = estimates.len() as f64;
    let total: f64 = estimates.iter().sum();
    let share = |estimate: f64| {
        if total > 0.0 { (1.0 - PLAIN) * estimate / total + PLAIN / n } else { 1.0 / n }
    };
    let mut order: Vec<usize> = (0..estimates.len()).collect();
    order.sort_by(|&a, &b| estimates[b].total_cmp(&estimates[a]).then(a.cmp(&b)));
    let (mut left, mut rest) = (count, order.iter().map(|&at| share(estimates[at])).sum::<f64>());
    let mut chosen = Vec::with_capacity(count);
    let mut others = order.into_iter().peekable();
    while let Some(at) = others.next_if(|&at| left > 0 && share(estimates[at]) * left as f64 >= rest) {
        chosen.push(Choice { at, weight: 1.0 / n, is_sure: true });
        rest -= share(estimates[at]);
        left -= 1;
    }
    let step = rest / left.max(1) as f64;
    let (mut passed, mut next) = (0.0, start * step);
    for at in others.filter(|_| left > 0) {
        let own = share(estimates[at]);
        passed += own;
        if passed > next {
            chosen.push(Choice { at, weight: step / own / n, is_sure: false });
            next += step;
        }
    }
    chosen
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_choice_is_unbiased_whatever_it_follows() {
        // Estimates over eight decades; the truth differs from them by factors up to ten, and one they overlook.
        let estimates: Vec<f64> = (0..40).map(|i| 10f64.powf(-0.2 * f64::from((i * 17) % 40))).collect();
        let mut values: Vec<f64> =
            estimates.iter().enumerate().map(|(i, e)| e * [0.3, 1.0, 3.0][i % 3]).collect();
        values[19] = 0.02;
        let mean = values.iter().sum::<f64>() / 40.0;
        for count in [3, 7, 20] {
            let starts = 40_000;
            let sum: f64 = (0..starts)
                .map(|s| {
                    let chosen = choose(&estimates, count, (f64::from(s) + 0.5) / f64::from(starts));
                    assert!(chosen.len() <= count + 1);
                    chosen.iter().map(|c| c.weight * values[c.at]).sum::<f64>()
                })
                .sum();
            assert!((sum / f64::from(starts) / mean - 1.0).abs() < 1e-3, "{count}: {sum}");
        }
    }

    #[test]
    fn who_carries_the_mean_is_sure_and_all_are_all() {
        let mut estimates = vec![1e-9; 100];
        (estimates[40], estimates[7]) = (1.0, 0.5);
        let chosen = choose(&estimates, 10, 0.3);
        let sure: Vec<usize> = chosen.iter().filter(|c| c.is_sure).map(|c| c.at).collect();
        assert_eq!(sure, [40, 7]);
        assert!(chosen.iter().filter(|c| c.is_sure).all(|c| c.weight == 0.01));
        let all = choose(&estimates, 100, 0.9);
        assert_eq!(all.len(), 100);
        assert!(all.iter().all(|c| (c.weight - 0.01).abs() < 1e-12), "{all:?}");
        // Without estimates everybody is as likely as the others.
        let flat = choose(&[0.0; 8], 4, 0.5);
        assert!(flat.len() == 4 && flat.iter().all(|c| (c.weight - 0.25).abs() < 1e-12));
    }
}
