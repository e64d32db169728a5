//! Rings between one or two buses over a band, as the fit sees them.

use super::mzi::guide;
use super::trace::{Trace, milliwatts, polynomial};
use mirage_devices::component::AddDrop;
use rayon::prelude::*;
use std::collections::VecDeque;
use std::sync::{Arc, Mutex, PoisonError};

/// Parameters before those of the envelope: resonance (nm), group index, its slope (1/um), power coupling to the bus, slope
/// of the coupler's angle (rad/um), the same of the drop coupler, round-trip loss (dB), then what the drop port's coupler to
/// the fibre has more than the through port's: dB, dB/um and dB/um^2.
pub(super) const OWN: usize = 11;
/// Names and units of them.
pub(super) const NAMES: [(&str, &str); OWN] = [
    ("resonance", "nm"),
    ("group_index", ""),
    ("group_index_slope", "1/um"),
    ("coupling_bus", ""),
    ("coupling_bus_slope", "rad/um"),
    ("coupling_drop", ""),
    ("coupling_drop_slope", "rad/um"),
    ("round_trip_loss", "dB"),
    ("drop_level", "dB"),
    ("drop_tilt", "dB/um"),
    ("drop_curve", "dB/um2"),
];

/// Which of the parameters are fitted, and what the others are.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Shape {
    /// One bus: no drop coupler.
    AllPass,
    /// Both couplers for themselves; the drop port's couplers to fibre are like the through port's.
    AddDrop,
    /// Both couplers alike; the level of the drop port is free.
    Equal,
}

impl Shape {
    /// Indices of the fitted parameters.
    pub fn fitted(self) -> &'static [usize] {
        match self {
            Shape::AllPass => &[0, 1, 2, 3, 4, 7],
            Shape::AddDrop => &[0, 1, 2, 3, 4, 5, 6, 7, 9, 10],
            Shape::Equal => &[0, 1, 2, 3, 4, 7, 8, 9, 10],
        }
    }

    /// All parameters from those fitted; `drop_level` is what holds where the level is not fitted.
    pub fn expand(self, fitted: &[f64], drop_level: f64) -> [f64; OWN] {
        let mut all = [0.0; OWN];
        all[8] = drop_level;
        for (value, place) in fitted.iter().zip(self.fitted()) {
            all[*place] = *value;
        }
        if self == Shape::Equal {
            (all[5], all[6]) = (all[3], all[4]);
        }
        all
    }
}

/// A ring's traces and geometry.
pub(super) struct Ring {
    pub shape: Shape,
    /// Through port, and drop port if there is one.
    pub traces: Vec<Trace>,
    /// Round trip, m.
    pub length: f64,
    /// Wavelength of the numbers, m.
    pub centre: f64,
    /// Of the envelope at the points of each port.
    pub basis: Vec<Vec<f64>>,
    pub terms: usize,
    /// Powers of the reference at the points of each.
    pub reference: Vec<Vec<f64>>,
    /// Level of the drop port where it is not fitted.
    pub drop_level: f64,
    /// What a part of the model gave for its parameters: nearly every derivative changes one part alone.
    pub rings: Recent<[f64; OWN]>,
    pub levels: Recent<Vec<f64>>,
}

/// The last few answers to a question, for as many points as the ports have together.
pub(super) struct Recent<K>(Mutex<VecDeque<(K, Arc<Vec<f64>>)>>);

/// Starts that are followed side by side each have a question of their own.
const KEPT: usize = 4;

impl<K> Default for Recent<K> {
    fn default() -> Self {
        Self(Mutex::default())
    }
}

impl<K: PartialEq> Recent<K> {
    fn get(&self, key: K, make: impl FnOnce(&K) -> Vec<f64>) -> Arc<Vec<f64>> {
        // Not locked while others' work may be done on this thread.
        let list = || self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some((_, known)) = list().iter().find(|(known, _)| *known == key) {
            return known.clone();
        }
        let made = Arc::new(make(&key));
        let mut list = list();
        list.truncate(KEPT - 1);
        list.push_front((key, made.clone()));
        made
    }
}

/// Points that one thread takes at a time.
const CHUNK: usize = 1024;

/// The ring at a wavelength (m), from all parameters.
pub(super) fn at(p: &[f64; OWN], centre: f64, wavelength: f64) -> AddDrop {
    law(p, centre)(wavelength)
}

