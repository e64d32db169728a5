//! The `[system]` section of a design file.

use mirage_arithmetic::BfpFormat;
use mirage_design::{Capacity, DataRate, Energy, Frequency, Power, Ratio, Time, Value};
use serde::Deserialize;

use crate::area::AreaSection;
use crate::baselines::Baselines;
use crate::energy::scaled_adc;

mod check;

/// What a unit does while its phase shifters are programmed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Programming {
    /// Nothing: programming and streaming take turns.
    Blocking,
    /// It streams: shadow registers take the next tile.
    Shadow,
}

/// Whether a unit waits for the check of its last products before it is reprogrammed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Hold {
    /// It waits for the check latency, if products are read again at all.
    UntilChecked,
    /// It does not.
    None,
}

/// What a repeated product stalls.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Stall {
    /// The unit: the vector is streamed through all rows again.
    Unit,
    /// Its row: the tile ends when the row with most repeats has caught up.
    Row,
}

/// Which operand is stationary.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
pub enum Dataflow {
    /// The first operand.
    #[serde(rename = "DF1")]
    First,
    /// The second operand.
    #[serde(rename = "DF2")]
    Second,
    /// The output; arrays of multipliers with a sum of their own only.
    #[serde(rename = "DF3")]
    Output,
    /// For each pass, over the whole network, the one that is faster by the closed form.
    #[serde(rename = "OPT1")]
    BestOfPass,
    /// For each layer and pass the one that is faster by the closed form.
    #[serde(rename = "OPT2")]
    Best,
}

/// How vectors lie over the banks of a partition.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Interleave {
    /// Neighbouring vectors of a group in neighbouring banks: streams out of step share all banks, and only their number is limited.
    Vector,
    /// All vectors of a group in one bank: streams of groups that share a bank wait for its ports.
    Group,
}

/// Whether sweeps of the vector unit that follow one another are done in one.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Fusion {
    /// An operation on the elements of what the one before wrote is done in the same sweep.
    Chains,
    /// Every operation reads from memory and writes to it.
    None,
}

/// Whether an operation works on samples while the one before it is still at others.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Pipelining {
    /// Where each sample needs itself only, it begins when the first samples are there.
    Samples,
    /// It waits for whole tensors.
    None,
}

/// How the published power of an ADC is charged.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum AdcModel {
    /// In proportion to the sampling rate.
    ScaledToClock,
    /// As it stands.
    AsPublished,
}

/// How the published power of a DAC and driver is charged.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum TxModel {
    /// Power / rate for each value written.
    PerSample,
    /// Power x programming time for each value written.
    WhileProgramming,
    /// One for each phase-shifter cascade, on at all times.
    AlwaysOn,
}

/// The chip around the photonic units.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct System {
    /// RNS-MMVMUs.
    pub units: Value<u32>,
    /// Rows (MDPUs) of each.
    pub rows: Value<u32>,
    /// Photonic clock, Hz: vectors a second.
    pub clock: Value<Frequency>,
    /// Samples of a training step.
    pub batch: Value<u64>,
    /// Time to program a stationary tile, s.
    pub program_time: Value<Time>,
    /// What a unit does meanwhile.
    pub programming: Value<Programming>,
    /// From the last vector to the last accumulated sum, s.
    pub pipeline_latency: Value<Time>,
    /// From a vector to the check of its products, s.
    pub check_latency: Value<Time>,
    /// Whether tiles stay until that check.
    pub hold: Value<Hold>,
    /// What a repeat stalls.
    pub stall: Value<Stall>,
    /// Which operand is stationary.
    pub dataflow: Value<Dataflow>,
    /// Width of the exponent that a group shares.
    pub exponent_bits: Value<u32>,
    /// Numbers of the units that are out of use, mapped out for their errors.
    pub units_out: Value<Vec<u32>>,
    /// Memories.
    pub sram: Sram,
    /// Converters between light and numbers.
    pub converters: Converters,
    /// Switches of the streaming operand.
    pub rings: Rings,
    /// Digital logic.
    pub logic: Logic,
    /// What issues operations and keeps operands coming.
    pub controller: Controller,
    /// Off-chip memory.
    pub memory: Memory,
    /// The vector unit.
    pub vector: VectorUnit,
    /// The unit that updates parameters.
    pub optimiser: VectorUnit,
    /// Links to other chips.
    pub links: Links,
    /// Calibration during the run.
    pub recalibration: Recalibration,
    /// What parts take of the chip.
    pub area: AreaSection,
    /// Systolic arrays to compare with.
    pub baselines: Baselines,
}

