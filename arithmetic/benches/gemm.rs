//! Rates of the emulated product against an FP32 product of the crate matrixmultiply, one thread, in one run.
//!
//! `cargo bench -p mirage-arithmetic`

use std::time::Instant;

use mirage_arithmetic::{EmulatedGemm, GemmConfig, Matrix, Pass, Protection, ResidueChannel, Site};

/// Best of several runs, in seconds.
fn best(mut run: impl FnMut()) -> f64 {
    (0..5).fold(f64::INFINITY, |best, _| {
        let start = Instant::now();
        run();
        best.min(start.elapsed().as_secs_f64())
    })
}

fn main() {
    let pool = rayon::ThreadPoolBuilder::new().num_threads(1).build().expect("one thread can be had");
    println!("{:>20} {:>12} {:>10} {:>8}", "M x K x N", "error rate", "GMAC/s", "/ FP32");
    for (m, k, n) in
        [(1024, 1024, 1024), (256, 256, 256), (32, 400, 12544), (32, 12544, 400), (128, 1568, 64)]
    {
        let fill = |len: usize| -> Vec<f32> {
            (0..len).map(|i| ((i * 7919) % 2003) as f32 / 1001.5 - 1.0).collect()
        };
        let (a, b, mut c) = (fill(m * k), fill(k * n), vec![0.0; m * n]);
        let gmacs = (m * k * n) as f64 * 1e-9;
        let fp32 = best(|| {
            // SAFETY: the pointers cover matrices of the given shapes and strides.
            unsafe {
                let (rk, rn) = (k as isize, n as isize);
                matrixmultiply::sgemm(
                    m,
                    k,
                    n,
                    1.0,
                    a.as_ptr(),
                    rk,
                    1,
                    b.as_ptr(),
                    rn,
                    1,
                    0.0,
                    c.as_mut_ptr(),
                    rn,
                    1,
                );
            }
        });
        let shape = format!("{m} x {k} x {n}");
        println!("{shape:>20} {:>12} {:>10.1} {:>8.2}", "FP32", gmacs / fp32, 1.0);
        for rate in [None, Some(1e-8), Some(1e-4)] {
            let config =
                GemmConfig { protection: Protection::ReadAgain { repeats: 3 }, ..GemmConfig::mirage(1) };
            let channel = rate.map(|p| ResidueChannel::uniform(&config.moduli, p).expect("a rate below 1"));
            let gemm = EmulatedGemm::new(config, channel).expect("Mirage's arithmetic");
            let site = Site { layer: 0, pass: Pass::Forward, step: 0 };
            let time = pool.install(|| {
                best(|| {
                    gemm.multiply(site, Matrix::new(&a, m, k), Matrix::new(&b, k, n), &mut c);
                })
            });
            let rate = rate.map_or("none".into(), |p| format!("{p:e}"));
            println!("{shape:>20} {rate:>12} {:>10.1} {:>8.2}", gmacs / time, fp32 / time);
        }
    }
}
