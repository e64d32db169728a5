//! What a unit costs in light and parts, as plain numbers for the system.

use crate::characterise::bench::Bench;

/// Light and parts of a chip.
#[derive(Debug, Clone, PartialEq)]
pub struct UnitBudget {
    /// Number of lasers.
    pub lasers: u64,
    /// Optical power of one laser, W.
    pub laser_power: f64,
    /// Optical power of all lasers, W.
    pub optical_power: f64,
    /// Electrical power of all lasers, W.
    pub electrical_power: f64,
    /// Modular dot-product units.
    pub mdpus: u64,
    /// Modular multiplication units, each with one stationary DAC.
    pub mmus: u64,
    /// Phase shifters.
    pub shifters: u64,
    /// Ring switches.
    pub rings: u64,
    /// Photodiodes.
    pub photodiodes: u64,
    /// Transimpedance amplifiers.
    pub amplifiers: u64,
    /// ADCs.
    pub adcs: u64,
    /// Worst-case loss of the MMUs of an MDPU, dB, for each modulus.
    pub worst_loss_db: Vec<f64>,
    /// Mean loss (of the mean power), dB, for each modulus.
    pub mean_loss_db: Vec<f64>,
}

/// The budget of a chip of `units` RNS units (one MMVMU for each modulus of the bench) with `rows` MDPUs each.
pub fn unit_budget(
    bench: &Bench,
    units: u32,
    rows: u32,
    laser_power: f64,
    wall_plug_efficiency: f64,
) -> UnitBudget {
    let per_modulus = u64::from(units) * u64::from(rows);
    let mdpus = per_modulus * bench.units().len() as u64;
    let (mut lasers, mut mmus, mut shifters) = (0, 0, 0);
    for (unit, _) in bench.units() {
        lasers += per_modulus.div_ceil(u64::from(unit.parameters().link.units_per_laser.max(1)));
        let group = unit.parameters().group as u64;
        mmus += per_modulus * group;
        shifters += per_modulus * group * unit.digits().count() as u64;
    }
    let optical_power = lasers as f64 * laser_power;
    UnitBudget {
        lasers,
        laser_power,
        optical_power,
        electrical_power: optical_power / wall_plug_efficiency,
        mdpus,
        mmus,
        shifters,
        rings: 2 * shifters,
        photodiodes: 4 * mdpus,
        amplifiers: 2 * mdpus,
        adcs: 2 * mdpus,
        worst_loss_db: bench.units().iter().map(|(unit, _)| unit.worst_loss_db()).collect(),
        mean_loss_db: bench.units().iter().map(|(_, p)| -10.0 * p.moments().mean_power.log10()).collect(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::unit::operands::Operands;
    use crate::unit::parameters::MdpuParameters;

    #[test]
    fn counts_are_the_papers() {
        let mut p = MdpuParameters::ideal(16);
        p.link.units_per_laser = 32;
        let moduli = [31, 32, 33];
        let bench = Bench::new(&p, &moduli, &moduli.map(Operands::uniform)).unwrap();
        let budget = unit_budget(&bench, 8, 32, 10e-3, 0.2);
        assert_eq!((budget.mdpus, budget.mmus, budget.adcs, budget.lasers), (768, 12_288, 1_536, 24));
        assert_eq!(budget.shifters, 8 * 32 * 16 * (5 + 5 + 6));
        assert_eq!((budget.rings, budget.photodiodes), (2 * budget.shifters, 3072));
        assert!((budget.electrical_power - 1.2).abs() < 1e-12);
    }
}
