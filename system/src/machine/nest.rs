//! How a product is cut to fit the memories: blocks of results that fit the accumulators, and slices of operands that fit
//! the SRAM.
//!
//! C = A B, with A (R x D) and B (D x C): R are the rows of the tiles; where an operand is stationary D are their columns and C the
//! vectors, where the results are, the other way round. Two loops go over blocks of results (row blocks and column blocks, in
//! either order), a third within each block over D in slices, so that a block is finished before the next one begins and no partial
//! sum leaves the accumulators. An operand is fetched again for each block, unless what a later block needs of it fits:
//! the whole operand, or, of the operand of the outer loop, its panel.
//!
//! Tried are row blocks of all powers of two, column blocks from the largest that the accumulators hold down by halves, and both
//! orders; taken is what takes least by two times: streaming all tiles through all units, and the traffic at the bandwidth of the
//! off-chip memory. The larger counts, and a quarter of the smaller: it overlaps, but others want the memory too. Small products that come many times are cut between their repeats instead.

use super::Axis;
use crate::engine::{Engine, TileShape};
use crate::plan::{Plan, TileKind};
use crate::{SystemError, plan::Stationary};

/// What a product may use. Bytes.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Room {
    /// Left and right operand as they lie in memory.
    pub operands: [u64; 2],
    /// Whether each of them lies in the SRAM already.
    pub resident: [bool; 2],
    /// Working part of the SRAM for each operand.
    pub working: [u64; 2],
    /// Accumulators of one unit for one block.
    pub accumulators: u64,
    /// Elements of the result as it lies in memory: fewer than the product has where windows are folded back.
    pub results: u64,
    /// Slices that are loaded or in use at a time.
    pub prefetch: u64,
    /// Bytes a tick of the off-chip memory.
    pub bytes_per_tick: f64,
}

/// The cut of a product.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(crate) struct Nest {
    pub plan: Plan,
    /// Row tiles of a block; of one repeat.
    row_block: u64,
    /// Of a block: vectors, or column tiles where the results are stationary.
    column_block: u64,
    /// Of a slice: column tiles, or vectors where the results are stationary.
    depth_block: u64,
    /// Repeats of a slice: more than one only where a repeat is a single slice.
    repeat_block: u64,
    /// Blocks along rows, columns, depth, and groups of repeats.
    counts: [u64; 4],
    /// Whether the outer loop goes over rows.
    rows_outer: bool,
    /// Whether an operand is fetched for the first block that needs it only.
    held: [bool; 2],
    /// Estimated time, ticks.
    pub estimate: f64,
    /// Bytes fetched.
    traffic: u64,
}

/// One slice.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Slice {
    /// Row tiles, counted over all repeats.
    pub rows: [u64; 2],
    /// Column tiles.
    pub columns: [u64; 2],
    /// Whether fewer vectors stream than in most slices, and how many do.
    pub short: bool,
    pub vectors: u64,
    /// The block that it is part of, and whether it is its last slice.
    pub block: u64,
    pub last: bool,
    /// Bytes to fetch of each operand.
    pub fetch: [u64; 2],
    /// Whether its sums are the first of their block.
    pub first: bool,
}

impl Slice {
    pub fn tiles(&self) -> u64 {
        (self.rows[1] - self.rows[0]) * (self.columns[1] - self.columns[0])
    }
}

impl Nest {
    /// The best cut; `None` if not even the smallest fits.
    ///
    /// # Errors
    /// [`SystemError::Overflow`] for times that cannot be counted.
    pub fn new(engine: &Engine, plan: Plan, room: &Room) -> Result<Option<Self>, SystemError> {
        let sizes = Sizes::new(plan, engine, room);
        let mut best: Option<Self> = None;
        for row_block in halves(sizes.extents[0]) {
            let most = sizes.most_columns(row_block, room);
            for column_block in halves(most.min(sizes.extents[1])) {
                for rows_outer in [false, true] {
                    let Some(nest) = sizes.nest([row_block, column_block], rows_outer, room) else {
                        continue;
                    };
                    let nest = nest.estimated(engine, room.prefetch)?;
                    let key = |nest: &Self| (nest.estimate, nest.traffic, nest.slices());
                    if best.as_ref().is_none_or(|best| key(&nest) < key(best)) {
                        best = Some(nest);
                    }
                }
            }
        }
        Ok(best)
    }

