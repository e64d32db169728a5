//! How one product is cut into tiles, and how long that takes when nothing is in the way.

use mirage_arithmetic::{GemmEntry, Placement};

use crate::SystemError;

/// The operand that stays in the phase shifters.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Stationary {
    /// DF1.
    First,
    /// DF2.
    Second,
    /// DF3: the results stay.
    Output,
}

impl std::fmt::Display for Stationary {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.pad(match self {
            Self::First => "DF1",
            Self::Second => "DF2",
            Self::Output => "DF3",
        })
    }
}

/// More tiles than this take hours and are most likely a mistake.
const MOST_TILES: u64 = 1 << 33;

/// Minutes at full speed. Below this, no count of the model can overflow even if all is read again 255 times.
const MOST_MACS: u64 = 1 << 52;

/// A product on the chip: `repeats` times a stationary matrix of `rows` x `inner`, cut into tiles of unit rows x unit columns,
/// through each of which `vectors` vectors stream. With the results stationary, `inner` is N and `vectors` is K.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Plan {
    pub stationary: Stationary,
    pub rows: u64,
    pub inner: u64,
    pub vectors: u64,
    pub repeats: u64,
    pub row_tiles: u64,
    pub k_tiles: u64,
    pub tiles: u64,
    pub tile_rows: u64,
    pub tile_columns: u64,
}

/// Which of the eight kinds of tile: the last along the rows, the last along K, the first along K.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct TileKind(u8);

impl TileKind {
    pub const COUNT: usize = 8;

    pub fn new(last_row: bool, last_k: bool, first_k: bool) -> Self {
        Self(u8::from(last_row) << 2 | u8::from(last_k) << 1 | u8::from(first_k))
    }

    pub fn all() -> impl Iterator<Item = Self> {
        (0..8).map(Self)
    }

    pub fn index(self) -> usize {
        usize::from(self.0)
    }

    pub fn last_row(self) -> bool {
        self.0 & 4 != 0
    }

    pub fn last_k(self) -> bool {
        self.0 & 2 != 0
    }

    pub fn first_k(self) -> bool {
        self.0 & 1 != 0
    }
}

impl Plan {
    pub fn new(
        entry: &GemmEntry,
        stationary: Stationary,
        tile_rows: u32,
        tile_columns: u64,
    ) -> Result<Self, SystemError> {
        let (rows, inner, vectors) = match stationary {
            Stationary::First => (entry.m, entry.k, entry.n),
            Stationary::Second => (entry.n, entry.k, entry.m),
            Stationary::Output => (entry.m, entry.n, entry.k),
        };
        if [rows, vectors, inner, entry.repeats].contains(&0) {
            return Err(SystemError::EmptyProduct {
                network: entry.network.clone(),
                layer: entry.layer.clone(),
                pass: entry.pass.to_string(),
            });
        }
        let tile_rows = u64::from(tile_rows);
        let (row_tiles, k_tiles) = (rows.div_ceil(tile_rows), inner.div_ceil(tile_columns));
        let tiles = u128::from(row_tiles) * u128::from(k_tiles);
        let tiles = tiles.saturating_mul(u128::from(entry.repeats));
        let macs = [rows, vectors, inner, entry.repeats]
            .iter()
            .try_fold(1u64, |product, &size| product.checked_mul(size));
        if macs.is_none_or(|macs| macs >= MOST_MACS) {
            let what = format!("{} {} of {}", entry.layer, entry.pass, entry.network);
            return Err(SystemError::Overflow { what });
        }
        match u64::try_from(tiles) {
            Ok(tiles) if tiles <= MOST_TILES => Ok(Self {
                stationary,
                rows,
                inner,
                vectors,
                repeats: entry.repeats,
                row_tiles,
                k_tiles,
                tiles,
                tile_rows,
                tile_columns,
            }),
            _ => Err(SystemError::TooManyTiles {
                network: entry.network.clone(),
                layer: entry.layer.clone(),
                pass: entry.pass.to_string(),
                tiles,
                limit: MOST_TILES,
            }),
        }
    }

    /// The kind of the tile in row tile `row` (counted over all repeats) and column tile `column`.
    #[inline]
    pub fn kind(&self, row: u64, column: u64) -> TileKind {
        let last_row = row % self.row_tiles == self.row_tiles - 1;
        TileKind::new(last_row, column == self.k_tiles - 1, column == 0)
    }

    /// Rows in use in a tile of this kind.
    pub fn rows_of(&self, kind: TileKind) -> u64 {
        if kind.last_row() { self.rows - (self.row_tiles - 1) * self.tile_rows } else { self.tile_rows }
    }

    /// Columns in use in a tile of this kind.
    pub fn columns_of(&self, kind: TileKind) -> u64 {
        if kind.last_k() { self.inner - (self.k_tiles - 1) * self.tile_columns } else { self.tile_columns }
    }

    /// Dot products of groups: what is read from the rows.
    pub fn groups(&self) -> u64 {
        self.rows * self.k_tiles * self.vectors * self.repeats
    }

    /// Whether partial sums of different column tiles belong to the same results.
    pub fn sums_columns(&self) -> bool {
        self.stationary != Stationary::Output
    }

    /// Results of one repeat.
    pub fn results(&self) -> u64 {
        self.rows * if self.sums_columns() { self.vectors } else { self.inner }
    }

    /// Tiles that the unit with most tiles has.
    pub fn rounds(&self, placement: Placement) -> u64 {
        self.tiles.div_ceil(u64::from(placement.units))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use mirage_arithmetic::Pass;
    use proptest::prelude::*;

    fn entry(m: u64, k: u64, n: u64, repeats: u64) -> GemmEntry {
        GemmEntry { network: "net".into(), layer: "layer".into(), pass: Pass::Forward, m, k, n, repeats }
    }

    proptest! {
        /// Tiles cover every multiplication once, in both dataflows; and they are numbered as products are placed.
        #[test]
        fn tiles_cover_the_product(m in 1u64..200, k in 1u64..200, n in 1u64..50, repeats in 1u64..4) {
            let e = entry(m, k, n, repeats);
            for stationary in [Stationary::First, Stationary::Second, Stationary::Output] {
                let plan = Plan::new(&e, stationary, 32, 16).unwrap();
                let macs = |kind| plan.rows_of(kind) * plan.columns_of(kind) * plan.vectors;
                let rows = plan.row_tiles * repeats;
                let tiles = (0..rows).flat_map(|row| (0..plan.k_tiles).map(move |column| (row, column)));
                let sum: u64 = tiles.map(|(row, column)| macs(plan.kind(row, column))).sum();
                prop_assert_eq!(sum, m * k * n * repeats);
                let placement = Placement { units: 8, rows: 32 };
                let last = placement.tile(plan.rows - 1, plan.k_tiles - 1, plan.k_tiles);
                prop_assert_eq!(last + 1, plan.row_tiles * plan.k_tiles);
            }
        }
    }

    #[test]
    fn what_cannot_be_simulated_is_refused() {
        let new = |m, k, n, repeats| Plan::new(&entry(m, k, n, repeats), Stationary::First, 32, 16);
        assert!(matches!(new(0, 1, 1, 1), Err(SystemError::EmptyProduct { .. })));
        assert!(matches!(new(1, 1, 1, 0), Err(SystemError::EmptyProduct { .. })));
        assert!(matches!(new(u64::MAX, 2, 1, 1), Err(SystemError::Overflow { .. })));
        assert!(matches!(new(1 << 25, 1 << 25, 1, 1), Err(SystemError::TooManyTiles { .. })));
    }
}
