use std::ops::{Add, AddAssign};

/// What happened in one or more products. A *read* is one dot product of one group, with one residue for each modulus.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Counters {
    /// Residues read at first (M N groups moduli).
    pub residues: u64,
    /// Residues read wrongly at first.
    pub wrong: u64,
    /// Reads with at least one wrong residue at first.
    pub groups_hit: u64,
    /// Reads whose rebuilt value was out of range at first (and the protection looks).
    pub detected: u64,
    /// Reads that decoding put right, or took to be right, without another read.
    pub corrected: u64,
    /// Reads done again.
    pub repeated: u64,
    /// Reads still out of range after the last repeat.
    pub exhausted: u64,
    /// Reads whose value went on wrong without anybody knowing.
    pub silent: u64,
}

impl Add for Counters {
    type Output = Self;

    fn add(self, o: Self) -> Self {
        Self {
            residues: self.residues + o.residues,
            wrong: self.wrong + o.wrong,
            groups_hit: self.groups_hit + o.groups_hit,
            detected: self.detected + o.detected,
            corrected: self.corrected + o.corrected,
            repeated: self.repeated + o.repeated,
            exhausted: self.exhausted + o.exhausted,
            silent: self.silent + o.silent,
        }
    }
}

impl AddAssign for Counters {
    fn add_assign(&mut self, o: Self) {
        *self = *self + o;
    }
}

impl std::iter::Sum for Counters {
    fn sum<I: Iterator<Item = Self>>(iter: I) -> Self {
        iter.fold(Self::default(), Add::add)
    }
}
