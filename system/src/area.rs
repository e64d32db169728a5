//! The area of the chip, part by part, bottom-up.

use mirage_design::{Area, Capacity, DesignError, Value};
use serde::Deserialize;

use crate::design::{System, TxModel};
use crate::energy::Parts;

/// The section `[system.area]`: what each part takes.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct AreaSection {
    /// One transimpedance amplifier, m2.
    pub amplifier: Value<Area>,
    /// One ADC, m2.
    pub adc: Value<Area>,
    /// One DAC with its driver, m2.
    pub transmitter: Value<Area>,
    /// SRAM, m2 for each `sram_block` of it.
    pub sram: Value<Area>,
    /// What `sram` is the area of, bytes.
    pub sram_block: Value<Capacity>,
    /// Logic that brings one value into residues, m2.
    pub forward_converter: Value<Area>,
    /// Logic that brings one dot product back, m2.
    pub reverse_converter: Value<Area>,
    /// One FP32 adder of partial sums, m2.
    pub accumulator: Value<Area>,
    /// Digital copies of each converter and accumulator, that take turns at the photonic clock.
    pub interleave: Value<u32>,
    /// One lane of the vector unit and of the optimiser, m2.
    pub vector_lane: Value<Area>,
}

/// Which of the two stacked chips a part is on.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Die {
    /// The photonic one.
    Photonic,
    /// The electronic one.
    Electronic,
}

impl Die {
    /// The name in tables.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::Photonic => "photonic",
            Self::Electronic => "electronic",
        }
    }
}

/// The area of one kind of part.
#[derive(Debug, Clone, PartialEq)]
pub struct AreaItem {
    /// The part.
    pub component: &'static str,
    /// Where it is.
    pub die: Die,
    /// How many.
    pub count: f64,
    /// Area of each, m2.
    pub each: f64,
    /// The key of the design that says so.
    pub key: &'static str,
}

impl AreaItem {
    /// Area of all, m2.
    #[must_use]
    pub fn area(&self) -> f64 {
        self.count * self.each
    }
}

impl AreaSection {
    /// Checks what the types cannot.
    ///
    /// # Errors
    /// [`DesignError`] at the value that is out of range.
    pub fn check(&self) -> Result<(), DesignError> {
        if !(1.0..=1e15).contains(&self.sram_block.si()) {
            return Err(self.sram_block.invalid("must lie between 1 B and 1 PB"));
        }
        self.interleave.within(1, 1 << 16)
    }
}

/// The parts of a chip whose photonic units take `photonic` m2 together (the one who knows the circuit says so), with groups
/// of `columns` values. Not counted: routing between parts, the controller, pads, lasers (off the chip).
#[must_use]
pub fn areas(system: &System, parts: &Parts, columns: usize, photonic: f64) -> Vec<AreaItem> {
    let section = &system.area;
    let item = |component, die, count: f64, each: &Value<Area>, key| AreaItem {
        component,
        die,
        count,
        each: each.si(),
        key,
    };
    let electronic = |component, count: f64, each, key| item(component, Die::Electronic, count, each, key);
    let (units, rows) = (f64::from(*system.units.get()), f64::from(*system.rows.get()));
    let turns = f64::from(*section.interleave.get());
    // DACs that serve many shifters write all of a unit's values in the programming time.
    let transmitters = match system.converters.tx_model.get() {
        TxModel::PerSample => {
            let each = (system.program_time.si() * system.converters.tx_rate.si()).floor().max(1.0);
            units * (parts.multipliers as f64 / units / each).ceil()
        }
        TxModel::WhileProgramming | TxModel::AlwaysOn => parts.multipliers as f64,
    };
    let blocks = system.sram.capacity.si() / section.sram_block.si();
    let photonic = AreaItem {
        component: "photonic units",
        die: Die::Photonic,
        count: units,
        each: photonic / units,
        key: "devices.variation",
    };
    vec![
        photonic,
        electronic("phase-shifter DACs", transmitters, &section.transmitter, "system.area.transmitter"),
        electronic("TIAs", parts.amplifiers as f64, &section.amplifier, "system.area.amplifier"),
        electronic("ADCs", parts.adcs as f64, &section.adc, "system.area.adc"),
        electronic(
            "forward conversion",
            units * columns as f64 * turns,
            &section.forward_converter,
            "system.area.forward_converter",
        ),
        electronic(
            "reverse conversion",
            units * rows * turns,
            &section.reverse_converter,
            "system.area.reverse_converter",
        ),
        electronic(
            "FP32 accumulation",
            units * rows * turns,
            &section.accumulator,
            "system.area.accumulator",
        ),
        electronic("SRAM", blocks, &section.sram, "system.area.sram"),
        electronic(
            "vector unit",
            f64::from(*system.vector.lanes.get()),
            &section.vector_lane,
            "system.area.vector_lane",
        ),
        electronic(
            "optimiser",
            f64::from(*system.optimiser.lanes.get()),
            &section.vector_lane,
            "system.area.vector_lane",
        ),
    ]
}

/// The sum over one of the chips, or over both, m2.
#[must_use]
pub fn total(items: &[AreaItem], die: Option<Die>) -> f64 {
    items.iter().filter(|item| die.is_none_or(|die| item.die == die)).map(AreaItem::area).sum()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::design::tests::system;

    #[test]
    fn parts_by_hand() {
        let system = system();
        let parts = Parts { laser_watts: 1.0, rings: 1, multipliers: 12_288, amplifiers: 1536, adcs: 1536 };
        let items = areas(&system, &parts, 16, 150e-6);
        let of = |name: &str| items.iter().find(|item| item.component == name).unwrap().area();
        assert!((of("photonic units") - 150e-6).abs() < 1e-18);
        assert!((of("ADCs") - 1536.0 * 0.009e-6).abs() < 1e-15);
        // 50 values in 5 ns at 10 GHz: 31 DACs for the 1,536 values of a unit.
        assert!((of("phase-shifter DACs") - 8.0 * 31.0 * system.area.transmitter.si()).abs() < 1e-15);
        assert!((of("FP32 accumulation") - 2560.0 * 4184e-12).abs() < 1e-15);
        assert!((of("SRAM") - 24.0 * system.area.sram.si()).abs() < 1e-12);
        let both = total(&items, None);
        assert!(
            (both - total(&items, Some(Die::Photonic)) - total(&items, Some(Die::Electronic))).abs() < 1e-15
        );
        assert!(both > 0.5 * 476.6e-6 && both < 2.0 * 476.6e-6, "{both}");
    }
}
