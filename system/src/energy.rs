//! What each part of the chip costs: power while the chip is on, energy for each action.

use mirage_arithmetic::BfpFormat;
use mirage_events::{AccountId, Ledger, LedgerError, TimeBase};

use crate::SystemError;
use crate::design::{AdcModel, System, TxModel};

/// The accounts, in the order of all energy tables.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Component {
    /// Laser, electrical power; on all the time.
    Laser,
    /// Thermal tuning of the rings; on all the time.
    RingTuning,
    /// Switching of the rings by the streaming operand.
    RingDrive,
    /// DACs and drivers of the phase shifters.
    Transmitters,
    /// Transimpedance amplifiers; on all the time.
    Amplifiers,
    /// ADCs; on all the time.
    Adcs,
    /// Multipliers of a systolic array, with the registers between them.
    Multipliers,
    /// FP32 to block floating point.
    Quantisation,
    /// Block floating point to residues.
    ForwardConversion,
    /// Residues to FP32, with the range check.
    ReverseConversion,
    /// FP32 additions of partial sums.
    Accumulation,
    /// Memory traffic of partial sums.
    AccumulatorMemory,
    /// Accesses to the SRAM of parameters.
    WeightMemory,
    /// Accesses to the SRAM of activations.
    ActivationMemory,
    /// Accesses to the SRAM of gradients.
    GradientMemory,
    /// Off-chip memory.
    OffChipMemory,
    /// Work that is no matrix product.
    VectorUnit,
    /// The update of the parameters.
    Optimiser,
    /// Links to other chips.
    Links,
    /// Calibration during the run.
    Recalibration,
    /// Leakage of memories and logic; all the time.
    Leakage,
}

/// A number for each component, in the order of [`Component::ALL`].
pub type ByComponent = [f64; Component::COUNT];

/// What the photonic units of the whole chip are made of. The one who knows the circuit counts it.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Parts {
    /// Electrical power of all lasers, W.
    pub laser_watts: f64,
    /// Ring switches; every streamed vector switches those of its columns.
    pub rings: u64,
    /// Multiplication units, one for each modulus, row and column: each takes one stationary value.
    pub multipliers: u64,
    /// Transimpedance amplifiers.
    pub amplifiers: u64,
    /// ADCs.
    pub adcs: u64,
}

impl Parts {
    /// Checks the laser power.
    pub(crate) fn check(&self) -> Result<(), SystemError> {
        if (0.0..=1e6).contains(&self.laser_watts) {
            return Ok(());
        }
        let (what, value) = ("the electrical power of the lasers in watts", self.laser_watts);
        Err(SystemError::OutOfRange { what, value, smallest: 0.0, largest: 1e6 })
    }
}

impl Component {
    /// Number of accounts.
    pub const COUNT: usize = 21;

    /// All accounts.
    pub const ALL: [Self; Self::COUNT] = [
        Self::Laser,
        Self::RingTuning,
        Self::RingDrive,
        Self::Transmitters,
        Self::Amplifiers,
        Self::Adcs,
        Self::Multipliers,
        Self::Quantisation,
        Self::ForwardConversion,
        Self::ReverseConversion,
        Self::Accumulation,
        Self::AccumulatorMemory,
        Self::WeightMemory,
        Self::ActivationMemory,
        Self::GradientMemory,
        Self::OffChipMemory,
        Self::VectorUnit,
        Self::Optimiser,
        Self::Links,
        Self::Recalibration,
        Self::Leakage,
    ];

    /// Whether this is the traffic of a memory on the chip.
    #[must_use]
    pub fn is_sram(self) -> bool {
        matches!(
            self,
            Self::AccumulatorMemory | Self::WeightMemory | Self::ActivationMemory | Self::GradientMemory
        )
    }

    /// Whether this is part of what multiplies and adds: converters between numbers and light included, memories not.
    #[must_use]
    pub fn is_arithmetic(self) -> bool {
        matches!(
            self,
            Self::Laser
                | Self::RingTuning
                | Self::RingDrive
                | Self::Transmitters
                | Self::Amplifiers
                | Self::Adcs
                | Self::Multipliers
                | Self::Quantisation
                | Self::ForwardConversion
                | Self::ReverseConversion
                | Self::Accumulation
        )
    }

    /// The name in tables.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::Laser => "laser",
            Self::RingTuning => "ring tuning",
            Self::RingDrive => "ring drive",
            Self::Transmitters => "phase-shifter DACs",
            Self::Amplifiers => "TIAs",
            Self::Adcs => "ADCs",
            Self::Multipliers => "multipliers",
            Self::Quantisation => "quantisation",
            Self::ForwardConversion => "forward conversion",
            Self::ReverseConversion => "reverse conversion",
            Self::Accumulation => "FP32 accumulation",
            Self::AccumulatorMemory => "SRAM, partial sums",
            Self::WeightMemory => "SRAM, weights",
            Self::ActivationMemory => "SRAM, activations",
            Self::GradientMemory => "SRAM, gradients",
            Self::OffChipMemory => "off-chip memory",
            Self::VectorUnit => "vector unit",
            Self::Optimiser => "optimiser",
            Self::Links => "links",
            Self::Recalibration => "recalibration",
            Self::Leakage => "leakage",
        }
    }
}

