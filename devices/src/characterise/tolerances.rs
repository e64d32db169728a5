//! The numbers of a design that fabrication, ageing or a data sheet may miss: one table for sensitivity, budget and inversion.

use crate::error::DeviceError;
use crate::unit::parameters::{Codes, FrontEnd, MdpuParameters, OwnBus};

/// Range of a parameter around its design value, for the sensitivity analysis.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum Spread {
    /// From the value over this factor to the value times it, even in the logarithm.
    Factor(f64),
    /// From this much below to this much above, even in the value.
    Around(f64),
    /// Between two fixed values, even in the value.
    Between(f64, f64),
}

/// Values that the inversion tries, from loose to tight.
#[derive(Debug, Clone, Copy)]
enum Search {
    /// None: there is no loose side.
    None,
    /// Two significant digits, falling through these powers of ten: a smaller value is tighter.
    Falling(i32, i32),
    /// Two significant digits, rising: a larger value is tighter.
    Rising(i32, i32),
    /// Whole numbers, rising.
    Bits(u32, u32),
    /// From the first to the second in steps of half a unit, rising.
    Halves(i32, i32),
}

/// One toleranced parameter.
#[derive(Debug, Clone, Copy)]
pub struct Toleranced {
    key: &'static str,
    unit: &'static str,
    spread: Spread,
    /// Where the spread comes from.
    source: &'static str,
    search: Search,
    get: fn(&MdpuParameters, f64) -> Option<f64>,
    set: fn(&mut MdpuParameters, &mut f64, f64),
}

/// A range with its scale.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Range {
    /// Smallest value.
    pub low: f64,
    /// Largest value.
    pub high: f64,
    /// Even in the logarithm.
    pub log: bool,
    /// Whole numbers, each as likely as the others.
    pub integer: bool,
}

impl Range {
    /// The value at quantile `u` in [0, 1).
    pub fn at(&self, u: f64) -> f64 {
        if self.integer {
            (self.low + (u * (self.high - self.low + 1.0)).floor()).min(self.high)
        } else if self.log {
            self.low * (self.high / self.low).powf(u)
        } else {
            self.low + u * (self.high - self.low)
        }
    }
}

impl Toleranced {
    /// All of them, in the order of the design file.
    pub fn all() -> &'static [Toleranced] {
        TABLE
    }

    /// The one with this key.
    ///
    /// # Errors
    /// [`DeviceError::UnknownTolerance`] names the most similar key.
    pub fn find(key: &str) -> Result<&'static Toleranced, DeviceError> {
        TABLE.iter().find(|t| t.key == key).ok_or_else(|| {
            let likeness = |t: &&Toleranced| strsim::jaro_winkler(t.key, key);
            let closest = TABLE.iter().max_by(|a, b| likeness(a).total_cmp(&likeness(b)));
            DeviceError::UnknownTolerance { key: key.to_string(), closest: closest.map_or("", |t| t.key) }
        })
    }

    /// Key in the design file.
    pub fn key(&self) -> &'static str {
        self.key
    }

    /// Unit of its values here: SI or dB. `devices.waveguide.loss` counts as the loss of the whole signal arm.
    pub fn unit(&self) -> &'static str {
        self.unit
    }

    /// Where its default range comes from.
    pub fn source(&self) -> &'static str {
        self.source
    }

    /// Whether only whole numbers make sense.
    pub fn integer(&self) -> bool {
        matches!(self.search, Search::Bits(..))
    }

    /// Whether larger values are tighter (and the inversion looks for the smallest one); none without a loose side.
    pub fn rises(&self) -> Option<bool> {
        match self.search {
            Search::None => None,
            Search::Falling(..) => Some(false),
            Search::Rising(..) | Search::Bits(..) | Search::Halves(..) => Some(true),
        }
    }

    /// Its value at a laser power; none where the design does not have it (codes on the levels have no bits, a front end has
    /// either an input noise or a load, a measured matrix of crosstalk no law of distance, a ring described by its own parameters
    /// neither losses nor an extinction).
    pub fn value(&self, parameters: &MdpuParameters, laser_power: f64) -> Option<f64> {
        (self.get)(parameters, laser_power)
    }

    /// Sets it.
    pub fn set(&self, parameters: &mut MdpuParameters, laser_power: &mut f64, value: f64) {
        (self.set)(parameters, laser_power, value);
    }

    /// Default range around a design value; none where there is nothing to vary (a factor of zero, an ideal extinction).
    pub fn range(&self, value: f64) -> Option<Range> {
        let (low, high, log) = match self.spread {
            Spread::Factor(factor) => (value / factor, value * factor, true),
            Spread::Around(by) => (value - by, value + by, false),
            Spread::Between(low, high) => (low, high, false),
        };
        let some = low.is_finite() && high.is_finite() && low < high;
        some.then_some(Range { low, high, log, integer: self.integer() })
    }

    /// Values to choose from, loosest first.
    pub(crate) fn candidates(&self) -> Vec<f64> {
        // Two significant digits, by a division that gives the nearest number: 9.9e-2, 9.8e-2, ... 1.0e-2, 9.9e-3, ...
        let rising = |from: i32, to: i32| -> Vec<f64> {
            let digits = |e: i32| (10..100).map(move |n| f64::from(n) / 10f64.powi(1 - e));
            (from..to).flat_map(digits).collect()
        };
        match self.search {
            Search::None => Vec::new(),
            Search::Falling(from, to) => rising(from, to).into_iter().rev().collect(),
            Search::Rising(from, to) => rising(from, to),
            Search::Bits(from, to) => (from..=to).map(f64::from).collect(),
            Search::Halves(from, to) => (2 * from..=2 * to).map(|n| 0.5 * f64::from(n)).collect(),
        }
    }
}

