//! The emulated product C = A B in block floating point and residues.

#[cfg(target_arch = "x86_64")]
mod avx2;
#[cfg(target_arch = "x86_64")]
mod avx512;
mod fast;
mod pack;
mod packed;
mod path;
mod queue;
mod read;
mod reference;
mod round;
#[cfg(target_arch = "x86_64")]
mod round_avx2;
#[cfg(target_arch = "x86_64")]
mod round_avx512;
mod seats;
mod tile;

use thiserror::Error;

pub use path::CpuPath;
use seats::Seats;

use crate::bfp::{Quantised, Rounder};
use crate::draws::{Domain, Stream, key};
use crate::{
    BfpFormat, ChannelError, Counters, FormatError, GroupSample, Matrix, Moduli, ModuliError,
    OperandHistogram, Placement, RedundantCode, ResidueChannel, Rounding, Site, SlipCode,
};

/// What is done about a read whose rebuilt value no dot product can have (|value| > g (2^b - 1)^2).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Protection {
    /// Nobody looks.
    None,
    /// Counted, and used as it is.
    Count,
    /// Replaced by the nearest value that is possible.
    Saturate,
    /// Read again, at most `repeats` times; what is still wrong then is given up: zero, and counted as exhausted.
    ReadAgain {
        /// The most repeats of one read, at least 1.
        repeats: u32,
    },
    /// Decoded by the redundant moduli ([`crate::RedundantCode`]); what cannot be decoded is read again, at most `repeats`
    /// times, each time decoded if need be, and is then given up: zero, and counted as exhausted.
    Correct {
        /// How many of the moduli, the last ones, are redundant: at least 1; two correct one wrong residue.
        redundant: usize,
        /// The most repeats of one read, at least 1.
        repeats: u32,
    },
}

impl Protection {
    /// The most repeats of a read, where reads are repeated.
    pub fn repeats(self) -> Option<u32> {
        match self {
            Self::ReadAgain { repeats } | Self::Correct { repeats, .. } => Some(repeats),
            Self::None | Self::Count | Self::Saturate => None,
        }
    }

    /// Whether one wrong residue is put right without another read.
    pub fn corrects(self) -> bool {
        matches!(self, Self::Correct { redundant: 2.., .. })
    }
}

impl std::fmt::Display for Protection {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(match self {
            Self::None => "none",
            Self::Count => "count",
            Self::Saturate => "saturate",
            Self::ReadAgain { .. } => "read-again",
            Self::Correct { .. } => "correct",
        })
    }
}

/// Everything that decides the result of an emulated product besides its operands and the channel.
#[derive(Debug, Clone)]
pub struct GemmConfig {
    /// The residue number system.
    pub moduli: Moduli,
    /// Block floating point of both operands.
    pub format: BfpFormat,
    /// How residues lie on phase levels; must be the code of the channel.
    pub code: SlipCode,
    /// What is done about values out of range.
    pub protection: Protection,
    /// Where products are placed, for channels that differ from row to row.
    pub placement: Placement,
    /// Seed of all draws.
    pub seed: u64,
}

impl GemmConfig {
    /// Mirage's arithmetic: {31, 32, 33}, 4 bits, groups of 16, natural code, no protection.
    pub fn mirage(seed: u64) -> Self {
        let moduli = Moduli::mirage();
        Self {
            code: SlipCode::natural(&moduli),
            moduli,
            format: BfpFormat::mirage(),
            protection: Protection::None,
            placement: Placement { units: 8, rows: 32 },
            seed,
        }
    }
}

