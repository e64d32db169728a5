use mirage_arithmetic::*;
fn main() {
    let v: Vec<String> = std::env::args().collect();
    let p = |i: usize| v[i].parse::<usize>().unwrap();
    let (m, k, n, t, reps) = (p(1), p(2), p(3), p(4), p(5));
    let rate: f64 = v[6].parse().unwrap();
    let fill = |len: usize| -> Vec<f32> { (0..len).map(|i| ((i * 7919) % 2003) as f32 / 1001.5 - 1.0).collect() };
    let (a, b, mut c) = (fill(m * k), fill(k * n), vec![0.0; m * n]);
    let va = if t & 1 == 1 { Matrix::new(&a, k, m).transposed() } else { Matrix::new(&a, m, k) };
    let vb = if t & 2 == 2 { Matrix::new(&b, n, k).transposed() } else { Matrix::new(&b, k, n) };
    let config = GemmConfig { protection: Protection::ReadAgain { repeats: 3 }, ..GemmConfig::mirage(1) };
    let channel = (rate > 0.0).then(|| ResidueChannel::uniform(&config.moduli, rate).unwrap());
    let mut gemm = EmulatedGemm::new(config, channel).unwrap();
    if v.len() > 7 { gemm = gemm.on(CpuPath::Portable).unwrap(); }
    let pool = rayon::ThreadPoolBuilder::new().num_threads(1).build().unwrap();
    let site = Site { layer: 0, pass: Pass::Forward, step: 0 };
    let now = || { let mut t = libc::timespec { tv_sec: 0, tv_nsec: 0 }; unsafe { libc::clock_gettime(libc::CLOCK_THREAD_CPUTIME_ID, &mut t) }; t.tv_sec as f64 + t.tv_nsec as f64 * 1e-9 };
    let best = pool.install(|| (0..reps).fold(f64::INFINITY, |b, _| { let s = now(); gemm.multiply(site, va, vb, &mut c); b.min(now() - s) }));
    println!("{} ms, {} GMAC/s", best * 1e3, (m * k * n) as f64 * 1e-9 / best);
}
