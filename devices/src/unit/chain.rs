//! The fields of one sampled MDPU for many vectors of operands at once.
//!
//! Vectors of operands lie side by side in lanes. For each stage in turn, every lane forms the stage's transfer from its own
//! drive level and switch bit (the detour's phasor by a polynomial, both paths interfering) and multiplies its field by
//! it. The lanes never meet, and every multiplication that is fused with an addition is written so (a processor that cannot
//! takes it step by step), so the result has the same bits everywhere.

use crate::numerics::{phasor, signed, sincos_turns};
use crate::unit::crosstalk::SourceGain;
use crate::unit::mmu::{Mdpu, MmuErrors};
use crate::unit::operands::Group;
use num_complex::Complex64;
use std::f64::consts::TAU;

/// Vectors of operands that go through the stages together: their lanes stay in the first-level cache.
const LANES: usize = 64;

type Lanes = [f64; LANES];

/// What one stage needs besides the operands.
#[derive(Debug, Clone)]
struct Stage {
    /// Phase of the detour, turns per level, and at level zero.
    turns_per_level: f64,
    turns: f64,
    bus: Complex64,
    /// Places by which the stage's bit lies below the highest.
    shift: u32,
}

/// One MMU: its stages, and by stationary residue the driven level and the phase of the whole MMU in turns (thermal
/// crosstalk and the read-out's rotation).
#[derive(Debug, Clone)]
struct Unit {
    stages: Vec<Stage>,
    levels: Vec<f64>,
    rotations: Vec<f64>,
}

/// A sampled MDPU, made ready by [`crate::chips::Chip::chains`] for many vectors of operands at once.
#[derive(Debug, Clone)]
pub struct Chains<'a> {
    mdpu: &'a Mdpu,
    errors: Vec<MmuErrors>,
    units: Vec<Unit>,
    /// What a unit of drive level does to the buses of all stages of an MMU, turns.
    own_buses: f64,
    /// Streamed residues as switch bits.
    bits: Vec<u64>,
    /// Detour amplitude of each digit and stationary residue.
    amplitudes: Vec<Vec<f64>>,
    /// The same for every lane, where it does not depend on the drive.
    even: Option<Vec<Lanes>>,
}

impl<'a> Chains<'a> {
    /// From the errors of each MMU, the read-out's rotation for each (rad), and the mean level at which the stages were
    /// trimmed.
    pub(crate) fn new(mdpu: &'a Mdpu, errors: &[MmuErrors], rotations: &[f64], mean_level: f64) -> Self {
        let (digits, m) = (mdpu.digits(), mdpu.modulus() as usize);
        let stage = |e: &MmuErrors, digit: usize| {
            let at_zero = mdpu.detour_phase(e, digit, 0.0);
            let per_level = mdpu.detour_phase(e, digit, 1.0) - at_zero;
            // What the drive does to the bus is taken off the detour, and counted for both paths in the rotation.
            Stage {
                turns_per_level: (per_level - mdpu.own_bus_phase(digit)) / TAU,
                turns: at_zero / TAU,
                bus: mdpu.bus(e, digit, 0.0),
                shift: 63 - digit as u32,
            }
        };
        let unit = |((e, rotation), gain): ((&MmuErrors, &f64), &SourceGain)| Unit {
            stages: (0..digits.count()).map(|digit| stage(e, digit)).collect(),
            levels: (0..m).map(|w| mdpu.driven_level(e, w)).collect(),
            rotations: (0..m)
                .map(|w| {
                    (gain.mean + e.heat) * (f64::from(digits.level(w)) - mean_level) / m as f64
                        + rotation / TAU
                })
                .collect(),
        };
        let bits = |x: usize| (0..digits.count()).map(|digit| u64::from(digits.bit(x, digit)) << digit).sum();
        let voltages = &mdpu.drive().relative_voltage;
        let amplitudes: Vec<Vec<f64>> = (0..digits.count())
            .map(|digit| voltages.iter().map(|&v| mdpu.detour_amplitude(digit, v)).collect())
            .collect();
        let even = mdpu.parameters().shifters.drive_loss == 0.0;
        Chains {
            mdpu,
            errors: errors.to_vec(),
            units: errors.iter().zip(rotations).zip(mdpu.crosstalk_gains()).map(unit).collect(),
            own_buses: (0..digits.count()).map(|digit| mdpu.own_bus_phase(digit)).sum::<f64>() / TAU,
            bits: (0..m).map(bits).collect(),
            even: even.then(|| amplitudes.iter().map(|by_level| [by_level[0]; LANES]).collect()),
            amplitudes,
        }
    }

