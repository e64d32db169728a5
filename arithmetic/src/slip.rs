use crate::moduli::{gcd, inverse};
use crate::{Moduli, ModuliError};

/// How residues are laid on phase levels: level = u r mod m with a unit u of each modulus.
///
/// The stationary operand is stored as u w mod m and the read level multiplied by u^-1. A slip by one level then changes
/// the residue by the *change* c = u^-1, so that a wise choice moves the rebuilt value out of the legal range, where the
/// range check sees it. With u = 1 the code is natural.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SlipCode {
    moduli: Vec<u32>,
    units: Vec<u32>,
    changes: Vec<u32>,
}

impl SlipCode {
    /// Level and residue are the same.
    pub fn natural(moduli: &Moduli) -> Self {
        let ones = vec![1; moduli.len()];
        Self { moduli: moduli.as_slice().to_vec(), units: ones.clone(), changes: ones }
    }

    /// The code with the given units, one for each modulus.
    pub fn with_units(moduli: &Moduli, units: &[u32]) -> Result<Self, ModuliError> {
        let changes = inverses(moduli, units)?;
        Ok(Self { moduli: moduli.as_slice().to_vec(), units: units.to_vec(), changes })
    }

    /// The code in which a slip by one level changes the residues by the given amounts (the inverses of the units).
    pub fn with_changes(moduli: &Moduli, changes: &[u32]) -> Result<Self, ModuliError> {
        let units = inverses(moduli, changes)?;
        Ok(Self { moduli: moduli.as_slice().to_vec(), units, changes: changes.to_vec() })
    }

    /// The best code for slips of up to `depth` levels in one modulus, for true values up to ±`usual`, when values
    /// beyond ±`bound` are illegal. Among those that detect all of these it takes the one that also detects most pairs of
    /// one-level slips, then the one with the largest margin; the smallest changes win a tie.
    pub fn search(moduli: &Moduli, bound: i64, usual: i64, depth: u32) -> Result<Self, ModuliError> {
        let reach = bound + usual;
        let mut choices = Vec::new();
        for (i, &m) in moduli.as_slice().iter().enumerate() {
            let margin = |c: u32| {
                (1..=i64::from(depth))
                    .map(|s| moduli.shift_of(i, s * i64::from(c)).abs())
                    .min()
                    .unwrap_or(i64::MAX)
            };
            // c and m - c are mirror images: one of them is enough for the first modulus.
            let last = if i == 0 { m / 2 } else { m - 1 };
            let good: Vec<(u32, i64)> = (1..=last.max(1))
                .filter(|&c| gcd(c, m) == 1)
                .map(|c| (c, margin(c)))
                .filter(|(_, d)| *d > reach)
                .collect();
            if good.is_empty() {
                return Err(ModuliError::NoSlipCode { depth, usual });
            }
            choices.push(good);
        }
        let mut best: Option<((usize, i64), Vec<u32>)> = None;
        let mut at = vec![0; choices.len()];
        loop {
            let pick: Vec<(u32, i64)> = at.iter().zip(&choices).map(|(&j, c)| c[j]).collect();
            let changes: Vec<u32> = pick.iter().map(|p| p.0).collect();
            let score =
                (double_slips_seen(moduli, &changes, reach), pick.iter().map(|p| p.1).min().unwrap_or(0));
            if best.as_ref().is_none_or(|(b, _)| score > *b) {
                best = Some((score, changes));
            }
            let Some(place) = (0..at.len()).rev().find(|&p| at[p] + 1 < choices[p].len()) else { break };
            at[place] += 1;
            at[place + 1..].fill(0);
        }
        let (_, changes) = best.ok_or(ModuliError::Empty)?;
        Self::with_changes(moduli, &changes)
    }

    /// Units u, one for each modulus.
    pub fn units(&self) -> &[u32] {
        &self.units
    }

    /// Changes c = u^-1: what a slip by one level adds to the residue.
    pub fn changes(&self) -> &[u32] {
        &self.changes
    }

    /// Whether level and residue are the same.
    pub fn is_natural(&self) -> bool {
        self.units.iter().all(|&u| u == 1)
    }

    /// The phase level of a residue.
    pub fn level(&self, index: usize, residue: u32) -> u32 {
        (u64::from(residue) * u64::from(self.units[index]) % u64::from(self.moduli[index])) as u32
    }

    /// The residue of a phase level.
    pub fn residue(&self, index: usize, level: u32) -> u32 {
        (u64::from(level) * u64::from(self.changes[index]) % u64::from(self.moduli[index])) as u32
    }

    /// The largest slip depth (in levels, in one modulus) up to which every slip of every true value up to ±`usual`
    /// lands beyond ±`bound`; one number for each modulus.
    pub fn depth(&self, moduli: &Moduli, bound: i64, usual: i64) -> Vec<u32> {
        let deepest = |i: usize| {
            let c = i64::from(self.changes[i]);
            (1..self.moduli[i])
                .take_while(|&s| moduli.shift_of(i, i64::from(s) * c).abs() > bound + usual)
                .count() as u32
        };
        (0..self.moduli.len()).map(deepest).collect()
    }