    /// Room for a product none of whose bytes matter.
    pub fn no_room(&self) -> Room {
        Room {
            operands: [0; 2],
            resident: [true; 2],
            working: [0; 2],
            accumulators: 0,
            results: 0,
            prefetch: 1,
            bytes_per_tick: 1.0,
        }
    }

    /// All slices.
    pub fn slices(&self) -> u64 {
        self.counts.iter().product()
    }

    /// All blocks.
    pub fn blocks(&self) -> u64 {
        self.slices() / self.counts[2]
    }

    /// The larger of the time of all tiles on the unit that has most, and of the fetching; and a quarter of the other.
    fn estimated(mut self, engine: &Engine, prefetch: u64) -> Result<Self, SystemError> {
        // Slices of few tiles leave units without any.
        let units = f64::from(engine.placement().units);
        let tiles = (self.tiles_of_a_slice() * prefetch) as f64;
        let wanted = units.min(self.plan.tiles as f64 * self.passes() as f64);
        let streaming = self.streaming(engine)? as f64 * (wanted / tiles).max(1.0);
        let fetching = self.estimate;
        self.estimate = streaming.max(fetching) + 0.25 * streaming.min(fetching);
        Ok(self)
    }

    /// Ticks in which the unit with most tiles programs them and streams all vectors, nothing else in the way.
    pub fn streaming(&self, engine: &Engine) -> Result<u64, SystemError> {
        let overflow = || SystemError::Overflow { what: "the time of a product".to_owned() };
        let rounds = self.plan.rounds(engine.placement());
        let passes = self.passes();
        let full = passes.saturating_sub(1);
        let mut total = 0u64;
        for (count, vectors) in [(full, self.vectors(false)), (1, self.vectors(true))] {
            let shape = TileShape {
                stationary: self.plan.stationary,
                rows: self.plan.rows.min(self.plan.tile_rows),
                columns: self.plan.inner.min(self.plan.tile_columns),
                vectors,
                first: false,
            };
            let tile = engine.tile(shape)?;
            let one = tile.program.checked_add(tile.stream).ok_or_else(overflow)?;
            let all = one.checked_mul(count).and_then(|one| one.checked_mul(rounds)).ok_or_else(overflow)?;
            total = total.checked_add(all).ok_or_else(overflow)?;
        }
        Ok(total)
    }

    fn tiles_of_a_slice(&self) -> u64 {
        let columns = if self.plan.sums_columns() { self.depth_block } else { self.column_block };
        self.row_block.saturating_mul(columns).saturating_mul(self.repeat_block)
    }

    /// How often each tile is programmed.
    pub fn passes(&self) -> u64 {
        if self.plan.sums_columns() { self.counts[1] } else { self.counts[2] }
    }

    /// Vectors that stream in most slices, and in the last ones.
    pub fn vectors(&self, short: bool) -> u64 {
        let block = if self.plan.sums_columns() { self.column_block } else { self.depth_block };
        if short { self.plan.vectors - (self.passes() - 1) * block } else { block }
    }

    /// What a tile of a kind looks like in a slice.
    pub fn shape(&self, kind: TileKind, short: bool, first: bool) -> TileShape {
        let first = if self.plan.sums_columns() { kind.first_k() } else { first };
        let (rows, columns) = (self.plan.rows_of(kind), self.plan.columns_of(kind));
        TileShape { stationary: self.plan.stationary, rows, columns, vectors: self.vectors(short), first }
    }

    /// Slice `index`, in the order of the loops.
    pub fn slice(&self, index: u64, room: &Room) -> Slice {
        let [rows, columns, depths, _] = self.counts;
        let (block, depth) = (index / depths, index % depths);
        let (group, place) = (block / (rows * columns), block % (rows * columns));
        let (row, column) =
            if self.rows_outer { (place / columns, place % columns) } else { (place % rows, place / rows) };
        let plan = &self.plan;
        let repeats = [group * self.repeat_block, ((group + 1) * self.repeat_block).min(plan.repeats)];
        let span = |at: u64, block: u64, whole: u64| [at * block, ((at + 1) * block).min(whole)];
        let in_repeat = span(row, self.row_block, plan.row_tiles);
        let row_tiles =
            [repeats[0] * plan.row_tiles + in_repeat[0], (repeats[1] - 1) * plan.row_tiles + in_repeat[1]];
        let (column_tiles, vectors) = if plan.sums_columns() {
            (span(depth, self.depth_block, plan.k_tiles), span(column, self.column_block, plan.vectors))
        } else {
            (span(column, self.column_block, plan.k_tiles), span(depth, self.depth_block, plan.vectors))
        };
        let vectors = vectors[1] - vectors[0];
        let again = [self.held[0] && column > 0, self.held[1] && row > 0];
        let share = self.shares(in_repeat, column_tiles, vectors, repeats[1] - repeats[0]);
        let fetch = [0, 1].map(|operand| {
            if again[operand] || room.resident[operand] {
                0
            } else {
                part(room.operands[operand], share[operand])
            }
        });
        Slice {
            rows: row_tiles,
            columns: column_tiles,
            short: vectors != self.vectors(false),
            vectors,
            block,
            last: depth == depths - 1,
            fetch,
            first: depth == 0,
        }
    }

