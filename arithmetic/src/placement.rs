/// A dot-product unit of the chip.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Place {
    /// Number of the tensor unit (RNS-MMVMU).
    pub unit: u32,
    /// Row in that unit (MDPU).
    pub row: u32,
}

/// The one rule that places products on the chip.
///
/// The stationary operand is cut into tiles of `rows` rows by one group; tiles are numbered along K first, then along M,
/// and handed to the units in turn.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Placement {
    /// Tensor units of the chip.
    pub units: u32,
    /// Rows of a unit.
    pub rows: u32,
}

impl Placement {
    /// Number of the tile that holds row `m` of the stationary operand and group `group` of `groups` along K.
    pub fn tile(self, m: u64, group: u64, groups: u64) -> u64 {
        m / u64::from(self.rows) * groups + group
    }

    /// The unit of a tile.
    pub fn unit(self, tile: u64) -> u32 {
        (tile % u64::from(self.units)) as u32
    }

    /// Where the products of row `m` of the stationary operand and group `group` of `groups` are formed, for every column
    /// of the streaming operand.
    pub fn place(self, m: u64, group: u64, groups: u64) -> Place {
        let row = (m % u64::from(self.rows)) as u32;
        Place { unit: self.unit(self.tile(m, group, groups)), row }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn tiles_cover_every_unit_in_turn() {
        let p = Placement { units: 8, rows: 32 };
        let places: Vec<u32> = (0..20).map(|g| p.place(0, g, 20).unit).collect();
        assert_eq!(places, [0, 1, 2, 3, 4, 5, 6, 7, 0, 1, 2, 3, 4, 5, 6, 7, 0, 1, 2, 3]);
        assert_eq!(p.place(33, 0, 20), Place { unit: 4, row: 1 });
        assert_eq!(p.tile(64, 3, 20), 43);
    }
}