    /// Of the pairs of one-level slips in two moduli (four signs each), how many are always detected, and how many there are.
    pub fn double_slips(&self, moduli: &Moduli, bound: i64, usual: i64) -> (usize, usize) {
        let n = self.moduli.len();
        (double_slips_seen(moduli, &self.changes, bound + usual), n * (n - 1) / 2 * 4)
    }
}

impl std::fmt::Display for SlipCode {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        if self.is_natural() {
            return f.write_str("natural");
        }
        let list: Vec<String> = self.changes.iter().map(u32::to_string).collect();
        write!(f, "changes {}", list.join(" "))
    }
}

fn double_slips_seen(moduli: &Moduli, changes: &[u32], reach: i64) -> usize {
    let shift = |i: usize, sign: i64| moduli.shift_of(i, sign * i64::from(changes[i]));
    let mut seen = 0;
    for i in 0..changes.len() {
        for j in 0..i {
            for (a, b) in [(1, 1), (1, -1), (-1, 1), (-1, -1)] {
                seen += usize::from(moduli.add(shift(i, a), shift(j, b)).abs() > reach);
            }
        }
    }
    seen
}

fn inverses(moduli: &Moduli, values: &[u32]) -> Result<Vec<u32>, ModuliError> {
    if values.len() != moduli.len() {
        return Err(ModuliError::WrongCount { given: values.len(), expected: moduli.len() });
    }
    let one = |(&u, &m): (&u32, &u32)| {
        let error = ModuliError::NotAUnit { unit: u, modulus: m, factor: gcd(u, m) };
        if u == 0 || u >= m {
            return Err(error);
        }
        inverse(u, m).ok_or(error)
    };
    values.iter().zip(moduli.as_slice()).map(one).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    const BOUND: i64 = 3600;

    #[test]
    fn levels_and_residues_are_inverse() {
        let moduli = Moduli::mirage();
        let code = SlipCode::with_changes(&moduli, &[17, 23, 17]).unwrap();
        for (i, &m) in moduli.as_slice().iter().enumerate() {
            for r in 0..m {
                assert_eq!(code.residue(i, code.level(i, r)), r);
                let slipped = code.residue(i, (code.level(i, r) + 1) % m);
                assert_eq!((r + code.changes()[i]) % m, slipped);
            }
        }
    }

    #[test]
    fn the_natural_code_misses_slips_of_the_power_of_two() {
        let moduli = Moduli::mirage();
        assert_eq!(SlipCode::natural(&moduli).depth(&moduli, BOUND, BOUND)[1], 0);
    }

    /// The claims for these two codes come from the notes on the accelerator; here they are counted.
    #[test]
    fn the_two_known_codes_have_their_claimed_depth() {
        let moduli = Moduli::mirage();
        let a = SlipCode::with_changes(&moduli, &[17, 23, 17]).unwrap();
        assert_eq!(a.depth(&moduli, BOUND, BOUND), [3, 2, 3]);
        let b = SlipCode::with_changes(&moduli, &[18, 27, 23]).unwrap();
        assert!(b.depth(&moduli, BOUND, 500).iter().all(|d| *d >= 5));
        assert_eq!(b.double_slips(&moduli, BOUND, 500), (10, 12));
    }

    /// Depth is decided by brute force over all legal values, not by the shortcut that the code uses.
    #[test]
    fn depth_equals_brute_force() {
        let moduli = Moduli::mirage();
        let code = SlipCode::with_changes(&moduli, &[17, 23, 17]).unwrap();
        for (i, &m) in moduli.as_slice().iter().enumerate() {
            let undetected = |s: u32| {
                (-BOUND..=BOUND).any(|v| {
                    let mut r = moduli.residues(v);
                    r[i] = code.residue(i, (code.level(i, r[i]) + s) % m);
                    moduli.signed(&r).abs() <= BOUND
                })
            };
            let depth = (1..m).take_while(|&s| !undetected(s) && !undetected(m - s)).count() as u32;
            assert_eq!(code.depth(&moduli, BOUND, BOUND)[i], depth);
        }
    }

    #[test]
    fn search_is_no_worse_than_the_known_codes() {
        let moduli = Moduli::mirage();
        let deep = SlipCode::search(&moduli, BOUND, 500, 5).unwrap();
        assert!(deep.depth(&moduli, BOUND, 500).iter().all(|d| *d >= 5));
        assert!(deep.double_slips(&moduli, BOUND, 500).0 >= 10);
        let always = SlipCode::search(&moduli, BOUND, BOUND, 2).unwrap();
        assert!(always.depth(&moduli, BOUND, BOUND).iter().all(|d| *d >= 2));
        assert!(SlipCode::search(&moduli, BOUND, BOUND, 12).is_err());
    }

    #[test]
    fn what_is_no_unit_is_refused() {
        let moduli = Moduli::mirage();
        assert_eq!(
            SlipCode::with_units(&moduli, &[1, 2, 1]),
            Err(ModuliError::NotAUnit { unit: 2, modulus: 32, factor: 2 })
        );
        assert!(SlipCode::with_units(&moduli, &[1, 1]).is_err());
        assert!(SlipCode::with_units(&moduli, &[31, 1, 1]).is_err());
    }
}