/// Energy per action (J) and power while on (W) of each component.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Costs {
    per_action: ByComponent,
    power: ByComponent,
}

impl Costs {
    /// Of what every engine has around it: memories, logic, vector unit, links.
    pub fn common(system: &System) -> Self {
        let (logic, sram, memory) = (&system.logic, &system.sram, &system.memory);
        Self::from(|component| match component {
            Component::Quantisation => (logic.quantise_energy.si(), 0.0),
            Component::Accumulation => (logic.accumulate_energy.si(), 0.0),
            Component::AccumulatorMemory => (sram.accumulator_energy_per_byte.si(), 0.0),
            Component::WeightMemory | Component::ActivationMemory | Component::GradientMemory => {
                (sram.energy_per_byte.si(), 0.0)
            }
            Component::OffChipMemory => (memory.energy_per_byte.si(), memory.background_power.si()),
            Component::VectorUnit => (system.vector.energy_per_operation.si(), 0.0),
            Component::Optimiser => (system.optimiser.energy_per_operation.si(), 0.0),
            Component::Links => (system.links.energy_per_byte.si(), 0.0),
            Component::Leakage => (0.0, sram.leakage.si() + logic.leakage.si()),
            _ => (0.0, 0.0),
        })
    }

    fn from(cost: impl Fn(Component) -> (f64, f64)) -> Self {
        let costs = Component::ALL.map(cost);
        Self { per_action: costs.map(|(energy, _)| energy), power: costs.map(|(_, power)| power) }
    }

    /// Of photonic units and all around them.
    pub fn photonic(system: &System, format: BfpFormat, parts: &Parts) -> Self {
        let common = Self::common(system);
        // Places that take one stationary value: its residues go to the multipliers of all moduli.
        let places = f64::from(*system.units.get()) * f64::from(*system.rows.get()) * format.group as f64;
        let multipliers = parts.multipliers as f64 / places;
        let rings = parts.rings as f64 / places;
        let converters = &system.converters;
        let adc = match converters.adc_model.get() {
            AdcModel::AsPublished => converters.adc_power.si(),
            AdcModel::ScaledToClock => scaled_adc(system),
        };
        let (tx_energy, tx_power) = match converters.tx_model.get() {
            TxModel::PerSample => (converters.tx_power.si() / converters.tx_rate.si(), 0.0),
            TxModel::WhileProgramming => (converters.tx_power.si() * system.program_time.si(), 0.0),
            TxModel::AlwaysOn => (0.0, parts.multipliers as f64 * converters.tx_power.si()),
        };
        let logic = &system.logic;
        Self::from(|component| match component {
            Component::Laser => (0.0, parts.laser_watts),
            Component::RingTuning => (0.0, parts.rings as f64 * system.rings.tuning_power.si()),
            Component::RingDrive => (rings * system.rings.drive_energy.si(), 0.0),
            Component::Transmitters => (tx_energy * multipliers, tx_power),
            Component::Amplifiers => (0.0, parts.amplifiers as f64 * converters.tia_power.si()),
            Component::Adcs => (0.0, parts.adcs as f64 * adc),
            Component::ForwardConversion => (logic.forward_energy.si(), 0.0),
            Component::ReverseConversion => (logic.reverse_energy.si(), 0.0),
            // A tick of a unit that is calibrated: booked as picoseconds.
            Component::Recalibration => (system.recalibration.power.si() * 1e-12, 0.0),
            _ => (common.per_action(component), common.power(component)),
        })
    }

    /// Of systolic arrays, each of whose multiply-accumulates takes so many joules, and all around them.
    pub fn systolic(system: &System, energy_per_mac: f64) -> Self {
        let common = Self::common(system);
        Self::from(|component| match component {
            Component::Multipliers => (energy_per_mac, 0.0),
            _ => (common.per_action(component), common.power(component)),
        })
    }

    /// Power of one component while the chip is on, actions not included, W.
    pub fn power(&self, component: Component) -> f64 {
        self.power[component as usize]
    }

    /// Energy of one action, J.
    pub fn per_action(&self, component: Component) -> f64 {
        self.per_action[component as usize]
    }

    /// A ledger with one account for each component.
    pub fn open(&self, time: TimeBase) -> Result<(Ledger, Vec<AccountId>), LedgerError> {
        let mut ledger = Ledger::new(time);
        let mut accounts = Vec::with_capacity(Component::ALL.len());
        for (index, component) in Component::ALL.into_iter().enumerate() {
            accounts.push(ledger.open(component.name(), self.per_action[index], self.power[index])?);
        }
        Ok((ledger, accounts))
    }
}

/// Power of an ADC in proportion to its sampling rate, W.
pub(crate) fn scaled_adc(system: &System) -> f64 {
    let converters = &system.converters;
    converters.adc_power.si() * system.clock.si() / converters.adc_rate.si()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn components_stand_in_the_order_of_their_accounts() {
        for (index, component) in Component::ALL.into_iter().enumerate() {
            assert_eq!(component as usize, index);
            assert_eq!(component.is_sram(), component.name().starts_with("SRAM"), "{}", component.name());
        }
    }
}
