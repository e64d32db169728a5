//! Which arithmetic a run is done in.

use std::sync::Mutex;
use std::sync::atomic::AtomicBool;

use mirage_arithmetic::{
    BfpFormat, ChannelError, ChannelTable, Counters, EmulatedGemm, GemmConfig, GemmError, GroupSample,
    Matrix, Moduli, NumberFormat, OperandHistogram, ResidueChannel, Rounding, Site, SlipCode,
};

use crate::gemm::{Fp32, Gemm};
use crate::record::Label;
use crate::rounded::RoundedGemm;
use crate::trainer::{Task, TrainError, train};

/// The arithmetic of all products of a run.
#[derive(Debug, Clone)]
pub enum Arithmetic {
    /// Single precision.
    Fp32,
    /// Operands rounded to another number format.
    Rounded(NumberFormat),
    /// Block floating point with stochastic rounding and plain integer dot products, as a multiply-accumulate unit for
    /// such groups has it (FMAC: Zhang, McDanel and Kung, "FAST", HPCA 2022).
    Fmac(GemmConfig),
    /// Block floating point through residues that are never misread.
    Bfp(GemmConfig),
    /// Block floating point through residues that a channel misreads. The channel must have been made for the
    /// configuration's slip code.
    Mirage(GemmConfig, Box<ResidueChannel>),
}

impl Arithmetic {
    /// `fp32`, the name of a number format, `fmac`, `bfp` or `mirage`.
    pub fn name(&self) -> &'static str {
        match self {
            Self::Fp32 => "fp32",
            Self::Rounded(format) => format.name(),
            Self::Fmac(_) => "fmac",
            Self::Bfp(_) => "bfp",
            Self::Mirage(..) => "mirage",
        }
    }

    /// The door to it, with the errors of `seed` (the configuration's own seed is not used).
    ///
    /// # Errors
    /// When configuration and channel do not fit each other.
    pub fn gemm(&self, seed: u64) -> Result<Box<dyn Gemm>, GemmError> {
        let seeded = |config: &GemmConfig| GemmConfig { seed, ..config.clone() };
        Ok(match self {
            Self::Fp32 => Box::new(Fp32),
            Self::Rounded(format) => Box::new(RoundedGemm(*format)),
            Self::Fmac(config) => {
                let format = BfpFormat { rounding: Rounding::Stochastic, ..config.format };
                Box::new(EmulatedGemm::new(GemmConfig { format, ..seeded(config) }, None)?)
            }
            Self::Bfp(config) => Box::new(EmulatedGemm::new(seeded(config), None)?),
            Self::Mirage(config, channel) => {
                Box::new(EmulatedGemm::new(seeded(config), Some(channel.as_ref().clone()))?)
            }
        })
    }

    /// The label of a run in this arithmetic; `error_shape` says what the channel is. The protection is
    /// `none`, `count`, `saturate` or `read-again`, with `+slip-code` behind it where the code is not natural.
    pub fn label(&self, error_shape: &str, seed: u64) -> Label {
        let (protection, error_shape, rate) = match self {
            Self::Fp32 | Self::Rounded(_) | Self::Fmac(_) | Self::Bfp(_) => {
                (String::new(), String::new(), None)
            }
            Self::Mirage(config, channel) => {
                let natural = config.code == SlipCode::natural(&config.moduli);
                let code = if natural { "" } else { "+slip-code" };
                let rate = mean_rate(channel, config);
                (format!("{}{code}", config.protection), error_shape.to_owned(), rate)
            }
        };
        Label { arithmetic: self.name().into(), protection, error_shape, rate, seed }
    }
}

/// Mean over the moduli and the rows of the chip of the rate at which a residue is misread, each true residue as likely as
/// the others. Nine digits after the first: a given rate is not to come back with the dust of its sums.
fn mean_rate(channel: &ResidueChannel, config: &GemmConfig) -> Option<f64> {
    let rate = |&m: &u32| channel.error_rate_on(config.placement, m).ok();
    let rates: Option<Vec<f64>> = config.moduli.as_slice().iter().map(rate).collect();
    let mean = rates?.iter().sum::<f64>() / config.moduli.len() as f64;
    Some(format!("{mean:.9e}").parse().unwrap_or(mean))
}

