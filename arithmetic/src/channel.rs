use std::collections::BTreeMap;
use std::sync::Arc;

use thiserror::Error;

use crate::{Moduli, Place, Placement, SlipCode};

/// Why a residue channel cannot be used.
#[derive(Debug, Clone, PartialEq, Error)]
#[allow(missing_docs)]
pub enum ChannelError {
    #[error("{file}:{line}: {message}")]
    Syntax { file: String, line: u64, message: String },
    #[error("{file}: {message}")]
    File { file: String, message: String },
    #[error("modulus {modulus}, true residue {truth}: the probabilities sum to {sum}, not to 1 within 1e-9")]
    RowSum { modulus: u32, truth: u32, sum: f64 },
    #[error("modulus {modulus}: {value} is no probability")]
    NoProbability { modulus: u32, value: f64 },
    #[error("the channel has no table for modulus {modulus}; it has {known:?}")]
    MissingModulus { modulus: u32, known: Vec<u32> },
    #[error("the channel has no table for unit {unit}, row {row}, modulus {modulus}, and no average")]
    MissingRow { unit: u32, row: u32, modulus: u32 },
    #[error("the channel was made for {channel}, but the arithmetic uses {wanted}: they must be the same")]
    OtherCode { channel: String, wanted: String },
    #[error("an error rate must lie between 0 and 1, not {0}")]
    Rate(f64),
}

/// P(read | true) of one modulus, for one row of a chip or averaged over chips.
#[derive(Debug, Clone, PartialEq)]
pub struct ChannelTable {
    modulus: u32,
    /// m x m, row = true residue; the diagonal is 1 minus the rest.
    probability: Vec<f64>,
    bounds: Option<(Vec<f64>, Vec<f64>)>,
    rates: Vec<f64>,
    largest: f64,
    picks: Picks,
}

impl ChannelTable {
    /// From m x m probabilities, row = true residue; what stands on the diagonal is replaced by 1 minus the rest.
    /// `bounds` are lower and upper bounds in the same form.
    pub fn new(
        modulus: u32,
        mut probability: Vec<f64>,
        bounds: Option<(Vec<f64>, Vec<f64>)>,
    ) -> Result<Self, ChannelError> {
        let m = modulus as usize;
        assert_eq!(probability.len(), m * m, "a channel table of modulus {m} has m x m entries");
        let mut rates = vec![0.0; m];
        for (t, rate) in rates.iter_mut().enumerate() {
            let row = &mut probability[t * m..(t + 1) * m];
            row[t] = 0.0;
            if let Some(&value) = row.iter().find(|p| !(0.0..=1.0).contains(*p)) {
                return Err(ChannelError::NoProbability { modulus, value });
            }
            let sum: f64 = row.iter().sum();
            if sum > 1.0 + 1e-9 {
                return Err(ChannelError::RowSum { modulus, truth: t as u32, sum });
            }
            *rate = sum.min(1.0);
            row[t] = 1.0 - *rate;
        }
        let largest = rates.iter().copied().fold(0.0, f64::max);
        let picks = Picks::new(m, &probability, &rates);
        Ok(Self { modulus, probability, bounds, rates, largest, picks })
    }

    /// The modulus m.
    pub fn modulus(&self) -> u32 {
        self.modulus
    }

    /// P(read | true).
    pub fn probability(&self, truth: u32, read: u32) -> f64 {
        self.probability[(truth * self.modulus + read) as usize]
    }

    /// Lower and upper bound of P(read | true), where the estimator gave them.
    pub fn bounds(&self, truth: u32, read: u32) -> Option<(f64, f64)> {
        let at = (truth * self.modulus + read) as usize;
        self.bounds.as_ref().map(|(lower, upper)| (lower[at], upper[at]))
    }

    /// Probability that `truth` is read wrongly.
    pub fn rate(&self, truth: u32) -> f64 {
        self.rates[truth as usize]
    }

    /// Mean of the rates over all true residues, each as likely as the others.
    pub fn mean_rate(&self) -> f64 {
        self.rates.iter().sum::<f64>() / self.rates.len() as f64
    }

    /// The largest rate over true residues.
    pub fn largest_rate(&self) -> f64 {
        self.largest
    }