    /// Complex field transfer of the MDPU for each read, all stages evaluated: what [`crate::chips::Chip::field`] gives,
    /// within 1e-12 of its magnitude.
    ///
    /// # Panics
    /// Where a read has fewer operands than the unit has MMUs, or one that is not below the modulus.
    pub fn fields(&self, reads: &[Group]) -> Vec<Complex64> {
        let mut fields = Vec::with_capacity(reads.len());
        for block in reads.chunks(LANES) {
            let (re, im) = self.block(block);
            fields.extend(re.iter().zip(&im).take(block.len()).map(|(&re, &im)| Complex64::new(re, im)));
        }
        fields
    }

    fn block(&self, reads: &[Group]) -> (Lanes, Lanes) {
        #[cfg(target_arch = "x86_64")]
        if std::arch::is_x86_feature_detected!("avx2") && std::arch::is_x86_feature_detected!("fma") {
            // SAFETY: the processor has AVX2 and FMA, as was just asked.
            return unsafe { self.block_avx2(reads) };
        }
        self.block_portable(reads)
    }

    /// The same code, compiled for lanes of four.
    #[cfg(target_arch = "x86_64")]
    #[target_feature(enable = "avx2,fma")]
    fn block_avx2(&self, reads: &[Group]) -> (Lanes, Lanes) {
        self.block_portable(reads)
    }

    #[inline(always)]
    fn block_portable(&self, reads: &[Group]) -> (Lanes, Lanes) {
        let (mut re, mut im, mut rotation) = ([1.0; LANES], [0.0; LANES], [0.0; LANES]);
        let (mut level, mut gathered, mut bits) = ([0.0; LANES], [0.0; LANES], [0u64; LANES]);
        for (j, unit) in self.units.iter().enumerate() {
            for (lane, (w, x)) in reads.iter().enumerate() {
                level[lane] = unit.levels[w[j]];
                rotation[lane] += unit.rotations[w[j]] + self.own_buses * level[lane];
                bits[lane] = self.bits[x[j]];
            }
            for (digit, stage) in unit.stages.iter().enumerate() {
                let amplitude = if let Some(even) = &self.even {
                    &even[digit]
                } else {
                    let by_level = &self.amplitudes[digit];
                    reads.iter().enumerate().for_each(|(lane, (w, _))| gathered[lane] = by_level[w[j]]);
                    &gathered
                };
                stage.apply(self.mdpu.leakage(), &level, amplitude, &bits, &mut re, &mut im);
            }
        }
        for lane in 0..LANES {
            let (sine, cosine) = sincos_turns(rotation[lane]);
            let (a, b) = (re[lane], im[lane]);
            (re[lane], im[lane]) = (a * cosine - b * sine, a * sine + b * cosine);
        }
        (re, im)
    }

    /// The transfers of every MMU for every pair of operands, to be looked up instead of computed.
    pub fn tables(&self) -> FieldTables {
        let m = self.bits.len();
        let table = |(unit, errors): (&Unit, &MmuErrors)| {
            let turned = |(at, field): (usize, Complex64)| {
                let (sine, cosine) = sincos_turns(unit.rotations[at / m]);
                field * Complex64::new(cosine, sine)
            };
            self.mdpu.transfers(errors).into_iter().enumerate().map(turned).collect()
        };
        FieldTables { modulus: m, tables: self.units.iter().zip(&self.errors).map(table).collect() }
    }
}

