//! Systolic arrays to compare the chip with: what a multiplier costs in each number format, and how many of them are fair.
//!
//! | rule | the arrays have as many multipliers as |
//! |---|---|
//! | iso-energy | take the same energy in a cycle as all the chip's multiply-accumulates in one of its cycles |
//! | iso-area | fill the chip's area |
//!
//! Energy and area of a multiplier are the published ones of each side (`basis = "published"`), or the chip's are those of this
//! design, bottom-up. The multipliers are laid out as arrays of the size of the chip's units, as many as the rule allows; where
//! it allows less than one, one smaller array of the same proportions. The count is rounded down, so that an array never has
//! more than the rule gives.

use mirage_design::{Area, DesignError, Energy, Frequency, Value};
use serde::Deserialize;

use crate::design::{Dataflow, Programming};

/// Whose energy and area of a multiply-accumulate the chip is taken to have in the rules.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Basis {
    /// The published ones.
    Published,
    /// Those of this design.
    BottomUp,
}

/// The section `[system.baselines]`.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Baselines {
    /// Which energy and area the rules take.
    pub basis: Value<Basis>,
    /// Published energy of the chip's multiply-accumulate, J.
    pub mirage_energy_per_mac: Value<Energy>,
    /// Published area of the chip, m2.
    pub mirage_area: Value<Area>,
    /// Rows and columns of an array (of the results and of the inner dimension, where an operand is stationary).
    pub rows: Value<u32>,
    /// See `rows`.
    pub columns: Value<u32>,
    /// What is stationary.
    pub dataflow: Value<Dataflow>,
    /// Whether an array stands still while it is filled.
    pub fill: Value<Programming>,
    /// Single precision.
    pub fp32: ArrayFormat,
    /// bfloat16.
    pub bfloat16: ArrayFormat,
    /// Hybrid 8-bit floats.
    pub hfp8: ArrayFormat,
    /// 12-bit integers.
    pub int12: ArrayFormat,
    /// 8-bit integers.
    pub int8: ArrayFormat,
    /// Block floating point of FAST.
    pub fmac: ArrayFormat,
}

/// A multiplier of one format.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ArrayFormat {
    /// Energy of a multiply-accumulate, J.
    pub energy_per_mac: Value<Energy>,
    /// Area of a multiplier with its adder, m2.
    pub area_per_mac: Value<Area>,
    /// Clock, Hz.
    pub clock: Value<Frequency>,
    /// Bits of an operand in memory, its part of a shared exponent included.
    pub operand_bits: Value<f64>,
}

/// The formats, from the widest.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Format {
    /// Single precision.
    Fp32,
    /// bfloat16.
    Bfloat16,
    /// Hybrid 8-bit floats.
    Hfp8,
    /// 12-bit integers.
    Int12,
    /// 8-bit integers.
    Int8,
    /// Block floating point of FAST.
    Fmac,
}

impl Format {
    /// All formats.
    pub const ALL: [Self; 6] = [Self::Fp32, Self::Bfloat16, Self::Hfp8, Self::Int12, Self::Int8, Self::Fmac];

    /// The name in tables.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::Fp32 => "FP32",
            Self::Bfloat16 => "bfloat16",
            Self::Hfp8 => "HFP8",
            Self::Int12 => "INT12",
            Self::Int8 => "INT8",
            Self::Fmac => "FMAC",
        }
    }

    /// Its key below `[system.baselines]`.
    #[must_use]
    pub fn key(self) -> &'static str {
        match self {
            Self::Fp32 => "fp32",
            Self::Bfloat16 => "bfloat16",
            Self::Hfp8 => "hfp8",
            Self::Int12 => "int12",
            Self::Int8 => "int8",
            Self::Fmac => "fmac",
        }
    }
}

/// What is held equal.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Rule {
    /// Energy of a cycle.
    IsoEnergy,
    /// Area.
    IsoArea,
}

impl Rule {
    /// Both rules.
    pub const ALL: [Self; 2] = [Self::IsoEnergy, Self::IsoArea];

    /// The name in tables.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::IsoEnergy => "iso-energy",
            Self::IsoArea => "iso-area",
        }
    }
}

/// What the rules need of the chip.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Reference {
    /// Multiply-accumulates of a cycle, all units in use.
    pub slots: u64,
    /// Energy of one, J.
    pub energy_per_mac: f64,
    /// Area of the chip, m2.
    pub area: f64,
}

/// Arrays of one size.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct Arrays {
    /// How many.
    pub units: u32,
    /// Rows of each.
    pub rows: u32,
    /// Columns of each.
    pub columns: u32,
}

