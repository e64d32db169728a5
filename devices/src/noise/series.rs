//! Sampled noise: white series, a discrete filter of the same poles, and the phase difference of a laser.

use crate::draws::{Domain, generator};
use crate::error::DeviceError;
use crate::noise::density::pole_frequency;
use crate::noise::{Filter, SpectralDensity};
use crate::numerics::normal_pair;
use rand_pcg::Pcg64;
use std::collections::VecDeque;
use std::f64::consts::PI;

/// Numbers of samples that a delay may span: below the first, sampling misses up to several per cent of its spectrum.
const SHORTEST_DELAY: f64 = 4.0;
const LONGEST_DELAY: f64 = 1e6;

/// The independent sources of noise of one read.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum NoiseSource {
    /// Shot noise of the diode currents.
    Shot,
    /// The amplifier or its load.
    FrontEnd,
    /// Relative intensity noise of the laser.
    Intensity,
    /// Phase noise of the laser.
    LaserPhase,
    /// Voltage noise of the stationary DACs and their drivers.
    Dac,
    /// Noise of the ADCs.
    Adc,
    /// Timing error of the ADCs' samples.
    Jitter,
}

impl NoiseSource {
    /// All of them, in the order of their streams.
    pub const ALL: [NoiseSource; 7] = [
        NoiseSource::Shot,
        NoiseSource::FrontEnd,
        NoiseSource::Intensity,
        NoiseSource::LaserPhase,
        NoiseSource::Dac,
        NoiseSource::Adc,
        NoiseSource::Jitter,
    ];

    /// Its name: `shot`, `front-end`, `intensity`, `laser-phase`, `dac`, `adc` or `jitter`.
    pub fn name(self) -> &'static str {
        match self {
            NoiseSource::Shot => "shot",
            NoiseSource::FrontEnd => "front-end",
            NoiseSource::Intensity => "intensity",
            NoiseSource::LaserPhase => "laser-phase",
            NoiseSource::Dac => "dac",
            NoiseSource::Adc => "adc",
            NoiseSource::Jitter => "jitter",
        }
    }

    /// The source of this name.
    pub fn named(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|source| source.name() == name)
    }
}

/// A seed for each source, so that one can be drawn anew while the others stay.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Seeds([u64; NoiseSource::ALL.len()]);

impl Seeds {
    /// The same seed for all sources; their streams differ.
    pub fn all(seed: u64) -> Self {
        Seeds([seed; NoiseSource::ALL.len()])
    }

    /// With another seed for one source.
    pub fn with(mut self, source: NoiseSource, seed: u64) -> Self {
        self.0[source as usize] = seed;
        self
    }

    /// The generator of `source` in element `element` (a branch, an MMU, a unit): stream (source, element).
    pub fn stream(&self, source: NoiseSource, element: u32) -> Pcg64 {
        generator(self.0[source as usize], Domain::Noise, [source as u64, u64::from(element)])
    }
}

/// Endless samples of white Gaussian noise: variance S fs/2 each, the density integrated up to half the sample rate.
#[derive(Debug, Clone)]
pub struct WhiteNoise {
    deviation: f64,
    rng: Pcg64,
    spare: Option<f64>,
}

impl WhiteNoise {
    /// Noise of density `density` at `sample_rate` Hz, drawn from `rng`.
    pub fn new(density: SpectralDensity, sample_rate: f64, rng: Pcg64) -> Self {
        WhiteNoise { deviation: (0.5 * density.value() * sample_rate).sqrt(), rng, spare: None }
    }
}

impl Iterator for WhiteNoise {
    type Item = f64;

    fn next(&mut self) -> Option<f64> {
        let unit = self.spare.take().unwrap_or_else(|| {
            let (first, second) = normal_pair(&mut self.rng);
            self.spare = Some(second);
            first
        });
        Some(self.deviation * unit)
    }
}

/// The poles of a [`Filter`] at a sample rate, each y += (1 - e^{-2 pi f_p/fs}) (x - y).
#[derive(Debug, Clone)]
pub struct DiscreteFilter {
    gain: f64,
    state: Vec<f64>,
}