    /// The block of a slice.
    pub fn block_of(&self, slice: u64) -> u64 {
        slice / self.counts[2]
    }

    /// How far along an axis a block reaches: (part, whole).
    pub fn reach(&self, axis: Axis, block: u64) -> (u64, u64) {
        let [rows, columns, ..] = self.counts;
        let (group, place) = (block / (rows * columns), block % (rows * columns));
        let (row, column) =
            if self.rows_outer { (place / columns, place % columns) } else { (place % rows, place / rows) };
        self.extent(axis, 1 + [if self.along_rows() { row } else { column }, group][axis as usize])
    }

    /// How far along an axis everything is there once so many blocks are, in their order: (part, whole).
    pub fn complete(&self, axis: Axis, blocks: u64) -> (u64, u64) {
        let [rows, columns, _, groups] = self.counts;
        let steps = match axis {
            Axis::Repeats => blocks / (rows * columns),
            Axis::Columns => {
                // A column is there when the last group has it.
                let last = blocks.saturating_sub((groups - 1) * rows * columns);
                let (outer, inner) = if self.rows_outer { (rows, columns) } else { (columns, rows) };
                if self.rows_outer == self.along_rows() {
                    last / inner
                } else {
                    last.saturating_sub((outer - 1) * inner)
                }
            }
        };
        self.extent(axis, steps)
    }

    /// So many steps along an axis, of the whole.
    fn extent(&self, axis: Axis, steps: u64) -> (u64, u64) {
        let plan = &self.plan;
        let (step, whole) = match (axis, plan.stationary) {
            (Axis::Repeats, _) => (self.repeat_block, plan.repeats),
            (_, Stationary::First) => (self.column_block, plan.vectors),
            (_, Stationary::Second) => (self.row_block.saturating_mul(plan.tile_rows), plan.rows),
            (_, Stationary::Output) => (self.column_block.saturating_mul(plan.tile_columns), plan.inner),
        };
        (steps.saturating_mul(step).min(whole), whole)
    }

    /// Whether the columns of the product are the rows of its grid of tiles.
    fn along_rows(&self) -> bool {
        self.plan.stationary == Stationary::Second
    }

    /// Elements of the two operands in a slice, and of all.
    fn shares(&self, rows: [u64; 2], columns: [u64; 2], vectors: u64, repeats: u64) -> [(u64, u64); 2] {
        let plan = &self.plan;
        let rows = (rows[1] * plan.tile_rows).min(plan.rows) - rows[0] * plan.tile_rows;
        let columns = (columns[1] * plan.tile_columns).min(plan.inner) - columns[0] * plan.tile_columns;
        let [left, right] = match plan.stationary {
            Stationary::Output => {
                [(rows * vectors, plan.rows * plan.vectors), (vectors * columns, plan.vectors * plan.inner)]
            }
            _ => [(rows * columns, plan.rows * plan.inner), (columns * vectors, plan.inner * plan.vectors)],
        };
        [left, right].map(|(part, whole)| (part * repeats, whole * plan.repeats))
    }

    /// Elements of the product that a block finishes.
    pub fn block_results(&self, slice: &Slice) -> u64 {
        let plan = &self.plan;
        let repeats = (slice.rows[1] - slice.rows[0]).div_ceil(plan.row_tiles);
        let first = slice.rows[0] % plan.row_tiles;
        let last = (slice.rows[1] - 1) % plan.row_tiles + 1;
        let rows = (last * plan.tile_rows).min(plan.rows) - first * plan.tile_rows;
        let columns = if plan.sums_columns() {
            slice.vectors
        } else {
            (slice.columns[1] * plan.tile_columns).min(plan.inner) - slice.columns[0] * plan.tile_columns
        };
        rows * columns * repeats
    }
}