impl Stage {
    /// Multiplies every lane's field by this stage's transfer.
    #[inline(always)]
    fn apply(
        &self,
        leakage: f64,
        level: &Lanes,
        amplitude: &Lanes,
        bits: &[u64; LANES],
        re: &mut Lanes,
        im: &mut Lanes,
    ) {
        for lane in 0..LANES {
            let (sine, cosine, sign) = phasor(self.turns_per_level.mul_add(level[lane], self.turns));
            // The highest bit: whether light takes the detour and leaks along the bus.
            let set = ((bits[lane] << self.shift) as i64) < 0;
            let (detour, bus) = if set { (1.0, leakage) } else { (leakage, 1.0) };
            let detour = signed(detour * amplitude[lane], sign);
            let x = self.bus.re.mul_add(bus, detour * cosine);
            let y = self.bus.im.mul_add(bus, detour * sine);
            let (a, b) = (re[lane], im[lane]);
            (re[lane], im[lane]) = (a.mul_add(x, -(b * y)), a.mul_add(y, b * x));
        }
    }
}

/// The transfers of each MMU of a sampled MDPU for every pair of operands: an MDPU's field is then a product of looked-up
/// numbers.
#[derive(Debug, Clone)]
pub struct FieldTables {
    modulus: usize,
    tables: Vec<Vec<Complex64>>,
}

impl FieldTables {
    /// Complex field transfer of the MDPU for one vector of operands.
    ///
    /// # Panics
    /// As [`Chains::fields`].
    pub fn field(&self, w: &[usize], x: &[usize]) -> Complex64 {
        let pairs = w.iter().zip(x);
        self.tables.iter().zip(pairs).map(|(table, (&w, &x))| table[w * self.modulus + x]).product()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::unit::chips::Chip;
    use crate::unit::encoding::Encoding;
    use crate::unit::operands::Operands;
    use crate::unit::parameters::{Codes, Crosstalk, Dac, MdpuParameters, Trim};
    use rand::SeedableRng;
    use rand_pcg::Pcg64;

    /// Everything that a chip's fields depend on.
    fn rough() -> MdpuParameters {
        let mut p = MdpuParameters::ideal(16);
        (p.rings.pass_loss_db, p.rings.drop_loss_db, p.rings.extinction_db) = (0.2, 0.3, 18.0);
        (p.shifters.loss_db, p.shifters.mismatch) = (0.91, 1e-3);
        p.dac = Dac { codes: Codes::Nearest, bits: 9, inl: 0.3, dnl: 0.2 };
        p.trim = Trim { fabrication: 1.0, resolution: 0.05, range: std::f64::consts::PI };
        p.crosstalk = Crosstalk::of_a_row(1e-4);
        p
    }

    #[test]
    fn batched_fields_and_tables_equal_the_scalar_path() {
        for (m, encoding, drive_loss) in
            [(31u32, Encoding::Natural, 0.0), (32, Encoding::Centred, 0.2), (33, Encoding::Natural, 0.1)]
        {
            let mut p = rough();
            (p.encoding, p.shifters.drive_loss) = (encoding, drive_loss);
            let unit = Mdpu::new(&p, m).unwrap();
            let operands = Operands::uniform(m);
            let mut rng = Pcg64::seed_from_u64(u64::from(m));
            let chip = Chip::sample(&unit, &operands, &mut rng);
            // Not a whole number of blocks.
            let reads: Vec<Group> = (0..2 * LANES + 7).map(|_| chip.draw(&mut rng)).collect();
            let chains = chip.chains();
            let tables = chains.tables();
            for ((w, x), field) in reads.iter().zip(chains.fields(&reads)) {
                let scalar = chip.field(w, x);
                assert!((field - scalar).norm() < 1e-12 * scalar.norm(), "{m} {field} {scalar}");
                assert!((tables.field(w, x) - scalar).norm() < 1e-12 * scalar.norm());
            }
        }
    }

    #[test]
    fn every_processor_gives_the_same_bits() {
        let unit = Mdpu::new(&rough(), 32).unwrap();
        let operands = Operands::uniform(32);
        let mut rng = Pcg64::seed_from_u64(1);
        let chip = Chip::sample(&unit, &operands, &mut rng);
        let reads: Vec<Group> = (0..LANES).map(|_| chip.draw(&mut rng)).collect();
        let chains = chip.chains();
        assert_eq!(chains.block(&reads), chains.block_portable(&reads));
    }
}
