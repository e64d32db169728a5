//! Noise of single reads, drawn source by source.

use crate::noise::{NoiseSource, Seeds};
use crate::numerics::normal_pair;
use crate::unit::rates::Operating;
use num_complex::Complex64;
use rand_pcg::Pcg64;

/// The noise of one read after the other, each source from its own stream: one can be drawn anew while the others stay.
#[derive(Debug, Clone)]
pub(crate) struct NoiseDraws {
    streams: [Pcg64; NoiseSource::ALL.len()],
}

impl NoiseDraws {
    /// The streams of `element`, such as a sampled unit.
    pub fn new(seeds: Seeds, element: u32) -> Self {
        Self { streams: NoiseSource::ALL.map(|source| seeds.stream(source, element)) }
    }

    /// Currents of I and Q, A, of a read whose light has passed MMUs of transfer `field`, with `dac_variance` rad^2 of phase
    /// noise from the DACs.
    pub fn read(&mut self, operating: &Operating, field: Complex64, dac_variance: f64) -> [f64; 2] {
        let laser = operating.unit.noise([0.0; 2]);
        let along = laser.relative * self.normals(NoiseSource::Intensity)[0];
        let across = laser.phase * self.normals(NoiseSource::LaserPhase)[0]
            + dac_variance.sqrt() * self.normals(NoiseSource::Dac)[0];
        let field = field * (1.0 + along) * Complex64::from_polar(1.0, across);
        let ([mut i, mut q], sums) = operating.unit.detect(operating.light, field);
        let lsb = operating.readout.lsb();
        for (source, [of_i, of_q]) in operating.unit.additive_noise(sums, i.hypot(q), lsb) {
            let [a, b] = self.normals(source);
            i += of_i.sqrt() * a;
            q += of_q.sqrt() * b;
        }
        [i, q]
    }

    fn normals(&mut self, source: NoiseSource) -> [f64; 2] {
        let (a, b) = normal_pair(&mut self.streams[source as usize]);
        [a, b]
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::unit::mmu::Mdpu;
    use crate::unit::parameters::{ConverterNoise, FrontEnd, MdpuParameters};

    fn unit() -> Mdpu {
        let mut p = MdpuParameters::ideal(16);
        p.detector.front_end = FrontEnd::InputNoise(1e-6);
        (p.link.rin, p.link.linewidth, p.link.delay_mismatch) = (1e-14, 1e6, 1e-11);
        p.adc.bits = Some(8);
        p.noise = ConverterNoise { adc: 0.5, jitter: 1e-13, sampling_time: 20e-12, ..p.noise };
        Mdpu::new(&p, 33).unwrap()
    }

    /// Scatter along and across a signal in the direction of I, over its amplitude.
    fn scatter(seeds: Seeds) -> [f64; 2] {
        let unit = unit();
        let operating = Operating::new(&unit, 0.0, 1e-3);
        let ([amplitude, _], _) = unit.detect(operating.light, Complex64::ONE);
        let (mut draws, reads) = (NoiseDraws::new(seeds, 0), 40_000);
        let mut sums = [0.0; 2];
        for _ in 0..reads {
            let [i, q] = draws.read(&operating, Complex64::ONE, 1e-4);
            sums[0] += (i / amplitude - 1.0).powi(2);
            sums[1] += (q / amplitude).powi(2);
        }
        sums.map(|sum| sum / f64::from(reads))
    }

    #[test]
    fn drawn_noise_has_the_variances_of_its_sources() {
        let unit = unit();
        let operating = Operating::new(&unit, 0.0, 1e-3);
        let ([amplitude, _], sums) = unit.detect(operating.light, Complex64::ONE);
        let noise = unit.noise(sums);
        let added = unit.additive_noise(sums, amplitude, operating.readout.lsb());
        let of = |branch: usize| added.iter().map(|s| s.1[branch]).sum::<f64>() / amplitude.powi(2);
        let want = [of(0) + noise.relative.powi(2), of(1) + noise.phase.powi(2) + 1e-4];
        for (got, want) in scatter(Seeds::all(3)).into_iter().zip(want) {
            // The variance of 40,000 normals is known to sqrt(2/40,000) = 0.7 %.
            assert!((got / want - 1.0).abs() < 0.03, "{got} {want}");
        }
    }

    #[test]
    fn one_source_is_drawn_anew_while_the_others_stay() {
        let unit = unit();
        let operating = Operating::new(&unit, 0.0, 1e-3);
        let read = |seeds| NoiseDraws::new(seeds, 7).read(&operating, Complex64::ONE, 1e-4);
        let all = read(Seeds::all(1));
        assert_eq!(all, read(Seeds::all(1)));
        for source in NoiseSource::ALL {
            assert_ne!(all, read(Seeds::all(1).with(source, 2)), "{source:?}");
        }
        // Intensity moves the signal along I alone: Q changes only by what it adds to the other noises' sizes, which grow with
        // the signal at most in proportion.
        let [i, q] = read(Seeds::all(1).with(NoiseSource::Intensity, 2));
        let grown = ((i - all[0]) / all[0]).abs();
        let most = 5.0 * operating.noisy_point(0.0, 0.0, 1e-4).sigma_q;
        assert!(grown > 0.0 && (q - all[1]).abs() < most * grown, "{i} {q} {all:?} {most}");
    }
}