/// So many bytes of `bytes`, rounded up.
pub(crate) fn part(bytes: u64, (part, whole): (u64, u64)) -> u64 {
    // A part of a u64 is one.
    (u128::from(bytes) * u128::from(part)).div_ceil(u128::from(whole)) as u64
}

/// n, and n halved, rounded up, down to 1.
fn halves(n: u64) -> impl Iterator<Item = u64> {
    std::iter::successors((n > 0).then_some(n), |&n| (n > 1).then(|| n.div_ceil(2)))
}

/// What a product asks for.
struct Sizes {
    plan: Plan,
    units: u64,
    /// Row tiles, and whatever columns and depth are counted in.
    extents: [u64; 3],
    /// Bytes of the left operand for one row tile and one step of depth; of the right operand, one of columns and one of depth.
    step: [f64; 2],
    /// Bytes of sums of one row tile and one step of columns.
    sums: f64,
}

impl Sizes {
    fn new(plan: Plan, engine: &Engine, room: &Room) -> Self {
        let extents = if plan.sums_columns() {
            [plan.row_tiles, plan.vectors, plan.k_tiles]
        } else {
            [plan.row_tiles, plan.k_tiles, plan.vectors]
        };
        let repeats = plan.repeats as f64;
        let [rows, columns, depth] = extents.map(|extent| extent as f64);
        let step = [
            room.operands[0] as f64 / repeats / rows / depth,
            room.operands[1] as f64 / repeats / columns / depth,
        ];
        let folded = (room.results as f64 / (plan.results() as f64 * repeats)).min(1.0);
        let tile_rows = plan.rows.min(plan.tile_rows) as f64;
        let tile_columns = if plan.sums_columns() { 1 } else { plan.inner.min(plan.tile_columns) };
        let sums = 4.0 * tile_rows * tile_columns as f64 * folded;
        Self { plan, units: u64::from(engine.placement().units), extents, step, sums }
    }

    /// Row tiles of which the unit with most of them holds sums, of a block with so many.
    fn row_tiles_of_a_unit(&self, row_tiles: u64) -> u64 {
        let columns = if self.plan.sums_columns() { self.plan.k_tiles } else { 1 };
        row_tiles.min(row_tiles.saturating_mul(columns).div_ceil(self.units))
    }

    /// The most columns that the accumulators hold for so many row tiles.
    fn most_columns(&self, row_tiles: u64, room: &Room) -> u64 {
        let columns = room.accumulators as f64 / (self.sums * self.row_tiles_of_a_unit(row_tiles) as f64);
        // Saturates for what is larger than any product.
        columns as u64
    }

    fn nest(&self, [row_block, column_block]: [u64; 2], rows_outer: bool, room: &Room) -> Option<Nest> {
        let [rows, columns, depth] = self.extents;
        let counts = [rows.div_ceil(row_block), columns.div_ceil(column_block)];
        let depth_bytes = [self.step[0] * row_block as f64, self.step[1] * column_block as f64];
        let panels = depth_bytes.map(|bytes| bytes * depth as f64);
        let wholes = [panels[0] * counts[0] as f64, panels[1] * counts[1] as f64];
        let outer = [rows_outer, !rows_outer];
        let (mut held, mut most_depth) = ([false; 2], depth as f64);
        for operand in [0, 1] {
            if room.resident[operand] {
                continue;
            }
            let (working, slices) = (room.working[operand] as f64, room.prefetch as f64);
            // What is replaced by the next repeat's, or the next panel, must lie beside it.
            let stays = if self.plan.repeats > 1 { 2.0 * wholes[operand] } else { wholes[operand] };
            held[operand] = stays <= working || (outer[operand] && 2.0 * panels[operand] <= working);
            most_depth = most_depth.min(working / slices / depth_bytes[operand]);
        }
        let depth_block = self.depth_block(most_depth as u64)?;
        let depths = depth.div_ceil(depth_block);
        let single = counts == [1, 1] && depths == 1 && held == room.resident.map(|resident| !resident);
        let repeat_block = if single { self.repeat_block(column_block, panels, room) } else { 1 };
        let passes = [if held[0] { 1 } else { counts[1] }, if held[1] { 1 } else { counts[0] }];
        let fetched =
            [0, 1].map(|o| if room.resident[o] { 0 } else { room.operands[o].saturating_mul(passes[o]) });
        let traffic = fetched[0].saturating_add(fetched[1]);
        Some(Nest {
            plan: self.plan,
            row_block,
            column_block,
            depth_block,
            repeat_block,
            counts: [counts[0], counts[1], depths, self.plan.repeats.div_ceil(repeat_block)],
            rows_outer,
            held,
            estimate: traffic as f64 / room.bytes_per_tick,
            traffic,
        })
    }