    /// The wrong residue at the quantile `u` of P(read | true, wrong).
    pub(crate) fn pick(&self, truth: u32, u: f64) -> u32 {
        let m = self.modulus as usize;
        let picked = self.picks.pick(m, truth as usize, u);
        picked.unwrap_or_else(|| self.pick_slowly(truth, u))
    }

    /// What [`ChannelTable::pick`] means: residue by residue.
    fn pick_slowly(&self, truth: u32, u: f64) -> u32 {
        let m = self.modulus as usize;
        let row = &self.probability[truth as usize * m..][..m];
        let mut left = u * self.rates[truth as usize];
        let mut last = truth;
        for (r, &p) in row.iter().enumerate() {
            if r == truth as usize || p == 0.0 {
                continue;
            }
            last = r as u32;
            if left < p {
                break;
            }
            left -= p;
        }
        last
    }

    /// All rates times `factor`, without bounds; an error when some true residue would then be wrong more than always.
    fn times(&self, factor: f64) -> Result<Self, ChannelError> {
        if !(0.0..).contains(&factor) || !factor.is_finite() || self.largest * factor > 1.0 {
            return Err(ChannelError::Rate(self.largest * factor));
        }
        Self::new(self.modulus, self.probability.iter().map(|q| q * factor).collect(), None)
    }
}

/// Finds wrong residues in one or two steps: for each true residue the sums of the probabilities before each wrong one, and for
/// each m-th part of the quantiles the residue where the search begins (H. C. Chen and Y. Asau, "On generating random variates
/// from an empirical distribution", AIIE Transactions 6, 1974).
#[derive(Debug, Clone, PartialEq)]
struct Picks {
    /// By true residue and residue read, m + 1 for each true one; short, since they are read often and from far apart.
    sums: Vec<f32>,
    /// By true residue and part.
    starts: Vec<u16>,
}

impl Picks {
    fn new(m: usize, probability: &[f64], rates: &[f64]) -> Self {
        let (mut sums, mut starts) = (Vec::with_capacity(m * (m + 1)), Vec::with_capacity(m * m));
        for (truth, row) in probability.chunks_exact(m).enumerate() {
            let (first, mut sum) = (sums.len(), 0.0);
            sums.push(0.0);
            // Shares of the rate; rates that round badly, near the smallest f64, are left to the slow way.
            let share = if rates[truth] > 1e-280 { 1.0 / rates[truth] } else { 0.0 };
            for (r, &p) in row.iter().enumerate() {
                sum += if r == truth { 0.0 } else { p * share };
                sums.push(sum as f32);
            }
            let mut r = 0;
            for part in 0..m {
                let from = part as f32 / m as f32;
                while r + 1 < m && sums[first + r + 1] <= from {
                    r += 1;
                }
                starts.push(r as u16);
            }
        }
        Self { sums, starts }
    }

    /// `None` where the quantile lies so near to the edge of a residue that rounding matters.
    #[inline]
    fn pick(&self, m: usize, truth: usize, u: f64) -> Option<u32> {
        let sums = &self.sums[truth * (m + 1)..][..m + 1];
        let at = u as f32;
        // Sums and quantile are rounded to f32; before, here and where it is done slowly, each of up to 2^12 additions or
        // subtractions of parts of 1 by 2^-53 at most.
        let error = 2.0 * f32::EPSILON;
        let part = ((u * m as f64) as usize).min(m - 1);
        let mut r = usize::from(self.starts[truth * m + part]);
        // The first step without a jump, which nobody could foretell.
        r = (r + usize::from(sums[r + 1] <= at)).min(m - 1);
        while r + 1 < m && sums[r + 1] <= at {
            r += 1;
        }
        (sums[r] + error <= at && at + error < sums[r + 1]).then_some(r as u32)
    }
}

/// Which rows of which chip a table is for; all `None` is an average over chips.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default)]
pub struct ChannelKey {
    /// Number of the sampled chip.
    pub chip: Option<u32>,
    /// Tensor unit and row on that chip.
    pub place: Option<Place>,
}

/// A table of a channel as a chip uses it.
pub(crate) struct Share<'a> {
    /// Share of the chip's rows that use it.
    pub share: f64,
    pub table: &'a ChannelTable,
    /// P(wrong again | wrong) of each further attempt; `None` where attempts are independent.
    pub again: Option<&'a [f64]>,
}