impl Gemm for EmulatedGemm {
    fn multiply(&self, site: Site, a: Matrix<'_>, b: Matrix<'_>, out: &mut [f32]) -> Counters {
        EmulatedGemm::multiply(self, site, a, b, out)
    }

    fn name(&self) -> &str {
        if self.channel().is_some() { "mirage" } else { "bfp" }
    }
}

/// The same channel for a unit that lays its residues on levels by another slip code: what happens to a level
/// stays as it was, only its meaning changes.
///
/// # Errors
/// As the channel's own checks; also when `from` is not the code that the channel was made for.
pub fn recoded(
    channel: &ResidueChannel,
    moduli: &Moduli,
    from: &SlipCode,
    to: &SlipCode,
) -> Result<ResidueChannel, ChannelError> {
    channel.check(moduli, from)?;
    let mut tables = Vec::new();
    for (index, &modulus) in moduli.as_slice().iter().enumerate() {
        // The residue that the old code has where the new one has `residue`.
        let old = |residue: u32| from.residue(index, to.level(index, residue));
        for (key, table) in channel.tables().filter(|(_, table)| table.modulus() == modulus) {
            let entries = (0..modulus).flat_map(|truth| (0..modulus).map(move |read| (truth, read)));
            let probability = entries.map(|(truth, read)| table.probability(old(truth), old(read)));
            tables.push((key, ChannelTable::new(modulus, probability.collect(), None)?));
        }
    }
    let mut new = ResidueChannel::keyed(tables);
    let of: Vec<_> = new.tables().map(|(key, table)| (key, table.modulus())).collect();
    for (key, modulus) in of {
        new.set_again_of(key, modulus, channel.again_of(key, modulus).unwrap_or_default());
    }
    new.header = channel.header.clone();
    new.header.insert("slip_code".into(), to.to_string());
    Ok(new)
}