impl DiscreteFilter {
    /// The filter at `sample_rate` Hz, at rest.
    ///
    /// # Errors
    /// A filter without known poles, more than 64 of them, or a sample rate under ten times the poles' frequency, where
    /// samples no longer stand for the white density (the variance is then 3 % too small and more).
    pub fn new(filter: &Filter, sample_rate: f64) -> Result<Self, DeviceError> {
        let Filter::Poles { bandwidth, count } = *filter else {
            let problem = "a noise bandwidth alone does not say how the noise is filtered: give poles";
            return Err(DeviceError::parameter("filter", filter.noise_bandwidth(), problem));
        };
        if !(1..=64).contains(&count) {
            return Err(DeviceError::parameter("filter.count", f64::from(count), "must lie in 1..=64 poles"));
        }
        let pole = pole_frequency(bandwidth, count);
        if !(sample_rate.is_finite() && pole > 0.0 && sample_rate >= 10.0 * pole) {
            let problem = format!("must be at least ten times the poles' frequency of {pole:e} Hz");
            return Err(DeviceError::Parameter { name: "sample_rate", value: sample_rate, problem });
        }
        let gain = -(-2.0 * PI * pole / sample_rate).exp_m1();
        Ok(DiscreteFilter { gain, state: vec![0.0; count as usize] })
    }

    /// The output after one more input sample.
    pub fn step(&mut self, input: f64) -> f64 {
        self.state.iter_mut().fold(input, |x, y| {
            *y += self.gain * (x - *y);
            *y
        })
    }
}

/// Endless samples of the phase of a laser minus its phase a delay ago: a random walk's difference, exact for any delay.
#[derive(Debug, Clone)]
pub struct PhaseDifference {
    /// Standard deviations of the two parts of a step: until the delayed instant falls, and after.
    parts: (f64, f64),
    /// Past steps within the delay: whole step, and its later part.
    steps: VecDeque<(f64, f64)>,
    sum: f64,
    rng: Pcg64,
}

impl PhaseDifference {
    /// A Lorentzian laser of `linewidth` Hz over `delay` seconds, sampled at `sample_rate` Hz.
    ///
    /// # Errors
    /// Negative or infinite values, or a delay that is not zero and spans less than four samples, which would not resolve
    /// it, or more than a million.
    pub fn new(linewidth: f64, delay: f64, sample_rate: f64, mut rng: Pcg64) -> Result<Self, DeviceError> {
        let span = delay * sample_rate;
        if !(linewidth.is_finite() && linewidth >= 0.0) {
            return Err(DeviceError::parameter("linewidth", linewidth, "must be finite and not negative"));
        }
        if !(span == 0.0 && delay == 0.0 || (SHORTEST_DELAY..=LONGEST_DELAY).contains(&span)) {
            return Err(DeviceError::parameter(
                "delay",
                delay,
                "must be zero or span 4 to a million samples",
            ));
        }
        // A walk of variance 2 pi linewidth per second; the delayed instant cuts one step in two.
        let (whole, rest) = (span.floor() as usize, span.fract());
        let step = 2.0 * PI * linewidth / sample_rate;
        let parts = (((1.0 - rest) * step).sqrt(), (rest * step).sqrt());
        let steps: VecDeque<_> = (0..=whole).map(|_| draw(parts, &mut rng)).collect();
        let sum = steps.iter().skip(1).map(|step| step.0).sum();
        Ok(PhaseDifference { parts, steps, sum, rng })
    }
}

/// A step of the walk and its later part.
fn draw(parts: (f64, f64), rng: &mut Pcg64) -> (f64, f64) {
    let (a, b) = normal_pair(rng);
    (parts.0 * a + parts.1 * b, parts.1 * b)
}

impl Iterator for PhaseDifference {
    type Item = f64;

