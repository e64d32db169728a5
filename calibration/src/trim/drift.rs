//! Following the drift of the arms while the unit is in use.

use super::paths::Steps;
use crate::CalibrationError;
use crate::draws::{Domain, generator, normals};
use mirage_devices::wrap;
use mirage_devices::{DeviceError, Group, Knobs, Lab};

/// Looks made at once, before anything drifts.
const FIRST: u32 = 100;

/// How the arms drift apart, and how often the controller looks.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Drift {
    /// Standard deviation of the phase that has drifted in when nobody corrects it, rad.
    pub deviation: f64,
    /// Time over which the drift forgets, s.
    pub memory: f64,
    /// Time from one look to the next, s.
    pub interval: f64,
    /// Vectors of operands that are read at each look, once each.
    pub reads: u32,
    /// Looks.
    pub looks: u32,
}

/// One look.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct TrackedStep {
    /// Time, s.
    pub time: f64,
    /// What has drifted in, rad.
    pub drifted: f64,
    /// What is left of it right after, rad.
    pub left: f64,
}

/// What tracking makes of the drift.
#[derive(Debug, Clone, PartialEq)]
pub struct Tracked {
    /// Look by look.
    pub steps: Vec<TrackedStep>,
    /// Share of each reading that the controller believes: the steady gain of a Kalman filter.
    pub gain: f64,
    /// Standard error of the angle found at a look, rad.
    pub reading: f64,
    /// What the filter's theory says is left after a look, rad rms, with what whole steps of the trim leave of its estimate.
    pub expected: f64,
    /// Looks after which the reference arm was set anew.
    pub settings: u32,
}

/// Follows a drift that never ends (an Ornstein-Uhlenbeck process, path `path` of `seed`): at each look the controller reads known
/// operands, corrects its estimate by a fixed share of what it finds, and sets the reference arm to the nearest step.
///
/// The estimate forgets as the drift does, by a = exp(-interval/memory) from look to look. With q = sigma^2 (1 - a^2) the variance
/// that an interval adds and r that of a reading, the variance before a look is the positive root of
/// M^2 + (r (1 - a^2) - q) M - q r = 0, the gain M/(M + r), the variance after it P = M r/(M + r) (Bar-Shalom, Li, Kirubarajan,
/// *Estimation with Applications to Tracking and Navigation*, 5.2.5). M never exceeds sigma^2, so that following does not leave
/// more than the drift itself, however poor the reading.
///
/// # Errors
/// A drift that is not positive or not finite, an interval as long as the memory, no looks or reads; what [`Lab::set`] refuses.
pub fn track(lab: &mut Lab<'_>, drift: Drift, seed: u64, path: u32) -> Result<Tracked, CalibrationError> {
    let Drift { deviation: sigma, memory, interval, reads, looks } = drift;
    let positive = [sigma, memory, interval].iter().all(|x| x.is_finite() && *x > 0.0);
    if !(positive && interval < memory && reads > 0 && looks > 0) {
        let problem = format!(
            "a drift of {sigma} rad over {memory} s cannot be followed with {reads} reads every {interval} s: all must be \
             above zero, the interval below the memory"
        );
        return Err(DeviceError::Question(problem).into());
    }
    let keep = (-interval / memory).exp();
    let added = sigma * (1.0 - keep * keep).sqrt();
    let steps = Steps::of(lab);
    // The same vectors at every look, so that their own static deviations are in none of its differences. Many reads of them, in
    // looks as later, say where the trimming left the unit and what a look is worth.
    let vectors: Vec<Group> = (0..reads).map(|_| lab.draw()).collect();
    let first: Vec<f64> = (0..FIRST).map(|_| mean_angle(lab, &vectors)).collect();
    let near = first.iter().map(|a| wrap(a - first[0])).sum::<f64>() / f64::from(FIRST);
    let zero = first[0] + near;
    let scatter: f64 = first.iter().map(|a| wrap(a - zero).powi(2)).sum();
    let reading = (scatter / f64::from(FIRST - 1)).sqrt();
    let Filter { gain, variance } = Filter::new(sigma, keep, reading);
    let known = (sigma * sigma - variance).max(0.0).sqrt();
    let expected = (variance + steps.rounding(known)).sqrt();
    let key = u64::from(path) << 32 | u64::from(lab.unit().modulus());
    let mut normals = normals(generator(seed, Domain::Drift, key));
    // The read-out was calibrated just now.
    let (mut drifted, mut estimate) = (0.0, 0.0);
    let start = lab.knobs().clone();
    let mut tracked = Tracked { steps: Vec::new(), gain, reading, expected, settings: 0 };
    for look in 0..looks {
        lab.drift(drifted);
        let angle = mean_angle(lab, &vectors);
        let set = lab.knobs().rotation - start.rotation;
        // The reading holds the drift and what was set against it.
        let innovation = wrap(angle - zero - set - estimate);
        estimate += gain * innovation;
        let rotation = steps.nearest(start.rotation - estimate);
        if rotation != lab.knobs().rotation {
            lab.set(Knobs { rotation, ..start.clone() })?;
            tracked.settings += 1;
        }
        let left = drifted + lab.knobs().rotation - start.rotation;
        tracked.steps.push(TrackedStep { time: f64::from(look) * interval, drifted, left });
        estimate *= keep;
        drifted = keep * drifted + added * normals.next().unwrap_or(0.0);
    }
    lab.drift(0.0);
    lab.set(start)?;
    Ok(tracked)
}

/// A Kalman filter of a drift that forgets, in its steady state.
struct Filter {
    /// Share of each reading that is believed.
    gain: f64,
    /// Variance of the estimate after a look, rad^2.
    variance: f64,
}

impl Filter {
    /// For a drift of standard deviation `sigma`, of which a share `keep` is left at the next look, read with a standard error `reading`.
    fn new(sigma: f64, keep: f64, reading: f64) -> Self {
        let r = reading * reading;
        let lost = 1.0 - keep * keep;
        let q = sigma * sigma * lost;
        let b = q - r * lost;
        let before = 0.5 * (b + (b * b + 4.0 * q * r).sqrt());
        let gain = if r > 0.0 { before / (before + r) } else { 1.0 };
        Filter { gain, variance: gain * r }
    }
}

/// Mean angle over the true one of these vectors, read once each, rad.
fn mean_angle(lab: &mut Lab<'_>, vectors: &[Group]) -> f64 {
    let m = lab.unit().modulus() as usize;
    let turn = 2.0 * std::f64::consts::PI / m as f64;
    let (mut x, mut y) = (0.0, 0.0);
    for group in vectors {
        let truth = group.0.iter().zip(&group.1).map(|(w, x)| w * x).sum::<usize>() % m;
        let [i, q] = lab.read(group, 1);
        let (sine, cosine) = libm::sincos(libm::atan2(q, i) - turn * truth as f64);
        (x, y) = (x + cosine, y + sine);
    }
    libm::atan2(y, x)
}