/// Why a run did not take place.
#[derive(Debug, thiserror::Error)]
pub enum RunError {
    /// The arithmetic cannot be set up.
    #[error(transparent)]
    Gemm(#[from] GemmError),
    /// The channel does not fit.
    #[error(transparent)]
    Channel(#[from] ChannelError),
    /// A protection by redundant moduli has too few of them.
    #[error(
        "{protection} needs {needed} redundant moduli, and {given} are given (`redundant` in [training.sweep])"
    )]
    Redundant {
        /// Its name.
        protection: &'static str,
        /// The fewest that do.
        needed: usize,
        /// Those that there are.
        given: usize,
    },
    /// The settings, or network and data, do not fit.
    #[error(transparent)]
    Train(#[from] TrainError),
    /// Checkpoints cannot be used.
    #[error(transparent)]
    Checkpoint(#[from] crate::CheckpointError),
    /// The system gives no more threads.
    #[error("threads cannot be started: {0}; use fewer")]
    Threads(String),
}

/// Multiplies without errors and counts the operands of every so-many-th step.
struct Observed {
    gemm: EmulatedGemm,
    operands: Mutex<(OperandHistogram, GroupSample)>,
    every: u64,
}

impl Gemm for Observed {
    fn multiply(&self, site: Site, a: Matrix<'_>, b: Matrix<'_>, out: &mut [f32]) -> Counters {
        if site.step.is_multiple_of(self.every) && site.step < crate::EVALUATION_STEP {
            // A panic elsewhere leaves at worst a product half counted, and is on its way up anyway.
            let mut operands = self.operands.lock().unwrap_or_else(|poisoned| poisoned.into_inner());
            self.gemm.observe(site, a, b, &mut operands.0);
            self.gemm.sample(site, a, b, &mut operands.1);
        }
        self.gemm.multiply(site, a, b, out)
    }

    fn name(&self) -> &str {
        "bfp"
    }
}

/// Reads kept by [`operand_histogram`].
const SAMPLED_READS: usize = 8192;

/// The operands that units meet while `task` is trained in block floating point without errors: those of its
/// first step and of every `every`-th step after it, evaluation left out. How often each mantissa and dot product
/// occurs, and a sample of whole reads, since the values of a group depend on each other.
///
/// # Errors
/// When the configuration or the task is not sound.
pub fn operand_histogram(
    task: Task<'_>,
    config: &GemmConfig,
    every: u64,
    cancel: &AtomicBool,
) -> Result<(OperandHistogram, GroupSample), RunError> {
    let operands = (OperandHistogram::new(config.format), GroupSample::new(config.format, SAMPLED_READS));
    let gemm = EmulatedGemm::new(GemmConfig { seed: task.config.seed, ..config.clone() }, None)?;
    let observed = Observed { gemm, operands: Mutex::new(operands), every: every.max(1) };
    let label = Arithmetic::Bfp(config.clone()).label("", task.config.seed);
    train(task, &observed, &label, cancel, &mut |_| {})?;
    Ok(observed.operands.into_inner().unwrap_or_else(|poisoned| poisoned.into_inner()))
}

#[cfg(test)]
mod tests {
    use super::*;
    use mirage_arithmetic::{ChannelKey, Place};

    #[test]
    fn a_recoded_slip_channel_is_that_of_the_other_code() {
        let moduli = Moduli::mirage();
        let natural = SlipCode::natural(&moduli);
        let code = SlipCode::with_changes(&moduli, &[18, 27, 23]).unwrap();
        // The average, and a row of a chip that repeats its errors.
        let row = ChannelKey { chip: Some(3), place: Some(Place { unit: 1, row: 2 }) };
        let channel = |code| {
            let average = ResidueChannel::slip(&moduli, code, 1e-3).unwrap();
            let both = average.tables().flat_map(|(key, table)| [key, row].map(|key| (key, table.clone())));
            let mut channel = ResidueChannel::keyed(both.collect());
            channel.header = average.header.clone();
            channel.set_again(32, &[0.1]);
            channel.set_again_of(row, 31, &[0.2, 0.5]);
            channel
        };
        for (from, to) in [(&natural, &code), (&code, &natural)] {
            let got = recoded(&channel(from), &moduli, from, to).unwrap();
            let want = channel(to);
            assert_eq!(got.header, want.header);
            for &m in moduli.as_slice() {
                for key in [ChannelKey::default(), row] {
                    assert_eq!(got.again_of(key, m), want.again_of(key, m));
                }
                for (truth, read) in (0..m).flat_map(|t| (0..m).map(move |r| (t, r))) {
                    let [got, want] = [&got, &want].map(|c| c.table(m).unwrap().probability(truth, read));
                    assert!((got - want).abs() < 1e-15, "{m} {truth} {read}");
                }
            }
        }
        assert!(recoded(&channel(&natural), &moduli, &code, &natural).is_err());
    }

    #[test]
    fn labels_say_what_a_run_is() {
        let config = GemmConfig::mirage(0);
        let channel = ResidueChannel::uniform(&config.moduli, 1e-4).unwrap();
        let plain = Arithmetic::Bfp(config.clone()).label("slip", 3);
        assert_eq!((plain.arithmetic.as_str(), plain.error_shape.as_str(), plain.rate), ("bfp", "", None));
        let coded = GemmConfig {
            code: SlipCode::with_changes(&config.moduli, &[17, 23, 17]).unwrap(),
            protection: mirage_arithmetic::Protection::ReadAgain { repeats: 3 },
            ..config
        };
        let label = Arithmetic::Mirage(coded, Box::new(channel)).label("uniform", 3);
        assert_eq!(label.protection, "read-again+slip-code");
        assert_eq!(label.rate, Some(1e-4));
    }
}