/// What issues operations and keeps operands coming.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Controller {
    /// Matrix products that are worked on or prepared at a time.
    pub open_products: Value<u32>,
    /// Slices of operands that are loaded or worked on, for each open product; 2 is double buffering.
    pub prefetch: Value<u32>,
    /// Finished blocks of results that wait to be written off the chip.
    pub output_queue: Value<u32>,
    /// From an operation's last operand to its start, s.
    pub issue_time: Value<Time>,
    /// What the vector unit does in one sweep.
    pub fusion: Value<Fusion>,
    /// How long an operation waits for the one before it.
    pub pipelining: Value<Pipelining>,
}

/// Off-chip memory.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Memory {
    /// Channels, each with its own queue.
    pub channels: Value<u32>,
    /// Of one channel, B/s.
    pub bandwidth: Value<DataRate>,
    /// From a request to its last byte, beside the time on the channel, s.
    pub latency: Value<Time>,
    /// The smallest transfer: a part of a burst takes a whole one.
    pub burst: Value<Capacity>,
    /// What the DMA asks for at a time, an event each.
    pub block: Value<Capacity>,
    /// Blocks that wait or travel in one channel.
    pub queue: Value<u32>,
    /// J per byte read or written.
    pub energy_per_byte: Value<Energy>,
    /// Of the whole memory while it is on, W.
    pub background_power: Value<Power>,
}

/// Lanes that work on FP32 numbers.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct VectorUnit {
    /// Lanes: operations of one cycle.
    pub lanes: Value<u32>,
    /// Its clock, Hz.
    pub clock: Value<Frequency>,
    /// To and from the SRAM, B/s.
    pub bandwidth: Value<DataRate>,
    /// Pieces of operands that wait for it, and of results that leave it.
    pub staging: Value<u32>,
    /// J per operation.
    pub energy_per_operation: Value<Energy>,
}

/// Links to other chips of a ring.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Links {
    /// To the next chip, B/s.
    pub bandwidth: Value<DataRate>,
    /// From the first byte sent to the first received, s.
    pub latency: Value<Time>,
    /// J per byte sent.
    pub energy_per_byte: Value<Energy>,
}

/// Calibration during the run.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Recalibration {
    /// From one calibration of a unit to the next, s; 0 is never.
    pub period: Value<Time>,
    /// How long a unit pauses for it, s.
    pub duration: Value<Time>,
    /// What a unit that is calibrated takes beside its standing power, W.
    pub power: Value<Power>,
}

/// On-chip memories.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Sram {
    /// Bytes; the partitions below share it.
    pub capacity: Value<Capacity>,
    /// For parameters.
    pub weights: Value<Capacity>,
    /// For outputs of layers and the data.
    pub activations: Value<Capacity>,
    /// For gradients.
    pub gradients: Value<Capacity>,
    /// For partial sums; each unit has its part.
    pub accumulators: Value<Capacity>,
    /// Share of each of the first three for operands on their way to the units; the rest holds tensors that stay.
    pub working: Value<Ratio>,
    /// Banks of each of the first three.
    pub banks: Value<u32>,
    /// Streams that a bank can serve at a time.
    pub ports: Value<u32>,
    /// How vectors lie over the banks.
    pub interleave: Value<Interleave>,
    /// Of the port of each partition to and from off-chip memory, B/s.
    pub dma_bandwidth: Value<DataRate>,
    /// At which finished sums are joined over the units, brought into groups and stored, B/s of FP32.
    pub drain_bandwidth: Value<DataRate>,
    /// Of the one port that loads stationary tiles, B/s.
    pub load_bandwidth: Value<DataRate>,
    /// Of the streaming operand, B/s for each unit.
    pub stream_bandwidth: Value<DataRate>,
    /// Of the partial sums, reads and writes, B/s for each unit.
    pub accumulate_bandwidth: Value<DataRate>,
    /// J per byte read or written.
    pub energy_per_byte: Value<Energy>,
    /// J per byte of the memories that hold partial sums.
    pub accumulator_energy_per_byte: Value<Energy>,
    /// Of all memories, W.
    pub leakage: Value<Power>,
}

/// Converters.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Converters {
    /// Of one ADC, W.
    pub adc_power: Value<Power>,
    /// Sampling rate at which it takes that, Hz.
    pub adc_rate: Value<Frequency>,
    /// How it is charged.
    pub adc_model: Value<AdcModel>,
    /// Of one transimpedance amplifier, W.
    pub tia_power: Value<Power>,
    /// Of one DAC and driver, W.
    pub tx_power: Value<Power>,
    /// Conversions a second at which it takes that, Hz.
    pub tx_rate: Value<Frequency>,
    /// How it is charged.
    pub tx_model: Value<TxModel>,
}