    /// Column tiles in multiples of the units, so that a slice is shared evenly.
    fn depth_block(&self, most: u64) -> Option<u64> {
        match most {
            0 => None,
            most if self.plan.sums_columns() && most < self.extents[2] && most >= self.units => {
                Some(most / self.units * self.units)
            }
            most => Some(most.min(self.extents[2])),
        }
    }

    fn repeat_block(&self, columns: u64, panels: [f64; 2], room: &Room) -> u64 {
        let fits = |repeats: u64| {
            let operands = [0, 1].iter().all(|&o| {
                room.resident[o] || panels[o] * (repeats * room.prefetch) as f64 <= room.working[o] as f64
            });
            let tiles = if self.plan.sums_columns() { 1 } else { self.plan.k_tiles };
            let sums = self.sums * self.row_tiles_of_a_unit(self.plan.row_tiles * repeats * tiles) as f64;
            let columns = if self.plan.sums_columns() { columns } else { 1 };
            operands && sums * columns as f64 <= room.accumulators as f64
        };
        halves(self.plan.repeats).find(|&repeats| fits(repeats)).unwrap_or(1)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::chip::tests::entry;
    use proptest::prelude::*;

    proptest! {
        /// After any number of blocks, what is complete along an axis is what no later block reaches into.
        #[test]
        fn what_is_complete_is_what_no_later_block_adds_to(
            (m, k, n, repeats) in (1u64..300, 1u64..100, 1u64..300, 1u64..7),
            stationary in prop::sample::select(vec![Stationary::First, Stationary::Second, Stationary::Output]),
            (row_block, column_block, repeat_block) in (1u64..4, 1u64..60, 1u64..4),
            rows_outer in any::<bool>(),
        ) {
            let plan = Plan::new(&entry(m, k, n, repeats), stationary, 32, 16).unwrap();
            let sums = plan.sums_columns();
            let extent = if sums { plan.vectors } else { plan.k_tiles };
            let (rows, columns) = (plan.row_tiles.div_ceil(row_block), extent.div_ceil(column_block));
            // Repeats share a slice only where each is one.
            let repeat_block = if rows * columns == 1 { repeat_block } else { 1 };
            let nest = Nest {
                plan,
                row_block,
                column_block,
                depth_block: if sums { plan.k_tiles } else { plan.vectors },
                repeat_block,
                counts: [rows, columns, 1, repeats.div_ceil(repeat_block)],
                rows_outer,
                held: [false; 2],
                estimate: 0.0,
                traffic: 0,
            };
            let blocks: Vec<Slice> = (0..nest.blocks()).map(|block| nest.slice(block, &nest.no_room())).collect();
            for axis in [Axis::Columns, Axis::Repeats] {
                let ends: Vec<u64> = (0..nest.blocks()).map(|block| nest.reach(axis, block).0).collect();
                let starts: Vec<u64> = ends
                    .iter()
                    .map(|end| ends.iter().copied().filter(|other| other < end).max().unwrap_or(0))
                    .collect();
                for (block, slice) in blocks.iter().enumerate() {
                    let width = match (axis, stationary) {
                        (Axis::Repeats, _) => (slice.rows[1] - slice.rows[0]).div_ceil(plan.row_tiles),
                        (_, Stationary::First) => slice.vectors,
                        (_, Stationary::Output) => {
                            (slice.columns[1] * plan.tile_columns).min(plan.inner) - slice.columns[0] * plan.tile_columns
                        }
                        _ => {
                            let [from, to] = slice.rows.map(|row| row % plan.row_tiles);
                            let to = if to == 0 { plan.row_tiles } else { to };
                            (to * plan.tile_rows).min(plan.rows) - from * plan.tile_rows
                        }
                    };
                    prop_assert_eq!(ends[block] - starts[block], width);
                }
                for done in 0..=ends.len() {
                    let left = starts[done..].iter().copied().min();
                    let (part, whole) = nest.complete(axis, done as u64);
                    prop_assert_eq!(part, left.unwrap_or(whole), "{:?} {} of {:?}", axis, done, nest);
                }
            }
        }
    }
}
