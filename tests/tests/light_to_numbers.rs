//! A matrix product formed with light, against the emulated product: complex fields through every ring and shifter, diodes,
//! sector decision, Chinese remainders and f32 sums, without any imperfection.

use mirage_arithmetic::{EmulatedGemm, GemmConfig, Matrix, Moduli, Pass, Site, SlipCode};
use mirage_devices::{Mdpu, MdpuParameters, ReadOut};
use num_complex::Complex64;

/// The dot product of a group as the units of one modulus read it.
fn read(unit: &Mdpu, code: &SlipCode, index: usize, moduli: &Moduli, a: &[i64], b: &[i64]) -> u32 {
    let errors = unit.no_errors();
    let field = a.iter().zip(b).fold(Complex64::new(1.0, 0.0), |field, (&a, &b)| {
        let w = code.level(index, moduli.residue(a, index));
        let x = moduli.residue(b, index);
        field * unit.mmu(&errors, w as usize, x as usize)
    });
    let ([i, q], _) = unit.detect(unit.light(1e-3), field);
    let level = ReadOut::new(unit.modulus(), None).decide(i, q);
    code.residue(index, level as u32)
}

/// Mantissas and scale of a group of 16, by the definition.
fn quantise(values: &[f32]) -> (Vec<i64>, f64) {
    let top = values.iter().fold(0f64, |m, &x| m.max(f64::from(x).abs()));
    let scale = 2f64.powi(top.log2().floor() as i32 - 3);
    (
        values.iter().map(|&x| (f64::from(x) / scale).round_ties_even().clamp(-15.0, 15.0) as i64).collect(),
        scale,
    )
}

#[test]
fn a_product_formed_with_light_is_the_emulated_one() {
    let (m, k, n) = (5, 48, 4);
    let value = |i: usize| ((i * 7919 + 13) % 1009) as f32 / 504.5 - 1.0;
    let a: Vec<f32> = (0..m * k).map(value).collect();
    let b: Vec<f32> = (0..k * n).map(|i| value(3 * i + 1)).collect();
    let moduli = Moduli::mirage();
    for changes in [[1, 1, 1], [17, 23, 17], [18, 27, 23]] {
        let code = SlipCode::with_changes(&moduli, &changes).unwrap();
        let config = GemmConfig { code: code.clone(), ..GemmConfig::mirage(0) };
        let mut emulated = vec![0.0; m * n];
        let site = Site { layer: 0, pass: Pass::Forward, step: 0 };
        let gemm = EmulatedGemm::new(config, None).unwrap();
        gemm.multiply(site, Matrix::new(&a, m, k), Matrix::new(&b, k, n), &mut emulated);

        let units: Vec<Mdpu> =
            moduli.as_slice().iter().map(|&m| Mdpu::new(&MdpuParameters::ideal(16), m).unwrap()).collect();
        for row in 0..m {
            for column in 0..n {
                let mut sum = 0f32;
                for group in 0..k / 16 {
                    let (qa, sa) = quantise(&a[row * k + group * 16..][..16]);
                    let of_column: Vec<f32> = (0..16).map(|i| b[(group * 16 + i) * n + column]).collect();
                    let (qb, sb) = quantise(&of_column);
                    let residues: Vec<u32> =
                        units.iter().enumerate().map(|(i, u)| read(u, &code, i, &moduli, &qa, &qb)).collect();
                    sum += (moduli.signed(&residues) as f64 * sa * sb) as f32;
                }
                assert_eq!(sum.to_bits(), emulated[row * n + column].to_bits(), "{changes:?} {row} {column}");
            }
        }
    }
}