/// Why an emulated product cannot be set up.
#[derive(Debug, Clone, PartialEq, Error)]
#[allow(missing_docs)]
pub enum GemmError {
    #[error(transparent)]
    Moduli(#[from] ModuliError),
    #[error(transparent)]
    Format(#[from] FormatError),
    #[error(transparent)]
    Channel(#[from] ChannelError),
    #[error("{repeats} repeats are not supported: use 1 to 255")]
    Repeats { repeats: u32 },
    #[error(
        "{redundant} of {moduli} moduli cannot be redundant: use at least 1, and leave some for the range"
    )]
    Redundant { redundant: usize, moduli: usize },
    #[error("a chip needs at least one unit and one row, not {units} and {rows}")]
    Placement { units: u32, rows: u32 },
    #[error("this processor does not have the instructions of the path `{path}`: the best it has is `{best}`", best = CpuPath::best())]
    Path { path: CpuPath },
}

/// A matrix product in block floating point whose dot products pass through residues and, when there is one, a channel.
#[derive(Debug, Clone)]
pub struct EmulatedGemm {
    config: GemmConfig,
    channel: Option<ResidueChannel>,
    /// Where wrong residues are put right.
    decoder: Option<RedundantCode>,
    seats: Option<Seats>,
    /// Gap streams by row of the chip and modulus; one row when the channel is an average.
    streams: Vec<Vec<Stream>>,
    path: CpuPath,
}

impl EmulatedGemm {
    /// Checks that moduli, format and channel fit together.
    pub fn new(config: GemmConfig, channel: Option<ResidueChannel>) -> Result<Self, GemmError> {
        config.format.check()?;
        config.format.check_range(&config.moduli)?;
        if let Some(repeats) = config.protection.repeats()
            && !(1..=255).contains(&repeats)
        {
            return Err(GemmError::Repeats { repeats });
        }
        let Placement { units, rows } = config.placement;
        if units == 0 || rows == 0 {
            return Err(GemmError::Placement { units, rows });
        }
        let decoder = decoder(&config)?;
        let mut seats = None;
        if let Some(channel) = &channel {
            channel.check(&config.moduli, &config.code)?;
            seats = Some(Seats::new(&config, channel)?);
        }
        let streams = seats.as_ref().map_or_else(Vec::new, |seats| seats.streams(config.moduli.len()));
        Ok(Self { config, channel, decoder, seats, streams, path: CpuPath::best() })
    }

    /// The same product on another path; results do not change.
    ///
    /// # Errors
    /// When this processor does not have the instructions.
    pub fn on(self, path: CpuPath) -> Result<Self, GemmError> {
        if path.available() { Ok(Self { path, ..self }) } else { Err(GemmError::Path { path }) }
    }

    /// The instructions that [`EmulatedGemm::multiply`] uses: [`CpuPath::best`] unless chosen otherwise.
    pub fn path(&self) -> CpuPath {
        self.path
    }

    /// The configuration it was made with.
    pub fn config(&self) -> &GemmConfig {
        &self.config
    }

    /// The channel it reads residues through.
    pub fn channel(&self) -> Option<&ResidueChannel> {
        self.channel.as_ref()
    }

    /// C = A B for A of M x K and B of K x N; `out` is row-major M x N and overwritten.
    ///
    /// For each element: exact dot products of the groups in ascending order of K, each turned to f32 (nearest even), scaled
    /// exactly by the two shared exponents, and added in f32. Residues are formed of those reads alone that the channel hit.
    /// Bit-identical to [`EmulatedGemm::multiply_reference`] on any number of threads and on every [`CpuPath`].
    /// Transposed operands are taken as they lie. Beside operands and result it takes 0.41 times the size of A in groups of 16
    /// of up to 6 bits (0.66 of more bits, and more in small groups), and for each thread up to 256 KiB for a part of B, or
    /// sixteen columns where these are larger; 48 KiB for sums; and 24 bytes for each candidate of an error that is at hand,
    /// about 100 KiB or those of sixteen columns and of the fewest rows that are taken at once, three with AVX2 and eight with
    /// AVX-512; and 24 for each wrong read among 128 columns of these rows.
    ///
    /// A NaN or an infinity in A or B makes every element of C that its group takes part in NaN, always the same one. Sums
    /// beyond the range of f32 become infinite, as in any sum of f32. What is not finite changes no draw and no counter of
    /// other elements: the mantissas of such a group are read like others.
    ///
    /// # Panics
    /// When shapes do not fit, or a dimension reaches 2^32, where the numbers of draws end: mistakes of the caller.
    pub fn multiply(&self, site: Site, a: Matrix<'_>, b: Matrix<'_>, out: &mut [f32]) -> Counters {
        check(a, b, out);
        fast::multiply(self, site, a, b, out)
    }

