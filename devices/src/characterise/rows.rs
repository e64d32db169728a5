//! Sampled chips: every MDPU with its own fabrication errors, its error rate and its own residue channel.

use crate::characterise::bench::Watch;
use crate::characterise::channel::{Provenance, table};
use crate::characterise::sweep::SweepSetting;
use crate::error::DeviceError;
use crate::unit::chips::Sample;
use crate::unit::mmu::Mdpu;
use crate::unit::operands::Group;
use crate::unit::population::Population;
use crate::unit::rates::Operating;
use crate::unit::sampled::{SampledMdpu, draw};
use mirage_arithmetic::{ChannelKey, ChannelTable, Place, Placement, ResidueChannel, SlipCode};
use rand_pcg::Pcg64;
use rayon::prelude::*;
use std::f64::consts::PI;
use std::sync::atomic::{AtomicUsize, Ordering};

/// Reads that together make up less than this share of a row's errors are judged with quantisation as noise.
const REST: f64 = 1e-3;
/// The largest number of MDPUs of a chip.
const MOST: u64 = 1 << 20;

/// Chips of units x rows x moduli MDPUs, and the operand vectors over which each MDPU is judged.
///
/// Chip k draws the errors of each MDPU from a stream of its own, so that a chip is the same whoever asks for it, and however
/// many chips are asked for. All MDPUs of a modulus are judged over the same operand vectors.
#[derive(Debug, Clone)]
pub struct SampledChips<'a> {
    setting: SweepSetting<'a>,
    placement: Placement,
    /// For each modulus: the unit, the largest log-amplitude, the operand vectors.
    units: Vec<(Mdpu, f64, Vec<Group>)>,
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
    /// As [`Mdpu::new`], no reads, more than 65,536 reads, or more than a million MDPUs.
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
            let mut rng = Pcg64::new(u128::from(setting.seed), 0x0bed_0000 + u128::from(modulus));
            let vectors = (0..reads).map(|_| draw(operands, setting.parameters.group, &mut rng)).collect();
            units.push((unit, largest, vectors));
        }
        Ok(SampledChips { setting, placement, units })
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

    /// Error rate of every MDPU of chip `chip`, in the order of [`SampledChips::seats`]: the mean over its operand vectors
    /// of the probability of a wrong read, summed over ADC cells.
    ///
    /// # Errors
    /// [`DeviceError::Cancelled`].
    pub fn rates(&self, chip: u32, watch: Watch) -> Result<Vec<f64>, DeviceError> {
        let operating = self.operating();
        let rate = |(index, seat): (usize, Seat)| -> Result<f64, DeviceError> {
            watch.check()?;
            let (at, reads) = (&operating[seat.modulus], self.reads(chip, index, seat));
            let mut row = vec![0.0; at.unit.modulus() as usize];
            for read in &reads {
                at.readout.add_errors(read.truth, point(at, read, read.truth), 1.0, &mut row);
            }
            Ok(row.iter().sum::<f64>() / reads.len() as f64)
        };
        self.seats().into_iter().enumerate().collect::<Vec<_>>().into_par_iter().map(rate).collect()
    }

    /// The residue channel of chip `chip`: one table for each unit, row and modulus, in residues of `code`.
    ///
    /// True levels are taken as equally likely at each read's deviation and loss, as in the average channel. The bounds are two
    /// standard errors of the mean over the operand vectors.
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
        let (operating, seats) = (self.operating(), self.seats());
        let (done, steps) = (AtomicUsize::new(0), seats.len());
        let one = |(index, seat): (usize, &Seat)| -> Result<(ChannelKey, ChannelTable), DeviceError> {
            watch.check()?;
            let at = &operating[seat.modulus];
            let reads = self.reads(chip, index, *seat);
            let (offsets, error) = offsets(at, &reads);
            let m = at.unit.modulus();
            let probability =
                |t: usize, r: usize| offsets[t * m as usize + (r + m as usize - t) % m as usize];
            let scales = ((1.0 - 2.0 * error).max(0.0), 1.0 + 2.0 * error);
            let table = table(m, &probability, scales, code, seat.modulus)?;
            watch.done(done.fetch_add(1, Ordering::Relaxed) + 1, steps, "rows of the chip");
            Ok((ChannelKey { chip: Some(chip), place: Some(seat.place) }, table))
        };
        let tables: Result<Vec<_>, _> =
            seats.iter().enumerate().collect::<Vec<_>>().into_par_iter().map(one).collect();
        let mut channel = ResidueChannel::keyed(tables?);
        let reads = self.units.first().map_or(0, |u| u.2.len());
        for (key, value) in [
            ("design", provenance.design.clone()),
            ("seed", provenance.seed.to_string()),
            ("samples", format!("{reads} operand vectors for each row")),
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

    /// The reads of one MDPU of a chip.
    fn reads(&self, chip: u32, index: usize, seat: Seat) -> Vec<Sample> {
        let (unit, _, vectors) = &self.units[seat.modulus];
        let stream = (u128::from(chip) << 32) | index as u128;
        let mut rng = Pcg64::new((stream << 64) | u128::from(self.setting.seed), stream);
        let mdpu = SampledMdpu::sample(unit, &self.setting.operands[seat.modulus], &mut rng);
        vectors.iter().map(|group| mdpu.read(group)).collect()
    }
}

fn point(at: &Operating, read: &Sample, truth: usize) -> crate::unit::readout::Point {
    let angle = truth as f64 * 2.0 * PI / f64::from(at.unit.modulus()) + read.deviation;
    at.noisy_point(read.log_amplitude, angle, read.dac_variance)
}

/// P(read `t + j` | true `t`) at t m + j, averaged over the reads at every true level, and its relative standard error.
fn offsets(at: &Operating, reads: &[Sample]) -> (Vec<f64>, f64) {
    let (m, n) = (at.unit.modulus() as usize, reads.len() as f64);
    let quick = |read: &Sample| {
        at.readout.wedge_error(at.noisy_snr(read.log_amplitude, read.dac_variance), read.deviation)
    };
    let mut judged: Vec<(f64, &Sample)> = reads.iter().map(|read| (quick(read), read)).collect();
    judged.sort_by(|a, b| b.0.total_cmp(&a.0));
    let total: f64 = judged.iter().map(|j| j.0).sum();
    let squares: f64 = judged.iter().map(|j| (j.0 - total / n).powi(2)).sum();
    let error = if total > 0.0 { (squares * n / (n - 1.0).max(1.0)).sqrt() / total } else { 0.0 };
    // A quarter turn of the plane of ADC cells changes nothing, if the levels allow it and the hybrid is balanced.
    let own = if m.is_multiple_of(4) && !at.imbalanced() { m / 4 } else { m };
    let mut table = vec![0.0; m * m];
    let (mut left, mut common) = (total, vec![0.0; m]);
    for (share, read) in judged {
        if left <= REST * total {
            at.readout.add_wedges(
                at.noisy_snr(read.log_amplitude, read.dac_variance),
                read.deviation,
                1.0 / n,
                &mut common,
            );
        } else {
            for (truth, row) in table.chunks_mut(m).take(own).enumerate() {
                at.readout.add_errors(truth, point(at, read, truth), 1.0 / n, row);
            }
        }
        left -= share;
    }
    for truth in 0..m {
        if truth >= own {
            table.copy_within((truth - own) * m..(truth - own + 1) * m, truth * m);
        }
    }
    for row in table.chunks_mut(m) {
        row.iter_mut().zip(&common).skip(1).for_each(|(p, c)| *p += c);
    }
    (table, error)
}
