//! The `[system]` section of a design file.

use mirage_arithmetic::BfpFormat;
use mirage_design::{Capacity, DataRate, DesignError, Energy, Frequency, Power, Time, Value};
use serde::Deserialize;

use crate::energy::scaled_adc;

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
    /// For each layer and pass the one that is faster by the closed form.
    #[serde(rename = "OPT2")]
    Best,
}

/// Where the first tile of a product is when the product begins.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum FirstTile {
    /// In the operand buffers: loaded during the product before.
    Prefetched,
    /// In the SRAM.
    Cold,
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
    /// Where the first tiles come from.
    pub first_tile: Value<FirstTile>,
    /// Width of the exponent that a group shares.
    pub exponent_bits: Value<u32>,
    /// Memories.
    pub sram: Sram,
    /// Converters between light and numbers.
    pub converters: Converters,
    /// Switches of the streaming operand.
    pub rings: Rings,
    /// Digital logic.
    pub logic: Logic,
}

/// On-chip memories.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Sram {
    /// Bytes.
    pub capacity: Value<Capacity>,
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
    /// Checks what the types cannot.
    ///
    /// # Errors
    /// [`DesignError`] at the value that is out of range.
    pub fn check(&self) -> Result<(), DesignError> {
        within(&self.units, 1, 1 << 16)?;
        within(&self.rows, 1, 1 << 16)?;
        within(&self.exponent_bits, 1, 16)?;
        if *self.batch.get() == 0 {
            return Err(self.batch.invalid("must be at least 1"));
        }
        for rate in [&self.clock, &self.converters.adc_rate, &self.converters.tx_rate] {
            if !(1.0..=1e12).contains(&rate.si()) {
                return Err(rate.invalid("must lie between 1 Hz and 1 THz"));
            }
        }
        if self.clock.si().fract() != 0.0 {
            return Err(self.clock.invalid("must be a whole number of hertz"));
        }
        for time in [&self.program_time, &self.pipeline_latency, &self.check_latency] {
            if time.si() > 1.0 {
                return Err(time.invalid("must be at most 1 s"));
            }
        }
        if self.check_latency.si() > self.pipeline_latency.si() {
            return Err(self
                .check_latency
                .invalid("must not be longer than the pipeline latency, of which it is a part"));
        }
        let sram = &self.sram;
        for bandwidth in [&sram.load_bandwidth, &sram.stream_bandwidth, &sram.accumulate_bandwidth] {
            if bandwidth.si() < 1.0 {
                return Err(bandwidth.invalid("must be at least 1 B/s, or nothing ever arrives"));
            }
        }
        Ok(())
    }

    /// [`System::check`], and that the SRAM holds two tiles of this format for each unit: the one that is
    /// worked on and the one that is loaded meanwhile.
    ///
    /// # Errors
    /// [`DesignError`] at the value that is out of range.
    pub fn check_for(&self, format: BfpFormat) -> Result<(), DesignError> {
        self.check()?;
        let tiles = 2 * u64::from(*self.units.get()) * u64::from(*self.rows.get());
        let bytes = tiles as f64 * self.group_bytes(format, format.group as u64) as f64;
        if self.sram.capacity.si() < bytes {
            let reason = format!("cannot hold two tiles for each unit, which take {bytes} B");
            return Err(self.sram.capacity.invalid(reason));
        }
        Ok(())
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

fn within(value: &Value<u32>, smallest: u32, largest: u32) -> Result<(), DesignError> {
    if (smallest..=largest).contains(value.get()) {
        return Ok(());
    }
    Err(value.invalid(format!("must lie between {smallest} and {largest}")))
}

/// The section of the default design, for tests and examples.
pub const DEFAULT_SECTION: &str = include_str!("../../data/designs/parts/system.toml");

#[cfg(test)]
mod tests {
    use super::*;
    use mirage_design::{Document, parse_section};

    fn check(text: &str) -> Result<System, DesignError> {
        let document = Document::new(text, "d.toml")?;
        let system: System = document.section("system")?;
        system.check().map_err(|error| document.locate(error))?;
        Ok(system)
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