/// Ring switches.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Rings {
    /// J per ring and vector.
    pub drive_energy: Value<Energy>,
    /// W per ring.
    pub tuning_power: Value<Power>,
}

/// Digital logic.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Logic {
    /// J per value brought into block floating point.
    pub quantise_energy: Value<Energy>,
    /// J per value brought into residues.
    pub forward_energy: Value<Energy>,
    /// J per dot product brought back from residues and checked.
    pub reverse_energy: Value<Energy>,
    /// J per dot product added to its FP32 sum.
    pub accumulate_energy: Value<Energy>,
    /// W.
    pub leakage: Value<Power>,
}

impl System {
    /// Units that take tiles.
    #[must_use]
    pub fn units_in_use(&self) -> u32 {
        // Checked: no number twice, none too large, not all.
        self.units.get() - self.units_out.get().len() as u32
    }

    /// Bytes of a group of `values`: sign and mantissa each, and the exponent.
    pub(crate) fn group_bytes(&self, format: BfpFormat, values: u64) -> u64 {
        let values = values.saturating_mul(1 + u64::from(format.mantissa_bits));
        values.saturating_add(u64::from(*self.exponent_bits.get())).div_ceil(8)
    }

    /// Sentences that a reader of results should see: what in this design is known to be doubtful.
    #[must_use]
    pub fn warnings(&self) -> Vec<String> {
        let mut warnings = Vec::new();
        let converters = &self.converters;
        let milliwatts = |watts: f64| format!("{:.3} mW", watts * 1e3);
        if *converters.adc_model.get() == AdcModel::AsPublished {
            warnings.push(format!(
                "Each ADC is charged {} as published at {:.3} GS/s; in proportion to the clock it would be {}.",
                milliwatts(converters.adc_power.si()),
                converters.adc_rate.si() * 1e-9,
                milliwatts(scaled_adc(self)),
            ));
        }
        let when = match converters.tx_model.get() {
            TxModel::PerSample => return warnings,
            TxModel::WhileProgramming => "while it is programmed",
            TxModel::AlwaysOn => "all the time",
        };
        warnings.push(format!(
            "Every phase-shifter cascade is given a DAC and driver of its own, which takes {} {when}; shared converters \
             would take {:.3} pJ for each value written.",
            milliwatts(converters.tx_power.si()),
            converters.tx_power.si() / converters.tx_rate.si() * 1e12,
        ));
        warnings
    }
}

/// The section of the default design, for tests and examples.
pub const DEFAULT_SECTION: &str = include_str!("../../data/designs/parts/system.toml");

#[cfg(test)]
pub(crate) mod tests {
    use super::*;
    use mirage_design::{DesignError, Document, parse_section};

    fn check(text: &str) -> Result<System, DesignError> {
        let document = Document::new(text, "d.toml")?;
        let system: System = document.section("system")?;
        system.check().map_err(|error| document.locate(error))?;
        Ok(system)
    }

    /// The default section.
    pub(crate) fn system() -> System {
        parse_section(DEFAULT_SECTION, "system.toml", "system").unwrap()
    }

    #[test]
    fn the_default_section_is_sound_and_every_number_has_a_source() {
        let system: System = parse_section(DEFAULT_SECTION, "system.toml", "system").unwrap();
        system.check().unwrap();
        assert!(system.warnings().is_empty());
        for line in DEFAULT_SECTION.lines().filter(|line| line.contains('=') && !line.starts_with('#')) {
            assert!(line.contains("source = \"") && line.contains("mark = \""), "{line}");
        }
    }

    #[test]
    fn what_is_wrong_is_said_where_it_stands() {
        let cases = [
            ("value = 8,", "value = 0,", "must lie between 1 and 65536"),
            ("value = \"10 GHz\", mark = \"S\"", "value = \"0 Hz\", mark = \"S\"", "must lie between 1 Hz"),
            ("value = \"1.024 TB/s\"", "value = \"0 B/s\"", "nothing ever arrives"),
            ("value = \"3 ns\"", "value = \"11 ns\"", "must not be longer than the pipeline latency"),
            ("value = 256,", "value = 0,", "must be at least 1"),
            ("value = \"DF1\"", "value = \"DF9\"", "DF9"),
            ("load_bandwidth ", "load_bandwith ", "load_bandwith"),
        ];
        for (from, to, expected) in cases {
            let text = DEFAULT_SECTION.replacen(from, to, 1);
            assert_ne!(text, DEFAULT_SECTION, "{from}");
            let error = check(&text).unwrap_err();
            assert!(error.to_string().contains(expected), "{error}");
            let line = text.lines().position(|line| line.contains(to)).map(|index| index + 1);
            assert_eq!(error.line(), line, "{error}");
        }
    }
}
