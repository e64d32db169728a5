use super::*;
use statrs::distribution::{Binomial, ChiSquared, ContinuousCDF, Discrete, DiscreteCDF};

fn random(seed: u64) -> Pcg64 {
    Pcg64::new(u128::from(seed), 7)
}

/// Pearson's test of `samples` draws against Binomial(n, p), cells pooled to at least 20 expected.
fn chi_square_p_value(mut draw: impl FnMut() -> u64, n: u64, p: f64) -> f64 {
    let samples = 40_000;
    let mut counts = vec![0u64; usize::try_from(n).unwrap() + 1];
    for _ in 0..samples {
        counts[usize::try_from(draw()).unwrap()] += 1;
    }
    let law = Binomial::new(p, n).unwrap();
    let (mut statistic, mut cells, mut seen, mut expected) = (0.0, 0, 0.0, 0.0);
    for (k, count) in counts.iter().enumerate() {
        seen += *count as f64;
        expected += law.pmf(k as u64) * f64::from(samples);
        if expected >= 20.0 {
            statistic += (seen - expected) * (seen - expected) / expected;
            (seen, expected, cells) = (0.0, 0.0, cells + 1);
        }
    }
    ChiSquared::new(f64::from(cells - 1)).unwrap().sf(statistic)
}

#[test]
fn binomials_follow_their_law() {
    for (n, p) in [(20, 0.1), (100, 0.03), (60, 0.25), (1000, 0.02), (400, 0.5), (300, 0.9), (5_000, 0.01)] {
        let mut random = random(1);
        let value = chi_square_p_value(|| binomial(&mut random, n, p), n, p);
        assert!(value > 1e-4, "n = {n}, p = {p}: {value}");
    }
    assert_eq!(binomial(&mut random(1), 77, 1.0), 77);
    assert_eq!(binomial(&mut random(1), 77, 0.0), 0);
}

#[test]
fn both_ways_of_drawing_give_the_same_law() {
    // Below and above the switch between positions and counts: wrong reads and hit vectors are binomial.
    for (vectors, rows, p) in [(40, 4, 0.05), (40, 4, 0.2), (60, 8, 0.1)] {
        let model = RepeatModel { detected_per_group: p, again: 0.0, repeats: 1 };
        let hit = 1.0 - (1.0 - p).powi(i32::try_from(rows).unwrap());
        for stall in [Stall::Unit, Stall::Row] {
            let mut sampler = Sampler::new(model, stall, random(2));
            let groups = chi_square_p_value(|| sampler.draw(vectors, rows).groups, vectors * rows, p);
            assert!(groups > 1e-4, "{vectors} x {rows} at {p}, {stall:?}: {groups}");
        }
        let mut sampler = Sampler::new(model, Stall::Unit, random(3));
        let cycles = chi_square_p_value(|| sampler.draw(vectors, rows).cycles, vectors, hit);
        assert!(cycles > 1e-4, "{vectors} x {rows} at {p}: {cycles}");
    }
}

#[test]
fn the_slowest_row_decides() {
    // One row: its cycles are its repeats. Many rows: the most of independent binomials.
    let model = RepeatModel { detected_per_group: 0.02, again: 0.0, repeats: 1 };
    for (vectors, rows) in [(200, 1), (200, 8), (2_000, 8)] {
        let mut sampler = Sampler::new(model, Stall::Row, random(5));
        let law = Binomial::new(0.02, vectors).unwrap();
        let most = vectors / 4;
        let below: Vec<f64> = (0..most).map(|k| law.cdf(k).powi(i32::try_from(rows).unwrap())).collect();
        let mean: f64 = below.iter().map(|cdf| 1.0 - cdf).sum();
        let samples = 20_000;
        let drawn: u64 = (0..samples).map(|_| sampler.draw(vectors, rows).cycles).sum();
        let off = drawn as f64 / samples as f64 / mean - 1.0;
        assert!(off.abs() < 0.01, "{vectors} x {rows}: {off}");
    }
}