impl Arrays {
    /// At most so many multipliers, in arrays of this size, or in one smaller array of the same proportions; `None` for less
    /// than one multiplier.
    #[must_use]
    pub fn of(multipliers: f64, rows: u32, columns: u32) -> Option<Self> {
        if multipliers.is_nan() || multipliers < 1.0 {
            return None;
        }
        // No rule comes near it.
        let multipliers = multipliers.min(1e12);
        let each = f64::from(rows) * f64::from(columns);
        let units = (multipliers / each).floor();
        if units >= 1.0 {
            let units = units.min(f64::from(u32::MAX));
            // What is left over makes the arrays wider, where a whole column fits into each.
            let wider = (multipliers / (units * f64::from(rows))).floor().min(2.0 * f64::from(columns));
            return Some(Self { units: units as u32, rows, columns: (wider as u32).max(columns) });
        }
        let scale = (multipliers / each).sqrt();
        let rows = ((f64::from(rows) * scale).floor()).max(1.0);
        let columns = (multipliers / rows).floor().max(1.0);
        Some(Self { units: 1, rows: rows as u32, columns: columns as u32 })
    }

    /// Multipliers of all arrays.
    #[must_use]
    pub fn multipliers(&self) -> u64 {
        u64::from(self.units) * u64::from(self.rows) * u64::from(self.columns)
    }
}

impl Baselines {
    /// The numbers of a format.
    #[must_use]
    pub fn format(&self, format: Format) -> &ArrayFormat {
        match format {
            Format::Fp32 => &self.fp32,
            Format::Bfloat16 => &self.bfloat16,
            Format::Hfp8 => &self.hfp8,
            Format::Int12 => &self.int12,
            Format::Int8 => &self.int8,
            Format::Fmac => &self.fmac,
        }
    }

    /// How many multipliers a rule gives a format; not rounded.
    #[must_use]
    pub fn multipliers(&self, format: Format, rule: Rule, chip: &Reference) -> f64 {
        let numbers = self.format(format);
        match rule {
            Rule::IsoEnergy => chip.slots as f64 * chip.energy_per_mac / numbers.energy_per_mac.si(),
            Rule::IsoArea => chip.area / numbers.area_per_mac.si(),
        }
    }

    /// Checks what the types cannot.
    ///
    /// # Errors
    /// [`DesignError`] at the value that is out of range.
    pub fn check(&self) -> Result<(), DesignError> {
        self.rows.within(1, 1 << 16)?;
        self.columns.within(1, 1 << 16)?;
        for energy in
            [&self.mirage_energy_per_mac].into_iter().chain(self.formats().map(|f| &f.energy_per_mac))
        {
            if !(1e-18..=1e-6).contains(&energy.si()) {
                return Err(energy.invalid("must lie between 1 aJ and 1 uJ"));
            }
        }
        for area in [&self.mirage_area].into_iter().chain(self.formats().map(|f| &f.area_per_mac)) {
            if !(1e-15..=1.0).contains(&area.si()) {
                return Err(area.invalid("must lie between 0.001 um2 and 1 m2"));
            }
        }
        for numbers in self.formats() {
            if !(1e6..=1e12).contains(&numbers.clock.si()) || numbers.clock.si().fract() != 0.0 {
                return Err(numbers.clock.invalid("must be a whole number of hertz from 1 MHz to 1 THz"));
            }
            if !(1.0..=64.0).contains(numbers.operand_bits.get()) {
                return Err(numbers.operand_bits.invalid("must lie between 1 and 64"));
            }
        }
        Ok(())
    }

    fn formats(&self) -> impl Iterator<Item = &ArrayFormat> {
        Format::ALL.into_iter().map(|format| self.format(format))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::design::tests::system;

    /// The ratios that the published numbers give: 33.8 x the peak of an INT12 array at equal energy, 40 x its power less at
    /// equal area.
    #[test]
    fn rules_give_the_known_ratios_of_peaks() {
        let baselines = system().baselines;
        let chip = Reference { slots: 4096, energy_per_mac: 0.21e-12, area: 476.6e-6 };
        let count = baselines.multipliers(Format::Int12, Rule::IsoEnergy, &chip);
        let peak = 4096.0 * 10e9 / (count * baselines.int12.clock.si());
        assert!((peak / 33.8 - 1.0).abs() < 2e-3, "{peak}");
        let count = baselines.multipliers(Format::Int12, Rule::IsoArea, &chip);
        let power = count * 0.71e-12 * 1e9 / (4096.0 * 10e9 * 0.21e-12);
        assert!((power / 40.0 - 1.0).abs() < 0.01, "{power}");
    }

    #[test]
    fn arrays_never_have_more_multipliers_than_given() {
        for count in [1.0, 2.5, 69.3, 511.9, 512.0, 700.0, 1211.5, 4095.0, 1_162_439.0] {
            let arrays = Arrays::of(count, 32, 16).unwrap();
            let made = arrays.multipliers() as f64;
            assert!(made <= count && made > 0.6 * count, "{count}: {arrays:?}");
        }
        assert_eq!(Arrays::of(69.3, 32, 16), Some(Arrays { units: 1, rows: 11, columns: 6 }));
        assert_eq!(Arrays::of(1211.5, 32, 16), Some(Arrays { units: 2, rows: 32, columns: 18 }));
        assert_eq!(Arrays::of(0.9, 32, 16), None);
        assert_eq!(Arrays::of(f64::NAN, 32, 16), None);
    }
}
