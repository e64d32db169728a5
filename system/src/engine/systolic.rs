//! Systolic arrays: a grid of multipliers through which operands move a step a cycle.
//!
//! Cycles of a tile on an array of `columns` (the inner dimension K, SCALE-Sim's R) by `rows` (SCALE-Sim's C), as SCALE-Sim
//! counts them, whether or not the product fills the array:
//!
//! | stationary | tiles | cycles of each |
//! |---|---|---|
//! | first or second operand | ceil(K / R) ceil(M / C) | R to fill, then N + R + C - 2 until the last sum is out |
//! | results | ceil(M / R) ceil(N / C) | K + R + C - 2 |
//!
//! Where results stay, rows are those of the first operand and columns those of the second, so R and C change places, which
//! the sum does not see. SCALE-Sim's total is that of all tiles, less one.

use mirage_arithmetic::Placement;
use mirage_events::TimeBase;

use super::{Actions, TileCount, TileShape, TileTiming, Timing};
use crate::SystemError;
use crate::baselines::{ArrayFormat, Arrays, Format};
use crate::design::{Programming, Stall, System};
use crate::energy::{Component, Costs};
use crate::plan::Stationary;

const TIME: TimeBase = TimeBase::PICOSECONDS;

/// Arrays of one format.
#[derive(Debug, Clone)]
pub(crate) struct Systolic {
    arrays: Arrays,
    clock: u64,
    bits: f64,
    /// Whether operands have to be brought into the format.
    quantised: bool,
    shadow: bool,
    costs: Costs,
}

impl Systolic {
    /// The section is checked by the caller.
    pub fn new(system: &System, format: Format, arrays: Arrays) -> Self {
        let numbers: &ArrayFormat = system.baselines.format(format);
        Self {
            arrays,
            // Checked: a whole number from 1e6 to 1e12.
            clock: numbers.clock.si() as u64,
            bits: *numbers.operand_bits.get(),
            quantised: format != Format::Fp32,
            shadow: *system.baselines.fill.get() == Programming::Shadow,
            costs: Costs::systolic(system, numbers.energy_per_mac.si()),
        }
    }

    pub fn placement(&self) -> Placement {
        Placement { units: self.arrays.units, rows: self.arrays.rows }
    }

    pub fn columns(&self) -> u64 {
        u64::from(self.arrays.columns)
    }

    pub fn peak(&self) -> f64 {
        self.arrays.multipliers() as f64 * self.clock as f64
    }

    /// Operands come as they are needed, sums leave as they are made: nothing is waited for between tiles.
    pub fn timing(&self) -> Timing {
        Timing { pipeline: 0, hold: 0, shadow: self.shadow, stall: Stall::Unit }
    }

    pub fn costs(&self) -> &Costs {
        &self.costs
    }

    pub fn operand_bytes(&self, values: u64) -> u64 {
        (values as f64 * self.bits / 8.0).ceil() as u64
    }

    /// The ports of the on-chip memories are made for the arrays: no memory is in the way of a tile.
    pub fn tile(&self, shape: TileShape) -> Result<TileTiming, SystemError> {
        let (rows, columns) = (u64::from(self.arrays.rows), self.columns());
        let fill = if shape.stationary == Stationary::Output { 0 } else { columns };
        let stream = shape.vectors.saturating_add(rows + columns).saturating_sub(2);
        // Rounded together, so that tiles add up.
        let program = TIME.span(fill, self.clock)?;
        let stream = TIME.span(stream, self.clock)?;
        Ok(TileTiming { load: 0, program, stream, ideal: stream })
    }

    pub fn book(&self, shape: TileShape, count: TileCount, actions: &mut Actions) -> [u64; 2] {
        let streamed = count.tiles * shape.vectors;
        let mut add = |component: Component, number: u64| actions[component as usize] += number;
        add(Component::Multipliers, streamed * shape.rows * shape.columns);
        if shape.stationary == Stationary::Output {
            add(Component::AccumulatorMemory, 4 * count.tiles * shape.rows * shape.columns);
            return [streamed * self.operand_bytes(shape.rows), streamed * self.operand_bytes(shape.columns)];
        }
        let sums = streamed * shape.rows;
        add(Component::AccumulatorMemory, if shape.first { 4 * sums } else { 8 * sums });
        add(Component::Accumulation, if shape.first { 0 } else { sums });
        let group = self.operand_bytes(shape.columns);
        [count.tiles * shape.rows * group, streamed * group]
    }

    pub fn book_results(&self, results: u64, copies: u64, actions: &mut Actions) {
        if self.quantised {
            actions[Component::Quantisation as usize] += results * copies;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::baselines::Arrays;
    use crate::design::tests::system;
    use crate::engine::Engine;
    use mirage_arithmetic::{GemmEntry, Pass};
    use proptest::prelude::*;

    fn entry(m: u64, k: u64, n: u64) -> GemmEntry {
        GemmEntry { network: "n".into(), layer: "l".into(), pass: Pass::Forward, m, k, n, repeats: 1 }
    }

    /// Total cycles of SCALE-Sim 3 for a product of its M, N and K on R rows and C columns.
    fn scale_sim(stationary: &str, [m, n, k]: [u64; 3], [r, c]: [u64; 2]) -> u64 {
        match stationary {
            "weight" => k.div_ceil(r) * n.div_ceil(c) * (m + 2 * r + c - 2) - 1,
            "input" => k.div_ceil(r) * m.div_ceil(c) * (n + 2 * r + c - 2) - 1,
            _ => m.div_ceil(r) * n.div_ceil(c) * (k + r + c - 2) - 1,
        }
    }

    /// Cycles of all tiles of a product on one array, one after another.
    fn cycles(entry: &GemmEntry, stationary: Stationary, rows: u32, columns: u32) -> u64 {
        let engine =
            Engine::Systolic(Systolic::new(&system(), Format::Int8, Arrays { units: 1, rows, columns }));
        let plan = engine.plan(entry, stationary).unwrap();
        let shape = TileShape { stationary, rows: 1, columns: 1, vectors: plan.vectors, first: false };
        let tile = engine.tile(shape).unwrap();
        // INT8: a cycle of 1 ns.
        plan.tiles * (tile.program + tile.stream) / 1000
    }

    proptest! {
        /// O = W X: SCALE-Sim's filters are our first operand, its input our second.
        #[test]
        fn cycles_are_scale_sims(m in 1u64..300, k in 1u64..300, n in 1u64..300, r in 1u32..40, c in 1u32..40) {
            let e = entry(m, k, n);
            let (theirs, array) = ([n, m, k], [u64::from(r), u64::from(c)]);
            prop_assert_eq!(cycles(&e, Stationary::First, c, r), scale_sim("weight", theirs, array) + 1);
            prop_assert_eq!(cycles(&e, Stationary::Second, c, r), scale_sim("input", theirs, array) + 1);
            prop_assert_eq!(cycles(&e, Stationary::Output, c, r), scale_sim("output", theirs, array) + 1);
        }
    }

    /// SCALE-Sim's first layer of ResNet-18 in its own topology (ifmap 224 and no padding, 7 x 7, 64 filters, stride 2) on
    /// 32 x 32, by its formula: 5 x 2 folds of 12,100 + 94 cycles.
    #[test]
    fn one_layer_by_hand() {
        assert_eq!(cycles(&entry(64, 147, 110 * 110), Stationary::First, 32, 32), 5 * 2 * (12_100 + 94));
    }
}