#[test]
fn expectations_are_met() {
    let model = RepeatModel { detected_per_group: 2e-3, again: 0.3, repeats: 3 };
    let mut sampler = Sampler::new(model, Stall::Row, random(3));
    let (tiles, vectors, rows) = (20_000, 100, 32);
    let drawn: u64 = (0..tiles).map(|_| sampler.draw(vectors, rows).groups).sum();
    let expected = model.expected(tiles * vectors * rows);
    assert!((expected - 6.4e7 * 2e-3 * (1.0 + 0.3 + 0.09)).abs() < 1e-3);
    assert!((drawn as f64 - expected).abs() < 6.0 * (2.0 * expected).sqrt(), "{drawn} against {expected}");
}

#[test]
fn bounds_hold() {
    let all = RepeatModel { detected_per_group: 1.0, again: 1.0, repeats: 2 };
    for (vectors, stall) in [(1, Stall::Unit), (50, Stall::Unit), (1, Stall::Row), (50, Stall::Row)] {
        let drawn = Sampler::new(all, stall, random(4)).draw(vectors, 4);
        assert_eq!(drawn, Drawn { groups: 8 * vectors, cycles: 2 * vectors });
    }
    assert_eq!(all.expected(10), 20.0);
    let none = RepeatModel { detected_per_group: 0.0, again: 0.0, repeats: 2 };
    assert_eq!(Sampler::new(none, Stall::Unit, random(4)).draw(1 << 40, 32), Drawn::default());
    assert!(!none.active() && none.waits() && none.check().is_ok());
    let wrong = RepeatModel { detected_per_group: 1.5, ..none };
    assert!(wrong.check().unwrap_err().to_string().contains("is 1.5, but must lie between 0 and 1"));
    assert!(RepeatModel { again: f64::NAN, ..none }.check().is_err());
}

#[test]
fn means_of_the_arithmetic_become_a_model() {
    let wanted = RepeatModel { detected_per_group: 1e-4, again: 0.17, repeats: 3 };
    let model = RepeatModel::from_means(1e-4, wanted.expected(1), 3).unwrap();
    assert!((model.again - 0.17).abs() < 1e-9, "{model:?}");
    assert_eq!(RepeatModel::from_means(0.0, 0.0, 3).unwrap().expected(1000), 0.0);
    assert!(RepeatModel::from_means(1e-4, 4e-4, 3).is_err());
    let reads = ExpectedReads { wrong: 2e-4, detected: 1e-4, silent: 0.0, repeats: 1e-4 };
    let of = |protection| RepeatModel::of_channel(&reads, protection).unwrap();
    assert_eq!(of(Protection::Saturate), None);
    // One wrong residue is put right, so to first order nothing is read again; with one modulus more it is only seen.
    let correct = |redundant| of(Protection::Correct { redundant, repeats: 2 }).unwrap();
    assert!(!correct(2).active() && correct(2).waits());
    assert_eq!(correct(1), of(Protection::ReadAgain { repeats: 2 }).unwrap());
    assert!(of(Protection::ReadAgain { repeats: 2 }).unwrap().again < 1e-9);
    assert!(RepeatModel::from_means(-1.0, 0.0, 3).is_err());
}

#[test]
fn tails_are_those_of_the_binomial_distribution_however_many_rows_there_are() {
    for rows in [1, 2, 32, 512, 65_536] {
        for p in [0.0, 1e-9, 1e-3, 0.02, 0.35, 0.6, 0.95, 0.999, 1.0] {
            let tails = super::tails(p, rows);
            // The mean is the sum of P(at least 1), P(at least 2), ..
            let (mean, expected) = (tails.iter().sum::<f64>(), rows as f64 * p);
            assert!((mean - expected).abs() <= 1e-9 * expected, "{rows} {p}: {mean}");
            let first = if p < 1.0 { -(rows as f64 * (-p).ln_1p()).exp_m1() } else { 1.0 };
            assert!((tails.first().copied().unwrap_or(0.0) - first).abs() <= 1e-9 * first, "{rows} {p}");
        }
    }
}