/// The residue channel: with which probability a true residue is read as which other.
///
/// It is all that arithmetic, training and system know of the physics. Residues are those of the arithmetic; a slip code is
/// already inside. See `docs/residue-channel.md` for the CSV form.
#[derive(Debug, Clone, PartialEq)]
pub struct ResidueChannel {
    moduli: Vec<u32>,
    pub(crate) tables: BTreeMap<(ChannelKey, u32), Arc<ChannelTable>>,
    /// P(wrong again | wrong) of each further attempt, of the tables that have one; none is an empty list.
    again: BTreeMap<(ChannelKey, u32), Vec<f64>>,
    /// Header lines `# key: value`: design hash, seed, samples, estimator, operand distribution, slip code.
    pub header: BTreeMap<String, String>,
}

impl ResidueChannel {
    /// An average channel from one table for each modulus.
    pub fn average(tables: Vec<ChannelTable>) -> Self {
        Self::keyed(tables.into_iter().map(|t| (ChannelKey::default(), t)).collect())
    }

    /// A channel from tables with their keys.
    pub fn keyed(tables: Vec<(ChannelKey, ChannelTable)>) -> Self {
        let mut moduli = Vec::new();
        for (_, t) in &tables {
            if !moduli.contains(&t.modulus) {
                moduli.push(t.modulus);
            }
        }
        let tables = tables.into_iter().map(|(k, t)| ((k, t.modulus), Arc::new(t))).collect();
        Self { moduli, tables, again: BTreeMap::new(), header: BTreeMap::new() }
    }

    /// Every wrong residue equally likely, at rate `p` for each modulus.
    pub fn uniform(moduli: &Moduli, p: f64) -> Result<Self, ChannelError> {
        let table = |m: u32, p: f64| vec![p / f64::from(m - 1); (m * m) as usize];
        Self::given(moduli, p, |_, m| table(m, p))
    }

    /// Slips by one level, up or down with equal probability, at rate `p` for each modulus, in the given code.
    pub fn slip(moduli: &Moduli, code: &SlipCode, p: f64) -> Result<Self, ChannelError> {
        let mut channel = Self::given(moduli, p, |i, m| {
            let mut table = vec![0.0; (m * m) as usize];
            for t in 0..m {
                let level = code.level(i, t);
                for slipped in [(level + 1) % m, (level + m - 1) % m] {
                    table[(t * m + code.residue(i, slipped)) as usize] += p / 2.0;
                }
            }
            table
        })?;
        channel.header.insert("slip_code".into(), code.to_string());
        Ok(channel)
    }

    fn given(moduli: &Moduli, p: f64, table: impl Fn(usize, u32) -> Vec<f64>) -> Result<Self, ChannelError> {
        if !(0.0..=1.0).contains(&p) {
            return Err(ChannelError::Rate(p));
        }
        let tables = moduli.as_slice().iter().enumerate();
        let tables: Result<Vec<_>, _> =
            tables.map(|(i, &m)| ChannelTable::new(m, table(i, m), None)).collect();
        let mut channel = Self::average(tables?);
        channel.header.insert("estimator".into(), "given rate".into());
        // A given rate means fresh errors: a repeat is wrong as often as the first read.
        moduli.as_slice().iter().for_each(|&m| channel.set_again(m, &[p]));
        Ok(channel)
    }

    /// The same errors at another rate: all rates times one factor, so that their mean over the tables (moduli, and rows of a chip)
    /// is `p`. A modulus or a row that errs more than others still does.
    ///
    /// Each P(wrong again | wrong) is taken as q + s (1 - q): a share s of the wrong reads is static, the others are as often
    /// wrong as any read, at the mean rate q of the table. Scaling keeps s, so that independent attempts stay
    /// independent; an `again` below q has no such share and counts as independent too. This is a rule for stand-ins at
    /// rates that the devices do not have: a chip whose static errors grow has another s.
    pub fn scaled(&self, p: f64) -> Result<Self, ChannelError> {
        let sum: f64 = self.tables.values().map(|table| table.mean_rate()).sum();
        let factor = if p == 0.0 { 0.0 } else { p * self.tables.len() as f64 / sum };
        let mut scaled = self.changed(|table| table.times(factor))?;
        scaled.header.insert("scaled_to".into(), format!("{p:e}"));
        Ok(scaled)
    }