    fn next(&mut self) -> Option<f64> {
        let new = draw(self.parts, &mut self.rng);
        self.steps.push_back(new);
        self.steps.pop_front();
        // Summed anew each time where that is cheap, so that rounding does not wander.
        self.sum = if self.steps.len() <= 16 {
            self.steps.iter().skip(1).map(|step| step.0).sum()
        } else {
            self.sum + new.0 - self.steps[0].0
        };
        Some(self.sum + self.steps[0].1)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::noise::phase_difference_variance;

    /// Variance of a filtered series after it has settled, its relative standard error, by batches.
    fn settled_variance(series: impl Iterator<Item = f64>, mut filter: DiscreteFilter) -> (f64, f64) {
        let (batches, length) = (200, 4000);
        let mut filtered = series.map(|x| filter.step(x)).skip(2000);
        let mut mean_square =
            || (0..length).filter_map(|_| filtered.next()).map(|y| y * y).sum::<f64>() / length as f64;
        let values: Vec<f64> = (0..batches).map(|_| mean_square()).collect();
        let mean = values.iter().sum::<f64>() / batches as f64;
        let scatter =
            values.iter().map(|v| (v - mean).powi(2)).sum::<f64>() / (batches * (batches - 1)) as f64;
        (mean, scatter.sqrt() / mean)
    }

    /// Held samples lose a factor tanh(z)/z, z = pi f_p/fs, against white noise: 0.1 % here.
    fn check(source: NoiseSource, density: SpectralDensity, filter: Filter) {
        let rate = 640e9;
        let series = WhiteNoise::new(density, rate, Seeds::all(11).stream(source, 0));
        let (found, error) = settled_variance(series, DiscreteFilter::new(&filter, rate).unwrap());
        let ratio = found / density.variance(&filter);
        assert!(error < 0.02, "{source:?}: sees enough");
        assert!((ratio - 1.0).abs() < 4.0 * error + 0.002, "{source:?} {filter:?}: {ratio} +- {error}");
    }

    #[test]
    fn filtered_series_have_the_density_times_the_noise_bandwidth() {
        let band = Filter::one_pole(10e9);
        check(NoiseSource::Shot, SpectralDensity::shot(1e-3), band);
        check(NoiseSource::FrontEnd, SpectralDensity::johnson(50.0, 300.0), band);
        check(
            NoiseSource::FrontEnd,
            SpectralDensity::johnson(50.0, 300.0) + SpectralDensity::shot(1e-4),
            band,
        );
        check(NoiseSource::Intensity, SpectralDensity::new(1e-15), band);
        check(NoiseSource::Dac, SpectralDensity::new(0.8e-18), Filter::one_pole(2e9));
        check(NoiseSource::FrontEnd, SpectralDensity::new(1.0), Filter::Poles { bandwidth: 10e9, count: 3 });
    }

    #[test]
    fn filtered_phase_difference_has_its_closed_form() {
        for (delay, rate) in [(2e-12, 2.2e12), (9.7e-12, 640e9), (120e-12, 640e9)] {
            let rng = Seeds::all(5).stream(NoiseSource::LaserPhase, 0);
            let series = PhaseDifference::new(1e6, delay, rate, rng).unwrap();
            let plain: f64 = series.clone().take(400_000).map(|d| d * d).sum::<f64>() / 4e5;
            assert!((plain / (2.0 * PI * 1e6 * delay) - 1.0).abs() < 0.05, "{delay}: {plain}");
            let filter = DiscreteFilter::new(&Filter::one_pole(10e9), rate).unwrap();
            let (found, error) = settled_variance(series, filter);
            let expected = phase_difference_variance(1e6, delay, 10e9);
            assert!((found / expected - 1.0).abs() < 4.0 * error + 0.02, "{delay}: {found} {expected}");
            assert!(error < 0.02);
        }
    }

    #[test]
    fn each_source_has_its_own_seed() {
        let series = |seeds: Seeds, source, element| -> Vec<f64> {
            WhiteNoise::new(SpectralDensity::new(1.0), 1.0, seeds.stream(source, element)).take(50).collect()
        };
        let (one, other) = (Seeds::all(3), Seeds::all(3).with(NoiseSource::Shot, 4));
        for source in NoiseSource::ALL {
            assert_eq!(series(one, source, 0) == series(other, source, 0), source != NoiseSource::Shot);
            assert_ne!(series(one, source, 0), series(one, source, 1));
        }
        let shot = series(one, NoiseSource::Shot, 0);
        assert!(NoiseSource::ALL.iter().skip(1).all(|&source| series(one, source, 0) != shot));
    }

    #[test]
    fn what_cannot_be_sampled_is_refused() {
        assert!(DiscreteFilter::new(&Filter::one_pole(1e9), 5e9).is_err());
        assert!(DiscreteFilter::new(&Filter::NoiseBandwidth(1e9), 1e12).is_err());
        assert!(DiscreteFilter::new(&Filter::Poles { bandwidth: 1e9, count: 0 }, 1e12).is_err());
        let rng = Seeds::all(0).stream(NoiseSource::LaserPhase, 0);
        assert!(PhaseDifference::new(1e6, 1.0, 1e12, rng.clone()).is_err());
        assert!(PhaseDifference::new(f64::NAN, 1e-12, 1e12, rng).is_err());
    }
}
