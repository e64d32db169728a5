//! What is read follows the channel: held against its probabilities by chi-squared tests, on each path.
//!
//! With K one group and scales of 1, each element of C is the value of one read, whose residues tell what each modulus read.
//! Seeds are fixed, so that the tests say the same every time.

use statrs::distribution::{ChiSquared, ContinuousCDF};

use crate::*;

const ROWS: usize = 384;
const SITE: Site = Site { layer: 5, pass: Pass::Forward, step: 17 };

/// Whole numbers of up to 15 in size, the first of each group of at least 8: the scale is 1.
fn operand(seed: u32) -> Vec<f32> {
    let value = |i: u32| {
        let [x, y, ..] = crate::philox::philox([i, seed, 1, 1], [2, 3]);
        let size = if i.is_multiple_of(16) { 8 + x % 8 } else { x % 16 };
        if y.is_multiple_of(2) { size as f32 } else { -(size as f32) }
    };
    (0..(ROWS * 16) as u32).map(value).collect()
}

/// The values that are read, with some instructions or by the reference.
fn values(gemm: &EmulatedGemm, path: Option<CpuPath>) -> (Vec<i64>, Counters) {
    let (a, b) = (operand(1), operand(2));
    let (a, b) = (Matrix::new(&a, ROWS, 16), Matrix::new(&b, ROWS, 16).transposed());
    let mut out = vec![0.0; ROWS * ROWS];
    let counters = match path {
        Some(path) => gemm.clone().on(path).unwrap().multiply(SITE, a, b, &mut out),
        None => gemm.multiply_reference(SITE, a, b, &mut out),
    };
    assert!(out.iter().all(|x| x.fract() == 0.0));
    (out.into_iter().map(|x| x as i64).collect(), counters)
}

fn paths() -> impl Iterator<Item = Option<CpuPath>> {
    CpuPath::ALL.into_iter().filter(|path| path.available()).map(Some).chain([None])
}

fn gemm(protection: Protection, channel: Option<ResidueChannel>) -> EmulatedGemm {
    EmulatedGemm::new(GemmConfig { protection, ..GemmConfig::mirage(2026) }, channel).unwrap()
}

/// A sum of squares over expectations, and how many of its terms are independent.
#[derive(Default)]
struct Statistic {
    sum: f64,
    freedom: usize,
}

impl Statistic {
    /// Adds counts of classes with these expectations, both of the same sum.
    fn add(&mut self, counts: impl IntoIterator<Item = (f64, f64)>) {
        let mut classes = 0;
        for (found, expected) in counts {
            assert!(expected > 5.0, "{expected}: too few to compare");
            self.sum += (found - expected).powi(2) / expected;
            classes += 1;
        }
        self.freedom += classes - 1;
    }

    /// The law is not refused at 1 in 10,000, on either side.
    fn check(&self, what: &str) {
        let law = ChiSquared::new(self.freedom as f64).unwrap();
        let (above, below) = (law.sf(self.sum), law.cdf(self.sum));
        let Self { sum, freedom } = self;
        assert!(above > 1e-4 && below > 1e-4, "{what}: chi-squared {sum} with {freedom} degrees of freedom");
    }
}

/// Rates differ between true residues, probabilities between the residues read; some are never read.
fn uneven(m: u32) -> ChannelTable {
    let weight =
        |t: u32, r: u32| if r == t || (t + r).is_multiple_of(5) { 0 } else { 2 + (7 * t + 13 * r) % 11 };
    let probability = |t: u32, r: u32| {
        let all: u32 = (0..m).map(|r| weight(t, r)).sum();
        let rate = 0.2 + 0.5 * f64::from(t) / f64::from(m);
        rate * f64::from(weight(t, r)) / f64::from(all)
    };
    ChannelTable::new(m, (0..m * m).map(|i| probability(i / m, i % m)).collect(), None).unwrap()
}

/// Per modulus and true residue: how many reads are wrong, and which residues are read instead.
#[test]
fn first_reads_follow_the_channel() {
    let moduli = Moduli::mirage();
    let channel = ResidueChannel::average(moduli.as_slice().iter().map(|&m| uneven(m)).collect());
    let (truths, _) = values(&gemm(Protection::None, None), None);
    for path in paths() {
        let (read, counters) = values(&gemm(Protection::None, Some(channel.clone())), path);
        let what = path.map_or("reference".into(), |path| path.to_string());
        let mut wrong = 0;
        for (index, &m) in moduli.as_slice().iter().enumerate() {
            let mut counts = vec![0u32; (m * m) as usize];
            for (&truth, &value) in truths.iter().zip(&read) {
                counts[(moduli.residue(truth, index) * m + moduli.residue(value, index)) as usize] += 1;
            }
            let table = channel.table(m).unwrap();
            let (mut numbers, mut picks) = (Statistic::default(), Statistic::default());
            for t in 0..m {
                let row = &counts[(t * m) as usize..][..m as usize];
                let all = f64::from(row.iter().sum::<u32>());
                let right = f64::from(row[t as usize]);
                numbers.add([(right, all * (1.0 - table.rate(t))), (all - right, all * table.rate(t))]);
                let some = (0..m).filter(|&r| r != t && table.probability(t, r) > 0.0);
                picks.add(some.map(|r| {
                    let share = table.probability(t, r) / table.rate(t);
                    (f64::from(row[r as usize]), (all - right) * share)
                }));
                let never = (0..m).filter(|&r| table.probability(t, r) == 0.0);
                assert_eq!(never.map(|r| row[r as usize]).sum::<u32>(), 0);
                wrong += (all - right) as u64;
            }
            numbers.check(&format!("{what}, wrong reads of modulus {m}"));
            picks.check(&format!("{what}, residues read of modulus {m}"));
        }
        assert_eq!(counters.wrong, wrong);
    }
}

