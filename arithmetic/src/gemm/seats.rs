//! The channel's tables, looked up once for every place of the chip.

use std::sync::Arc;

use super::GemmConfig;
use crate::channel::ChannelTable;
use crate::draws::Stream;
use crate::{ChannelError, Place, Placement, ResidueChannel};

/// The table of each unit, row and modulus; a single place when the channel is an average.
#[derive(Debug, Clone)]
pub(super) struct Seats {
    by_row: bool,
    rows: u32,
    /// By unit, row and modulus: the table, and P(wrong again | wrong) of each further attempt; none if they are independent.
    tables: Vec<(Arc<ChannelTable>, Vec<f64>)>,
    largest: f64,
}

impl Seats {
    /// Looks up every table that products placed so may use.
    pub fn new(config: &GemmConfig, channel: &ResidueChannel) -> Result<Self, ChannelError> {
        let by_row = channel.by_row();
        let Placement { units, rows } =
            if by_row { config.placement } else { Placement { units: 1, rows: 1 } };
        let mut tables = Vec::new();
        for place in (0..units).flat_map(|unit| (0..rows).map(move |row| Place { unit, row })) {
            for &modulus in config.moduli.as_slice() {
                let table = channel.shared_at(place, modulus).ok_or(ChannelError::MissingRow {
                    unit: place.unit,
                    row: place.row,
                    modulus,
                })?;
                tables.push((table, channel.again_at(place, modulus).unwrap_or_default().to_vec()));
            }
        }
        let rates = |(table, again): &(Arc<ChannelTable>, Vec<f64>)| {
            again.iter().copied().fold(table.largest_rate(), f64::max)
        };
        let largest = tables.iter().map(rates).fold(0.0, f64::max);
        Ok(Self { by_row, rows, tables, largest })
    }

    /// Whether tables differ from row to row.
    pub fn by_row(&self) -> bool {
        self.by_row
    }

    /// The largest probability that any read is wrong, repeats included.
    pub fn largest_rate(&self) -> f64 {
        self.largest
    }

    /// The streams of each row of the chip: the largest rate over the units that may form its groups.
    pub fn streams(&self, moduli: usize) -> Vec<Vec<Stream>> {
        let places = self.rows as usize * moduli;
        let rate =
            |at: usize| self.tables[at..].iter().step_by(places).fold(0f64, |m, t| m.max(t.0.largest_rate()));
        let row = |row: usize| (0..moduli).map(|i| Stream::new(rate(row * moduli + i))).collect();
        (0..self.rows as usize).map(row).collect()
    }

    /// The table that a read of a product goes through, and P(wrong again | wrong) of each further attempt.
    pub fn table(
        &self,
        config: &GemmConfig,
        row: usize,
        group: usize,
        groups: usize,
        modulus: usize,
    ) -> (&ChannelTable, &[f64]) {
        let place = if self.by_row {
            let Place { unit, row } = config.placement.place(row as u64, group as u64, groups as u64);
            (unit * self.rows + row) as usize
        } else {
            0
        };
        let (table, again) = &self.tables[place * config.moduli.len() + modulus];
        (table, again)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{ChannelKey, Moduli};

    #[test]
    fn the_largest_rate_is_that_of_the_worst_row_and_attempt() {
        let config = GemmConfig::mirage(1);
        let of = |p| ResidueChannel::uniform(&Moduli::mirage(), p).unwrap();
        let place = |row| ChannelKey { chip: Some(0), place: Some(Place { unit: 2, row }) };
        let mut tables: Vec<_> = of(1e-3).tables().map(|(key, table)| (key, table.clone())).collect();
        for (row, rate) in [(3, 0.25), (5, 1e-4)] {
            tables.extend(of(rate).tables().map(|(_, table)| (place(row), table.clone())));
        }
        let mut channel = ResidueChannel::keyed(tables);
        let largest = |channel: &ResidueChannel| Seats::new(&config, channel).unwrap().largest_rate();
        assert!((largest(&channel) - 0.25).abs() < 1e-12);
        channel.set_again_of(place(5), 32, &[0.1, 0.6]);
        assert_eq!(largest(&channel), 0.6);
    }
}
