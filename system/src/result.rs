//! What a simulation gives: a row for each layer and pass, and sums over networks.

use mirage_arithmetic::Pass;

use crate::energy::{ByComponent, Component};
use crate::plan::Stationary;

/// Where the time of the units went, in shares of units x duration; they sum to 1.
#[derive(Debug, Clone, Copy, Default, PartialEq)]
pub struct Breakdown {
    /// Streaming with every row and column in use: what counts.
    pub useful: f64,
    /// Streaming through rows and columns that the product does not fill.
    pub edges: f64,
    /// Streaming slowed by memory bandwidth.
    pub bandwidth: f64,
    /// Dark while phase shifters are programmed.
    pub programming: f64,
    /// Waiting for stationary operands.
    pub loading: f64,
    /// Streaming vectors again.
    pub repeats: f64,
    /// Holding a tile until its last products are checked.
    pub checking: f64,
    /// Waiting for the last sums of the product to leave the pipeline.
    pub draining: f64,
    /// Without a tile while other units still have one.
    pub imbalance: f64,
}

impl Breakdown {
    /// (name, share) of each part.
    #[must_use]
    pub fn parts(&self) -> [(&'static str, f64); 9] {
        [
            ("streaming", self.useful),
            ("edges", self.edges),
            ("bandwidth", self.bandwidth),
            ("programming", self.programming),
            ("loading", self.loading),
            ("repeats", self.repeats),
            ("checking", self.checking),
            ("draining", self.draining),
            ("imbalance", self.imbalance),
        ]
    }

    /// The name of the largest part; `streaming` means that the product runs at the speed of light.
    #[must_use]
    pub fn bottleneck(&self) -> &'static str {
        let parts = self.parts();
        parts.iter().fold(parts[0], |best, &part| if part.1 > best.1 { part } else { best }).0
    }
}

/// One layer and pass.
#[derive(Debug, Clone, PartialEq)]
pub struct LayerResult {
    /// Name of the network.
    pub network: String,
    /// Name of the layer.
    pub layer: String,
    /// Which of the three products.
    pub pass: Pass,
    /// Rows of the first operand.
    pub m: u64,
    /// Inner dimension.
    pub k: u64,
    /// Columns of the second operand.
    pub n: u64,
    /// How many products of this shape.
    pub repeats: u64,
    /// Which operand was stationary.
    pub stationary: Stationary,
    /// Tiles programmed.
    pub tiles: u64,
    /// Events simulated.
    pub events: u64,
    /// Multiply-accumulates done, counted tile by tile.
    pub macs: u64,
    /// Time in picoseconds, the tick of the simulation.
    pub picoseconds: u64,
    /// Time in seconds.
    pub seconds: f64,
    /// Multiply-accumulates over what the peak would do in that time.
    pub utilisation: f64,
    /// Energy in joules, by component in the order of [`Component::ALL`].
    pub energy: ByComponent,
    /// Where the time went.
    pub breakdown: Breakdown,
    /// Dot products of groups: residues read are these times the number of moduli.
    pub reads: u64,
    /// Repeated reads, drawn.
    pub repeated: u64,
    /// Repeated reads, expected.
    pub repeated_expected: f64,
    /// Bytes of operands in groups and FP32 results; what does not fit into the SRAM would go off the chip, which is not
    /// modelled. An upper bound for convolutions: an activation is counted in every window that it is part of.
    pub working_set: f64,
}

impl LayerResult {
    /// Total energy in joules.
    #[must_use]
    pub fn joules(&self) -> f64 {
        self.energy.iter().sum()
    }

    /// The largest part of the time.
    #[must_use]
    pub fn bottleneck(&self) -> &'static str {
        self.breakdown.bottleneck()
    }
}