/// The ring over wavelength (m).
fn law(p: &[f64; OWN], centre: f64) -> impl Fn(f64) -> AddDrop {
    let (bus, drop) = (p[3].sqrt().asin(), p[5].sqrt().asin());
    let slopes = (p[4], p[6]);
    let alike = (bus, p[4]) == (drop, p[6]);
    let amplitude = 10f64.powf(-p[7] / 20.0);
    move |wavelength| {
        let off = (wavelength - centre) * 1e6;
        let power = |angle: f64, slope: f64| (angle + slope * off).sin().powi(2);
        let first = power(bus, slopes.0);
        AddDrop { bus: first, drop: if alike { first } else { power(drop, slopes.1) }, amplitude }
    }
}

/// Q from the loaded width in round-trip phase: Q = 2 pi n_g L/(wavelength x width), since the phase of a round trip turns by
/// 2 pi n_g L/wavelength^2 for each metre of wavelength.
pub(super) fn quality(width: f64, group_index: f64, length: f64, wavelength: f64) -> f64 {
    std::f64::consts::TAU * group_index * length / (wavelength * width)
}

impl Ring {
    /// Whether a point of a port is within so many linewidths of a resonance.
    pub fn near(&self, fitted: &[f64], port: usize, reach: f64) -> Vec<bool> {
        let p = self.shape.expand(&fitted[..self.shape.fitted().len()], self.drop_level);
        let guide = guide(self.centre, p[1], p[2]);
        let resonance = guide.wavenumber(p[0] * 1e-9);
        let close = |wavelength: &f64| {
            let turns = (guide.wavenumber(*wavelength) - resonance) * self.length / std::f64::consts::TAU;
            let off = (turns - turns.round()).abs() * std::f64::consts::TAU;
            at(&p, self.centre, *wavelength).width().is_none_or(|width| off < reach * width)
        };
        self.traces[port].wavelengths.iter().map(close).collect()
    }

    /// Powers of the ports in dBm as the detector shows them.
    pub fn fill(&self, fitted: &[f64], out: &mut [f64]) {
        let (own, envelope) = fitted.split_at(self.shape.fitted().len());
        let mut p = self.shape.expand(own, self.drop_level);
        let key: Vec<f64> = p[8..].iter().chain(envelope).copied().collect();
        // What depends on the ports' levels alone is not the ring's.
        p[8..].fill(0.0);
        let ring = self.rings.get(p, |p| self.shares(p));
        let level = self.levels.get(key, |key| self.powers(key));
        let mut start = 0;
        for trace in &self.traces {
            let range = start..start + trace.dbm.len();
            start = range.end;
            let each = out[range.clone()].par_iter_mut().with_min_len(CHUNK);
            each.zip(&ring[range.clone()])
                .zip(&level[range])
                .for_each(|((out, ring), level)| *out = trace.shown(ring * level));
        }
    }

    /// What the ring leaves of the power at each point of all ports.
    fn shares(&self, p: &[f64; OWN]) -> Vec<f64> {
        let guide = guide(self.centre, p[1], p[2]);
        let resonance = guide.wavenumber(p[0] * 1e-9);
        let ring = law(p, self.centre);
        self.each(|port, trace, i| {
            let wavelength = trace.wavelengths[i];
            let phase = (guide.wavenumber(wavelength) - resonance) * self.length;
            ring(wavelength).powers(phase).map_or(f64::NAN, |powers| powers[port.min(1)]).max(1e-12)
        })
    }

    /// Power (mW) that a ring which takes nothing would leave at each point: level, tilt and curve of the drop port, then the
    /// envelope.
    fn powers(&self, key: &[f64]) -> Vec<f64> {
        let (drop, envelope) = key.split_at(3);
        self.each(|port, trace, i| {
            let off = (trace.wavelengths[i] - self.centre) * 1e6;
            let level = if port == 0 { 0.0 } else { drop[0] + off * (drop[1] + off * drop[2]) };
            let row = &self.basis[port][i * self.terms..(i + 1) * self.terms];
            milliwatts(self.reference[port][i] + polynomial(row, envelope) + level)
        })
    }

    /// A value for each point of all ports.
    fn each(&self, value: impl Fn(usize, &Trace, usize) -> f64 + Sync) -> Vec<f64> {
        let mut all = Vec::with_capacity(self.traces.iter().map(|t| t.dbm.len()).sum());
        for (port, trace) in self.traces.iter().enumerate() {
            let points = (0..trace.dbm.len()).into_par_iter().with_min_len(CHUNK);
            all.par_extend(points.map(|i| value(port, trace, i)));
        }
        all
    }
}