use Search::{Bits, Falling, Halves, Rising};
use Spread::{Around, Between, Factor};

type Get = fn(&MdpuParameters, f64) -> Option<f64>;
type Set = fn(&mut MdpuParameters, &mut f64, f64);

const fn row(
    key: &'static str,
    unit: &'static str,
    (spread, source): (Spread, &'static str),
    search: Search,
    get: Get,
    set: Set,
) -> Toleranced {
    Toleranced { key, unit, spread, source, search, get, set }
}

const CHOICE: &str = "choice";

// Those that a design may leave open.
#[rustfmt::skip]
pub(crate) const RING_EXTINCTION: Toleranced = row("devices.ring.extinction", "dB", (Around(3.0), CHOICE), Halves(5, 80), |p, _| given(p, p.rings.extinction_db), |p, _, v| p.rings.extinction_db = v);
#[rustfmt::skip]
pub(crate) const DAC_BITS: Toleranced = row("devices.dac.bits", "bit", (Around(1.0), CHOICE), Bits(4, 22), |p, _| (p.dac.codes == Codes::Nearest).then_some(f64::from(p.dac.bits)), |p, _, v| (p.dac.codes, p.dac.bits) = (Codes::Nearest, whole(v)));
#[rustfmt::skip]
pub(crate) const TRIM_RESOLUTION: Toleranced = row("devices.trim.resolution", "rad", (Factor(1.5), CHOICE), Falling(-6, 0), |p, _| Some(p.trim.resolution), |p, _, v| p.trim.resolution = v);
#[rustfmt::skip]
pub(crate) const CROSSTALK: Toleranced = row("devices.crosstalk.coefficient", "rad/rad", (Factor(2.0), CHOICE), Falling(-9, 0), |p, _| p.crosstalk.by_distance().then_some(p.crosstalk.coefficient), |p, _, v| p.crosstalk.coefficient = v);

/// The table.
#[rustfmt::skip]
static TABLE: &[Toleranced] = &[
    row("devices.laser.power", "W", (Factor(1.259), "choice: 1 dB either way"), Rising(-7, 1), |_, power| Some(power), |_, power, v| *power = v),
    row("devices.laser.relative_intensity_noise", "1/Hz", (Factor(10.0), "choice: DFB lasers of -140 to -160 dB/Hz"), Falling(-18, -10), |p, _| Some(p.link.rin), |p, _, v| p.link.rin = v),
    row("devices.laser.linewidth", "Hz", (Factor(3.0), CHOICE), Falling(3, 11), |p, _| Some(p.link.linewidth), |p, _, v| p.link.linewidth = v),
    row("devices.distribution.coupler_loss", "dB", (Factor(2.0), CHOICE), Falling(-2, 2), |p, _| Some(p.link.coupler_db), |p, _, v| p.link.coupler_db = v),
    row("devices.distribution.splitter_loss", "dB", (Factor(1.5), "public device libraries: 0.1 to 0.3 dB"), Falling(-2, 2), |p, _| Some(p.link.splitter_db), |p, _, v| p.link.splitter_db = v),
    row("devices.distribution.signal_share", "1", (Around(0.1), CHOICE), Search::None, |p, _| Some(p.link.split), |p, _, v| p.link.split = v),
    row("devices.distribution.reference_loss", "dB", (Between(0.0, 4.0), CHOICE), Falling(-2, 2), |p, _| Some(p.link.reference_db), |p, _, v| p.link.reference_db = v),
    row("devices.distribution.delay_mismatch", "s", (Factor(2.0), CHOICE), Falling(-15, -8), |p, _| Some(p.link.delay_mismatch), |p, _, v| p.link.delay_mismatch = v),
    row("devices.waveguide.loss", "dB per signal arm", (Factor(2.0), "public device libraries: strip guides of 0.1 to 2 dB/cm"), Falling(-2, 2), |p, _| Some(p.link.signal_routing_db), |p, _, v| p.link.signal_routing_db = v),
    row("devices.ring.pass_loss", "dB", (Factor(1.5), CHOICE), Falling(-3, 1), |p, _| given(p, p.rings.pass_loss_db), |p, _, v| p.rings.pass_loss_db = v),
    row("devices.ring.drop_loss", "dB", (Factor(1.5), CHOICE), Falling(-3, 1), |p, _| given(p, p.rings.drop_loss_db), |p, _, v| p.rings.drop_loss_db = v),
    RING_EXTINCTION,
    row("devices.ring.lock_residue", "1", (Between(0.0, 1e-3), "choice: about as much phase as the trim leaves"), Falling(-7, 0), |p, _| Some(p.heat.ring_lock), |p, _, v| p.heat.ring_lock = v),
    row("devices.shifter.loss", "dB", (Factor(1.2), CHOICE), Falling(-3, 1), |p, _| Some(p.shifters.loss_db), |p, _, v| p.shifters.loss_db = v),
    row("devices.shifter.drive_loss", "1", (Between(0.0, 0.1), CHOICE), Falling(-3, 1), |p, _| Some(p.shifters.drive_loss), |p, _, v| p.shifters.drive_loss = v),
    row("devices.shifter.mismatch", "1", (Between(0.0, 3e-5), "choice: a length error that would count as much as the trim"), Falling(-8, -1), |p, _| Some(p.shifters.mismatch), |p, _, v| p.shifters.mismatch = v),
    row("devices.shifter.settling_time", "s", (Between(0.0, 4e-10), "choice: a twelfth of the 5 ns of reprogramming"), Falling(-12, -8), |p, _| Some(p.shifters.settling_time), |p, _, v| p.shifters.settling_time = v),
    DAC_BITS,
    row("devices.dac.inl", "LSB", (Factor(2.0), CHOICE), Falling(-3, 3), |p, _| nearest(p, p.dac.inl), |p, _, v| p.dac.inl = v),
    row("devices.dac.dnl", "LSB", (Factor(2.0), CHOICE), Falling(-3, 3), |p, _| nearest(p, p.dac.dnl), |p, _, v| p.dac.dnl = v),
    row("devices.dac.noise", "V/sqrt(Hz)", (Factor(2.0), CHOICE), Falling(-12, -3), |p, _| Some(p.noise.dac_density), |p, _, v| p.noise.dac_density = v),
    row("devices.dac.bandwidth", "Hz", (Factor(1.5), "choice; as noise bandwidth alone"), Falling(6, 13), |p, _| Some(p.noise.dac_bandwidth), |p, _, v| p.noise.dac_bandwidth = v),
    row("devices.trim.fabrication", "rad", (Factor(1.5), CHOICE), Falling(-6, 1), |p, _| Some(p.trim.fabrication), |p, _, v| p.trim.fabrication = v),
    TRIM_RESOLUTION,
    CROSSTALK,
    row("devices.crosstalk.decay", "m", (Factor(1.5), CHOICE), Falling(-6, -2), |p, _| p.crosstalk.by_distance().then_some(p.crosstalk.decay), |p, _, v| p.crosstalk.decay = v),
    row("devices.crosstalk.bus_distance", "m", (Factor(1.5), CHOICE), Rising(-6, -2), |p, _| match p.crosstalk.own_bus { OwnBus::Distance(distance) => Some(distance), OwnBus::Measured(_) => None }, |p, _, v| p.crosstalk.own_bus = OwnBus::Distance(v)),
    row("devices.ambient.drift", "K", (Factor(2.0), CHOICE), Falling(-5, 2), |p, _| Some(p.heat.drift), |p, _, v| p.heat.drift = v),
    row("devices.hybrid.loss", "dB", (Factor(1.5), CHOICE), Falling(-2, 2), |p, _| Some(p.link.hybrid_db), |p, _, v| p.link.hybrid_db = v),
    row("devices.hybrid.gain_error", "1", (Around(0.02), CHOICE), Falling(-4, 0), |p, _| Some(p.link.hybrid_gain_error), |p, _, v| p.link.hybrid_gain_error = v),
    row("devices.hybrid.phase_error", "rad", (Around(0.02), CHOICE), Falling(-4, 0), |p, _| Some(p.link.hybrid_phase_error), |p, _, v| p.link.hybrid_phase_error = v),
    row("devices.photodiode.responsivity", "A/W", (Factor(1.1), CHOICE), Rising(-3, 1), |p, _| Some(p.detector.responsivity), |p, _, v| p.detector.responsivity = v),
    row("devices.photodiode.dark_current", "A", (Factor(1.5), "public device libraries: 25 to 60 nA"), Falling(-9, -2), |p, _| Some(p.detector.dark_current), |p, _, v| p.detector.dark_current = v),
    row("devices.photodiode.bandwidth", "Hz", (Factor(1.2), "choice; as noise bandwidth alone"), Falling(8, 13), |p, _| Some(p.detector.bandwidth), |p, _, v| p.detector.bandwidth = v),
    row("devices.tia.input_noise", "A", (Factor(1.2), CHOICE), Falling(-9, -3), |p, _| match p.detector.front_end { FrontEnd::InputNoise(rms) => Some(rms), FrontEnd::Resistor(..) => None }, |p, _, v| p.detector.front_end = FrontEnd::InputNoise(v)),
    row("devices.tia.load", "ohm", (Factor(1.2), CHOICE), Rising(0, 8), |p, _| resistor(p).map(|r| r.0), |p, _, v| p.detector.front_end = FrontEnd::Resistor(v, resistor(p).map_or(300.0, |r| r.1))),
    row("devices.tia.temperature", "K", (Around(30.0), CHOICE), Falling(0, 4), |p, _| resistor(p).map(|r| r.1), |p, _, v| if let Some((ohm, _)) = resistor(p) { p.detector.front_end = FrontEnd::Resistor(ohm, v) }),
    row("devices.adc.bits", "bit", (Around(1.0), CHOICE), Bits(2, 16), |p, _| p.adc.bits.map(f64::from), |p, _, v| p.adc.bits = Some(whole(v))),
    row("devices.adc.noise", "LSB", (Factor(1.5), "choice: 7.1 to 7.7 effective bits of 8"), Falling(-3, 3), |p, _| Some(p.noise.adc), |p, _, v| p.noise.adc = v),
    row("devices.adc.jitter", "s", (Factor(2.0), CHOICE), Falling(-15, -9), |p, _| Some(p.noise.jitter), |p, _, v| p.noise.jitter = v),
    row("devices.adc.headroom", "1", (Between(1.0, 1.25), "choice; below one loud reads clip"), Falling(-1, 2), |p, _| p.adc.bits.map(|_| p.adc.headroom), |p, _, v| p.adc.headroom = v),
];

/// A number of bits; what is out of range is refused when the unit is built.
fn whole(value: f64) -> u32 {
    value.round() as u32
}

fn nearest(p: &MdpuParameters, value: f64) -> Option<f64> {
    (p.dac.codes == Codes::Nearest).then_some(value)
}

/// A number of rings that the design gives: of a ring described by its own parameters it follows from those.
fn given(p: &MdpuParameters, value: f64) -> Option<f64> {
    (!p.rings.locked).then_some(value)
}

fn resistor(p: &MdpuParameters) -> Option<(f64, f64)> {
    match p.detector.front_end {
        FrontEnd::Resistor(ohm, kelvin) => Some((ohm, kelvin)),
        FrontEnd::InputNoise(_) => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_set_is_read_back_and_nothing_else_moves() {
        for tolerance in Toleranced::all() {
            let mut base = MdpuParameters::ideal(16);
            (base.adc.bits, base.dac.codes) = (Some(8), Codes::Nearest);
            base.crosstalk.own_bus = OwnBus::Distance(20e-6);
            if tolerance.key().starts_with("devices.tia.") && tolerance.unit() != "A" {
                base.detector.front_end = FrontEnd::Resistor(50.0, 300.0);
            }
            let (mut changed, mut power) = (base.clone(), 1.0);
            tolerance.set(&mut changed, &mut power, 3.0);
            assert_eq!(tolerance.value(&changed, power), Some(3.0), "{}", tolerance.key());
            let back = tolerance.value(&base, 1.0).unwrap();
            tolerance.set(&mut changed, &mut power, back);
            assert_eq!((changed, power), (base, 1.0), "{}", tolerance.key());
        }
    }

    #[test]
    fn keys_are_those_of_the_design_file() {
        let design = include_str!("../../../data/designs/parts/devices.toml");
        for tolerance in Toleranced::all() {
            let (section, name) = tolerance.key().rsplit_once('.').unwrap();
            let body = design.split(&format!("[{section}]")).nth(1).unwrap().split("\n[").next().unwrap();
            let known = body.lines().any(|line| line.starts_with(&format!("{name} = ")));
            // The amplifier's noise is given in one of two ways.
            assert!(known || section == "devices.tia", "{}", tolerance.key());
        }
        let mut ring = MdpuParameters::ideal(16);
        ring.rings.locked = true;
        let of_ring = |t: &&Toleranced| t.key().starts_with("devices.ring.") && t.value(&ring, 1.0).is_some();
        let left: Vec<&str> = Toleranced::all().iter().filter(of_ring).map(|t| t.key()).collect();
        assert_eq!(
            left,
            ["devices.ring.lock_residue"],
            "a ring of its own parameters has no extinction to give"
        );
        let error = Toleranced::find("devices.ring.extintion").unwrap_err().to_string();
        assert!(error.contains("did you mean 'devices.ring.extinction'"), "{error}");
    }

    #[test]
    fn ranges_hold_the_design_and_candidates_run_from_loose_to_tight() {
        for tolerance in Toleranced::all() {
            let range = tolerance.range(1.0);
            assert!(
                range.is_some_and(|r| r.at(0.0) == r.low && r.at(0.999_999) <= r.high),
                "{}",
                tolerance.key()
            );
            let candidates = tolerance.candidates();
            let rises = tolerance.rises();
            assert!(candidates.windows(2).all(|w| (w[0] < w[1]) == rises.unwrap()), "{}", tolerance.key());
        }
        let bits = Toleranced::find("devices.dac.bits").unwrap().range(12.0).unwrap();
        let seen: Vec<f64> = (0..6).map(|i| bits.at(f64::from(i) / 6.0)).collect();
        assert_eq!(seen, [11.0, 11.0, 12.0, 12.0, 13.0, 13.0]);
        assert_eq!(Toleranced::find("devices.crosstalk.coefficient").unwrap().range(0.0), None);
    }
}