/// The sum over all products of a network.
#[derive(Debug, Clone, PartialEq)]
pub struct NetworkResult {
    /// Name of the network.
    pub network: String,
    /// Products summed.
    pub products: u64,
    /// Tiles programmed.
    pub tiles: u64,
    /// Events simulated.
    pub events: u64,
    /// Multiply-accumulates.
    pub macs: u64,
    /// Time in seconds.
    pub seconds: f64,
    /// Multiply-accumulates over what the peak would do in that time.
    pub utilisation: f64,
    /// Energy in joules, by component in the order of [`Component::ALL`].
    pub energy: ByComponent,
    /// Where the time went.
    pub breakdown: Breakdown,
    /// Dot products of groups.
    pub reads: u64,
    /// Repeated reads, drawn.
    pub repeated: u64,
    /// Repeated reads, expected.
    pub repeated_expected: f64,
    /// The largest working set of a product, in bytes.
    pub working_set: f64,
}

impl NetworkResult {
    /// Total energy in joules.
    #[must_use]
    pub fn joules(&self) -> f64 {
        self.energy.iter().sum()
    }

    /// Mean power in watts; 0 if nothing was done.
    #[must_use]
    pub fn watts(&self) -> f64 {
        if self.seconds > 0.0 { self.joules() / self.seconds } else { 0.0 }
    }

    /// Energy of one multiply-accumulate in joules; 0 if nothing was done.
    #[must_use]
    pub fn joules_per_mac(&self) -> f64 {
        if self.macs > 0 { self.joules() / self.macs as f64 } else { 0.0 }
    }

    /// Energy of one component in joules.
    #[must_use]
    pub fn energy_of(&self, component: Component) -> f64 {
        self.energy[component as usize]
    }
}

/// Sums the layers of each network; networks in the order of their first layer.
#[must_use]
pub fn summarise(layers: &[LayerResult]) -> Vec<NetworkResult> {
    let mut networks: Vec<NetworkResult> = Vec::new();
    for layer in layers {
        let index = networks.iter().position(|network| network.network == layer.network);
        let index = index.unwrap_or_else(|| {
            networks.push(empty(&layer.network));
            networks.len() - 1
        });
        add(&mut networks[index], layer);
    }
    networks
}

fn empty(name: &str) -> NetworkResult {
    NetworkResult {
        network: name.to_owned(),
        products: 0,
        tiles: 0,
        events: 0,
        macs: 0,
        seconds: 0.0,
        utilisation: 0.0,
        energy: [0.0; Component::COUNT],
        breakdown: Breakdown::default(),
        reads: 0,
        repeated: 0,
        repeated_expected: 0.0,
        working_set: 0.0,
    }
}

fn add(sum: &mut NetworkResult, layer: &LayerResult) {
    let seconds = sum.seconds + layer.seconds;
    // Shares are weighted by time.
    let (old, new) =
        if seconds > 0.0 { (sum.seconds / seconds, layer.seconds / seconds) } else { (0.0, 0.0) };
    let mix = |a: f64, b: f64| a * old + b * new;
    let (a, b) = (sum.breakdown, layer.breakdown);
    sum.breakdown = Breakdown {
        useful: mix(a.useful, b.useful),
        edges: mix(a.edges, b.edges),
        bandwidth: mix(a.bandwidth, b.bandwidth),
        programming: mix(a.programming, b.programming),
        loading: mix(a.loading, b.loading),
        repeats: mix(a.repeats, b.repeats),
        checking: mix(a.checking, b.checking),
        draining: mix(a.draining, b.draining),
        imbalance: mix(a.imbalance, b.imbalance),
    };
    sum.utilisation = mix(sum.utilisation, layer.utilisation);
    sum.seconds = seconds;
    sum.products = sum.products.saturating_add(layer.repeats);
    sum.tiles += layer.tiles;
    sum.events += layer.events;
    sum.macs = sum.macs.saturating_add(layer.macs);
    for (total, joules) in sum.energy.iter_mut().zip(layer.energy) {
        *total += joules;
    }
    sum.reads = sum.reads.saturating_add(layer.reads);
    sum.repeated = sum.repeated.saturating_add(layer.repeated);
    sum.repeated_expected += layer.repeated_expected;
    sum.working_set = sum.working_set.max(layer.working_set);
}