    /// The same with the rates of each modulus times a factor of its own; P(wrong again | wrong) keeps its static share, as in
    /// [`ResidueChannel::scaled`]. Bounds are left out.
    ///
    /// # Errors
    /// When a factor is negative or no number, or makes some true residue wrong more than always.
    pub fn times(&self, factor: impl Fn(u32) -> f64) -> Result<Self, ChannelError> {
        self.changed(|table| table.times(factor(table.modulus)))
    }

    fn changed(
        &self,
        change: impl Fn(&ChannelTable) -> Result<ChannelTable, ChannelError>,
    ) -> Result<Self, ChannelError> {
        let mut changed = Self { tables: BTreeMap::new(), ..self.clone() };
        for (key, table) in &self.tables {
            changed.tables.insert(*key, Arc::new(change(table)?));
        }
        let rate = |channel: &Self, of| channel.tables.get(&of).map_or(0.0, |table| table.mean_rate());
        let again = self.again.iter().map(|(&of, again)| {
            let (q, p) = (rate(self, of), rate(&changed, of));
            let fixed = |again: f64| if again > q { (again - q) / (1.0 - q) } else { 0.0 };
            (of, again.iter().map(|&again| p + fixed(again) * (1.0 - p)).collect())
        });
        changed.again = again.collect();
        Ok(changed)
    }

    /// Sets P(wrong again | wrong) of the average table, by modulus: for each further attempt on the same operands, the last one
    /// for all after it too. The more often a read was wrong, the more of what makes it wrong is static, so they rise. An empty
    /// list takes it away: attempts are independent.
    pub fn set_again(&mut self, modulus: u32, attempts: &[f64]) {
        self.set_again_of(ChannelKey::default(), modulus, attempts);
    }

    /// The same for the table of one row: it meets the same chip and the same operands, so what is static of both comes back.
    pub fn set_again_of(&mut self, key: ChannelKey, modulus: u32, attempts: &[f64]) {
        if attempts.is_empty() {
            self.again.remove(&(key, modulus));
        } else {
            self.again.insert((key, modulus), attempts.to_vec());
        }
    }

    /// P(wrong again | wrong) of the average table; `None` where attempts are independent.
    pub fn again(&self, modulus: u32) -> Option<&[f64]> {
        self.again_of(ChannelKey::default(), modulus)
    }

    /// P(wrong again | wrong) of a table; `None` where attempts are independent.
    pub fn again_of(&self, key: ChannelKey, modulus: u32) -> Option<&[f64]> {
        self.again.get(&(key, modulus)).map(Vec::as_slice)
    }

    /// P(wrong again | wrong) of the table used at `place`, `None` where attempts are independent.
    pub(crate) fn again_at(&self, place: Place, modulus: u32) -> Option<&[f64]> {
        let own = ChannelKey { chip: self.chip(), place: Some(place) };
        let key = if self.tables.contains_key(&(own, modulus)) { own } else { ChannelKey::default() };
        self.again_of(key, modulus)
    }

    /// Moduli in the order of the tables.
    pub fn moduli(&self) -> &[u32] {
        &self.moduli
    }

    /// All tables with their keys, in order.
    pub fn tables(&self) -> impl Iterator<Item = (ChannelKey, &ChannelTable)> {
        self.tables.iter().map(|((k, _), t)| (*k, &**t))
    }

    /// Whether tables differ from row to row.
    pub fn by_row(&self) -> bool {
        self.tables.keys().any(|(k, _)| k.place.is_some())
    }

    /// The average table of a modulus.
    pub fn table(&self, modulus: u32) -> Option<&ChannelTable> {
        self.tables.get(&(ChannelKey::default(), modulus)).map(|t| &**t)
    }

    /// The table of one row of a chip; the average where the channel has no table for that row.
    pub fn table_at(&self, chip: Option<u32>, place: Place, modulus: u32) -> Option<&ChannelTable> {
        let key = ChannelKey { chip, place: Some(place) };
        self.tables.get(&(key, modulus)).map(|t| &**t).or_else(|| self.table(modulus))
    }