/// A repeat reads the wrong residue of before, reads another, or reads right, as often as the rate and P(wrong again | wrong)
/// say; the first repeat and the second.
#[test]
fn repeats_follow_the_channel() {
    let (moduli, bound) = (Moduli::mirage(), BfpFormat::mirage().bound());
    let (rate, index, m) = (0.25, 1, 32);
    let tables = moduli.as_slice().iter().map(|&n| {
        let p = if n == m { rate / f64::from(n - 1) } else { 0.0 };
        ChannelTable::new(n, vec![p; (n * n) as usize], None).unwrap()
    });
    let average = ResidueChannel::average(tables.collect());
    let (truths, _) = values(&gemm(Protection::None, None), None);
    // Said of the average; and of each row, beside an average that says otherwise.
    let cases: [(&[f64], bool); 5] =
        [(&[], false), (&[0.1], false), (&[0.6], false), (&[0.35, 0.7], false), (&[0.35, 0.7], true)];
    for (again, by_row) in cases {
        let mut channel = average.clone();
        channel.set_again(m, again);
        if by_row {
            let Placement { units, rows } = GemmConfig::mirage(0).placement;
            let places = (0..units).flat_map(|unit| (0..rows).map(move |row| Place { unit, row }));
            let keys: Vec<_> = places.map(|place| ChannelKey { chip: Some(1), place: Some(place) }).collect();
            let own = average.tables().flat_map(|(_, t)| keys.iter().map(|&key| (key, t.clone())));
            channel = ResidueChannel::keyed(own.collect());
            keys.iter().for_each(|&key| channel.set_again_of(key, m, again));
        }
        // A rate of fresh errors above P(wrong again | wrong) leaves no share to static ones.
        let stays = |attempt: usize| {
            let again = again.get(attempt.min(again.len().saturating_sub(1)));
            again.map_or(0.0, |again| f64::max(again - rate, 0.0))
        };
        let run = |protection, path| values(&gemm(protection, Some(channel.clone())), path).0;
        for path in paths() {
            let first = run(Protection::None, path);
            let once = run(Protection::ReadAgain { repeats: 1 }, path);
            let twice = run(Protection::ReadAgain { repeats: 2 }, path);
            // What is given up after the last repeat is zero.
            let mut open: Vec<bool> = first.iter().map(|value| value.abs() > bound).collect();
            for (attempt, (before, after)) in [(&first, &once), (&once, &twice)].into_iter().enumerate() {
                // By how many wrong residues keep the value in range: counts of right, wrong in range, and out of range. Where
                // the value could be zero all the same, nobody can tell.
                let mut counts = vec![[0u32; 3]; m as usize];
                for (i, (&before, &after)) in before.iter().zip(after).enumerate() {
                    if !open[i] {
                        assert_eq!(after, before);
                        continue;
                    }
                    open[i] = after == 0;
                    let value = |delta| moduli.add(truths[i], moduli.shift_of(index, i64::from(delta)));
                    if (0..m).any(|delta| value(delta) == 0) {
                        continue;
                    }
                    let inside = (1..m).filter(|&delta| value(delta).abs() <= bound).count();
                    let class = if after == truths[i] { 0 } else { 1 + usize::from(after == 0) };
                    counts[inside][class] += 1;
                }
                let mut statistic = Statistic::default();
                for (inside, counts) in counts.iter().enumerate() {
                    let all = f64::from(counts.iter().sum::<u32>());
                    let within = rate * inside as f64 / f64::from(m - 1);
                    let shares = [1.0 - rate - stays(attempt), within, rate - within + stays(attempt)];
                    if shares.iter().all(|share| all * share > 5.0) {
                        let classes = counts.iter().zip(shares);
                        statistic.add(classes.map(|(&count, share)| (f64::from(count), all * share)));
                    }
                }
                assert!(statistic.freedom >= 2);
                statistic.check(&format!("again {again:?}, by row {by_row}, attempt {attempt}, {path:?}"));
            }
        }
    }
}
