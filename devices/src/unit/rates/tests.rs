use super::*;
use crate::numerics::normal_tail;
use crate::unit::operands::Operands;
use crate::unit::parameters::{FrontEnd, MdpuParameters};

fn noisy(snr: f64) -> MdpuParameters {
    // 1 W, even split, responsivity 1: amplitude 0.5 A.
    let mut p = MdpuParameters::ideal(16);
    p.detector.bandwidth = 1.0; // no shot noise worth speaking of
    p.detector.front_end = FrontEnd::InputNoise(0.5 / snr);
    p
}

fn run(p: &MdpuParameters, m: u32) -> Rates {
    let unit = Mdpu::new(p, m).unwrap();
    let population = Population::new(&unit, &Operands::uniform(m));
    rates(&unit, &population, 1.0, Quantisation::Cells)
}

#[test]
fn noise_alone_gives_the_phase_shift_keying_formula() {
    for m in [31u32, 32, 33] {
        let half = PI / f64::from(m);
        for depth in [2.6, 3.1, 4.9, 6.1, 7.1] {
            let snr = depth / half.sin();
            let steps = 100_000;
            let h = (PI - half) / steps as f64;
            let exact: f64 = (0..steps)
                .map(|i| (-0.5 * depth * depth / ((i as f64 + 0.5) * h).sin().powi(2)).exp() * h / PI)
                .sum();
            let ours = run(&noisy(snr), m);
            assert!((ours.error_rate / exact - 1.0).abs() < 0.01, "{m} {depth}: {} {exact}", ours.error_rate);
            assert!((ours.snr / snr - 1.0).abs() < 1e-6 && ours.adjacent > 0.99 * ours.error_rate);
            assert!((ours.again[0] / exact - 1.0).abs() < 0.03, "nothing static: {:?} {exact}", ours.again);
        }
    }
}

#[test]
fn static_errors_add_their_variance_at_every_depth() {
    // E[Q((a - d)/s)] = Q(a / sqrt(s^2 + sigma^2)), on either side of a sector of half width a.
    let (m, group) = (32u32, 16);
    for depth in [3.0, 5.0, 7.03] {
        let half = PI / f64::from(m);
        let total = half / depth;
        let each = total / 2f64.sqrt(); // static as large as noise
        let mut p = noisy(1.0 / each);
        // Untrimmed normal errors: the difference of two paths counts half, in five digits of sixteen MMUs.
        p.trim.range = 0.0;
        p.trim.fabrication = (each * each / (group as f64 * 5.0 * 0.5)).sqrt();
        let ours = run(&p, m);
        let exact = 2.0 * normal_tail(half / (2.0 * each * each).sqrt());
        assert!((ours.error_rate / exact - 1.0).abs() < 0.05, "{depth}: {} {exact}", ours.error_rate);
        // Repeats: E[p^(k+1)]/E[p^k] from the normal static error, by quadrature.
        let mut sums = [0.0; 6];
        for i in -2000..=2000 {
            let d = i as f64 / 2000.0 * 12.0 * each;
            let density = (-0.5 * (d / each).powi(2)).exp();
            let q = normal_tail((half - d) / each) + normal_tail((half + d) / each);
            (1..6).for_each(|k| sums[k] += density * q.powi(k as i32));
        }
        for (k, again) in ours.again.iter().enumerate() {
            let exact = sums[k + 2] / sums[k + 1];
            // What a third attempt meets at 1e-12 lies seven deviations out: a bound from below.
            let low = if depth > 6.0 && k > 0 { ours.again[0] / exact } else { 1.0 };
            assert!((0.95 * low..1.05).contains(&(again / exact)), "{depth}, attempt {k}: {again} {exact}");
        }
    }
}

#[test]
fn without_imperfections_nothing_is_misread() {
    for m in [31, 32, 33] {
        let mut p = MdpuParameters::ideal(16);
        p.adc.bits = Some(10);
        let ours = run(&p, m);
        assert!(ours.error_rate < 1e-12, "{m}: {}", ours.error_rate);
    }
}

#[test]
fn symmetry_and_thinning_change_nothing() {
    for m in [31u32, 32] {
        let mut p = noisy(40.0);
        p.adc.bits = Some(6);
        (p.shifters.loss_db, p.rings.extinction_db) = (0.9, 30.0); // the deviations are not symmetric
        let unit = Mdpu::new(&p, m).unwrap();
        let population = Population::new(&unit, &Operands::uniform(m));
        let ours = rates(&unit, &population, 1.0, Quantisation::Cells);
        let operating = Operating::new(&unit, population.moments().largest_log_amplitude, 1.0);
        for truth in [0usize, 1, 5, 9, 20, 30] {
            let mut row = vec![0.0; m as usize];
            for cell in population.cells(0.0, 0.0) {
                let angle = truth as f64 * 2.0 * PI / f64::from(m) + cell.deviation;
                let point = operating.point(cell.log_amplitude, angle);
                operating.readout.add_errors(truth, point, cell.live, &mut row);
            }
            for j in [1, m as usize - 1] {
                let fast = ours.offsets[truth * m as usize + j];
                assert!((fast / row[j] - 1.0).abs() < 0.05, "{m} {truth} {j}: {fast} {}", row[j]);
            }
        }
    }
}

#[test]
fn more_bits_approach_no_quantisation() {
    let mut last = f64::INFINITY;
    for bits in [5, 6, 8, 10] {
        let mut p = noisy(55.0);
        p.adc.bits = Some(bits);
        let rate = run(&p, 33).error_rate;
        assert!(rate < last, "{bits} bits: {rate} after {last}");
        last = rate;
    }
    let plain = run(&noisy(55.0), 33).error_rate;
    assert!((last / plain - 1.0).abs() < 0.05, "{last} {plain}");
}

#[test]
fn the_quick_rate_sees_an_unbalanced_hybrid() {
    for (gain, phase) in [(0.0, 0.03), (0.04, 0.0), (-0.02, 0.02)] {
        let mut p = noisy(55.0);
        (p.link.hybrid_gain_error, p.link.hybrid_phase_error) = (gain, phase);
        let unit = Mdpu::new(&p, 32).unwrap();
        let population = Population::new(&unit, &Operands::uniform(32));
        let exact = rates(&unit, &population, 1.0, Quantisation::Cells).error_rate;
        let quick = quick_rate(&unit, &population, 1.0);
        assert!((quick / exact - 1.0).abs() < 0.05, "{gain} {phase}: {quick} {exact}");
        assert!(quick > 1.3 * run(&noisy(55.0), 32).error_rate);
    }
}