    /// The same product in plain steps: every residue of every dot product is formed and rebuilt.
    ///
    /// # Panics
    /// As [`EmulatedGemm::multiply`].
    pub fn multiply_reference(&self, site: Site, a: Matrix<'_>, b: Matrix<'_>, out: &mut [f32]) -> Counters {
        check(a, b, out);
        let (a, b) = (self.first(site, a), self.second(site, b));
        reference::multiply(self, site, &a, &b, out)
    }

    /// Counts mantissas and dot products of a product without errors.
    ///
    /// # Panics
    /// When the histogram is for another format, or K differs: mistakes of the caller.
    pub fn observe(&self, site: Site, a: Matrix<'_>, b: Matrix<'_>, histogram: &mut OperandHistogram) {
        assert_eq!(histogram.format(), self.config.format, "the histogram is for another format");
        let (a, b) = (self.first(site, a), self.second(site, b));
        histogram.count(&a, &b);
    }

    /// Offers the reads of a product to a sample of groups.
    ///
    /// # Panics
    /// As [`EmulatedGemm::observe`].
    pub fn sample(&self, site: Site, a: Matrix<'_>, b: Matrix<'_>, sample: &mut GroupSample) {
        assert_eq!(sample.format(), self.config.format, "the sample is for another format");
        sample.offer(self.config.seed, site, &self.first(site, a), &self.second(site, b));
    }

    fn first(&self, site: Site, a: Matrix<'_>) -> Quantised {
        check_size(a);
        Quantised::new(a, self.rounder(site, 0))
    }

    fn second(&self, site: Site, b: Matrix<'_>) -> Quantised {
        check_size(b);
        Quantised::new(b.transposed(), self.rounder(site, 1))
    }

    fn rounder(&self, site: Site, operand: u32) -> Rounder {
        let key = match self.config.format.rounding {
            Rounding::Stochastic => key(self.config.seed, site, Domain::Rounding),
            Rounding::NearestEven | Rounding::Truncate => [0; 2],
        };
        Rounder { format: self.config.format, key, operand }
    }

    /// Candidates of errors that are expected for a read, over all moduli; the mean over the rows of the chip.
    fn candidates(&self) -> f64 {
        let rates: f64 = self.streams.iter().flatten().map(|stream| stream.rate()).sum();
        rates / self.streams.len().max(1) as f64
    }
}

pub(crate) fn decoder(config: &GemmConfig) -> Result<Option<RedundantCode>, GemmError> {
    let Protection::Correct { redundant, .. } = config.protection else { return Ok(None) };
    let moduli = config.moduli.as_slice();
    if !(1..moduli.len()).contains(&redundant) {
        return Err(GemmError::Redundant { redundant, moduli: moduli.len() });
    }
    let (information, redundant) = moduli.split_at(moduli.len() - redundant);
    Ok(Some(RedundantCode::new(information, redundant, config.format.bound())?))
}

fn check(a: Matrix<'_>, b: Matrix<'_>, out: &[f32]) {
    assert_eq!(a.cols(), b.rows(), "the columns of A must equal the rows of B");
    assert_eq!(Some(out.len()), a.rows().checked_mul(b.cols()), "the output must hold M x N values");
    check_size(a);
    check_size(b);
}

/// Draws number rows and columns by 32 bits.
fn check_size(operand: Matrix<'_>) {
    let (rows, columns) = (operand.rows(), operand.cols());
    assert!(
        u32::try_from(rows).is_ok() && u32::try_from(columns).is_ok(),
        "an operand of {rows} x {columns} is too large: its rows and columns must stay below 2^32"
    );
}

/// Exact dot product of two groups; at most 1024 255^2, well inside i32.
#[inline]
pub(crate) fn dot(a: &[i16], b: &[i16]) -> i32 {
    a.iter().zip(b).map(|(&x, &y)| i32::from(x) * i32::from(y)).sum()
}

/// One bit pattern for every NaN, since processors differ in theirs.
#[inline]
fn canonical(x: f32) -> f32 {
    if x.is_nan() { f32::NAN } else { x }
}

#[cfg(test)]
mod channel_tests;
#[cfg(test)]
mod tests;