    /// The table used at a place of the channel's chip.
    pub(crate) fn shared_at(&self, place: Place, modulus: u32) -> Option<Arc<ChannelTable>> {
        let own = self.tables.get(&(ChannelKey { chip: self.chip(), place: Some(place) }, modulus));
        own.or_else(|| self.tables.get(&(ChannelKey::default(), modulus))).cloned()
    }

    /// The single chip whose rows the channel describes; `None` for an average.
    pub fn chip(&self) -> Option<u32> {
        self.tables.keys().find_map(|(k, _)| k.chip)
    }

    /// Mean error rate of a modulus over true residues: that of the average table, or without one the mean over the rows.
    ///
    /// What a chip with rows of their own sees is [`ResidueChannel::error_rate_on`].
    pub fn error_rate(&self, modulus: u32) -> Option<f64> {
        if let Some(average) = self.table(modulus) {
            return Some(average.mean_rate());
        }
        let rates: Vec<f64> =
            self.tables.iter().filter(|((_, m), _)| *m == modulus).map(|(_, t)| t.mean_rate()).collect();
        (!rates.is_empty()).then(|| rates.iter().sum::<f64>() / rates.len() as f64)
    }

    /// Mean error rate of a modulus over true residues and over all rows of a chip, each as likely as the others.
    ///
    /// # Errors
    /// When the channel has no table for the modulus, or for one of the chip's rows.
    pub fn error_rate_on(&self, placement: Placement, modulus: u32) -> Result<f64, ChannelError> {
        Ok(self.shares(placement, modulus)?.iter().map(|s| s.share * s.table.mean_rate()).sum())
    }

    /// The tables that a chip uses, each with its share of the rows.
    pub(crate) fn shares(&self, placement: Placement, modulus: u32) -> Result<Vec<Share<'_>>, ChannelError> {
        if !self.moduli.contains(&modulus) {
            return Err(ChannelError::MissingModulus { modulus, known: self.moduli.clone() });
        }
        let chip = self.chip();
        let used = |key: &ChannelKey| {
            key.chip == chip && key.place.is_some_and(|p| p.unit < placement.units && p.row < placement.rows)
        };
        let own = self.tables.iter().filter(|((key, m), _)| *m == modulus && used(key));
        let places = f64::from(placement.units) * f64::from(placement.rows);
        let share = 1.0 / places;
        let of = |(key, m): &(ChannelKey, u32)| self.again_of(*key, *m);
        let mut shares: Vec<_> = own.map(|(key, table)| Share { share, table, again: of(key) }).collect();
        let rest = u64::from(placement.units) * u64::from(placement.rows) - shares.len() as u64;
        if rest > 0 {
            let table = self.table(modulus).ok_or_else(|| self.missing(placement, modulus))?;
            shares.push(Share { share: rest as f64 / places, table, again: self.again(modulus) });
        }
        Ok(shares)
    }

    /// The first row of a chip that has no table, when there is no average.
    fn missing(&self, placement: Placement, modulus: u32) -> ChannelError {
        let rows = |unit| (0..placement.rows).map(move |row| Place { unit, row });
        let missing = |place: &Place| self.table_at(self.chip(), *place, modulus).is_none();
        let Place { unit, row } =
            (0..placement.units).flat_map(rows).find(missing).unwrap_or(Place { unit: 0, row: 0 });
        ChannelError::MissingRow { unit, row, modulus }
    }

    /// Checks that the channel serves these moduli, and that it was made for this slip code when it says for which.
    pub fn check(&self, moduli: &Moduli, code: &SlipCode) -> Result<(), ChannelError> {
        for &modulus in moduli.as_slice() {
            if !self.moduli.contains(&modulus) {
                return Err(ChannelError::MissingModulus { modulus, known: self.moduli.clone() });
            }
        }
        let wanted = code.to_string();
        match self.header.get("slip_code") {
            Some(made) if *made != wanted => Err(ChannelError::OtherCode {
                channel: format!("the slip code `{made}`"),
                wanted: format!("`{wanted}`"),
            }),
            _ => Ok(()),
        }
    }
}

#[cfg(test)]
mod tests;
