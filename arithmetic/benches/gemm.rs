//! Rates of the emulated product against an FP32 product of the crate matrixmultiply, one thread, in one run.
//!
//! `cargo bench -p mirage-arithmetic` runs all shapes; `-- 1024` only those that have the number. Each time is that of the whole
//! product, quantising and packing of both operands included. FP32 and emulated runs take turns, and the best of each counts,
//! so that a busy machine disturbs both alike. *Memory* is the largest amount taken beside the operands and the result, in
//! units of the operands' size.

use std::alloc::{GlobalAlloc, Layout, System};
use std::sync::atomic::{AtomicUsize, Ordering::Relaxed};

use mirage_arithmetic::{CpuPath, EmulatedGemm, GemmConfig, Matrix, Pass, Protection, ResidueChannel, Site};

/// Counts what is allocated.
struct Counting;

static NOW: AtomicUsize = AtomicUsize::new(0);
static PEAK: AtomicUsize = AtomicUsize::new(0);

// SAFETY: every call is handed on to the system's allocator unchanged.
unsafe impl GlobalAlloc for Counting {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        let now = NOW.fetch_add(layout.size(), Relaxed) + layout.size();
        PEAK.fetch_max(now, Relaxed);
        // SAFETY: the caller keeps the promises of this function, which are those of the system's.
        unsafe { System.alloc(layout) }
    }

    unsafe fn dealloc(&self, at: *mut u8, layout: Layout) {
        NOW.fetch_sub(layout.size(), Relaxed);
        // SAFETY: as above.
        unsafe { System.dealloc(at, layout) }
    }
}

#[global_allocator]
static ALLOCATOR: Counting = Counting;

/// Shapes M, K, N, and how many elements of A, and of B, lie transposed in memory.
struct Shape {
    what: &'static str,
    size: (usize, usize, usize),
    transposed: (bool, bool),
}

const fn shape(what: &'static str, size: (usize, usize, usize), transposed: (bool, bool)) -> Shape {
    Shape { what, size, transposed }
}

const SHAPES: [Shape; 12] = [
    shape("square", (1024, 1024, 1024), (false, false)),
    shape("square, A^T B", (1024, 1024, 1024), (true, false)),
    shape("square, A B^T", (1024, 1024, 1024), (false, true)),
    shape("square", (256, 256, 256), (false, false)),
    shape("square", (64, 64, 64), (false, false)),
    shape("wide", (32, 400, 12544), (false, false)),
    shape("long", (32, 12544, 400), (false, true)),
    shape("conv2 forward", (16, 72, 12544), (false, false)),
    shape("conv2 dX", (72, 16, 12544), (true, false)),
    shape("conv2 dW", (16, 12544, 72), (false, true)),
    shape("linear forward", (128, 1568, 64), (false, false)),
    shape("linear dX", (1568, 128, 64), (true, false)),
];

fn main() {
    let only: Vec<String> = std::env::args().skip(1).filter(|a| !a.starts_with('-')).collect();
    let pool = rayon::ThreadPoolBuilder::new().num_threads(1).build().expect("one thread can be had");
    println!("path {}, one thread", CpuPath::best());
    println!(
        "{:>15} {:>20} {:>10} {:>8} {:>8} {:>8}",
        "", "M x K x N", "error rate", "GMAC/s", "/ FP32", "memory"
    );
    for shape in SHAPES {
        let (m, k, n) = shape.size;
        let name = format!("{m} x {k} x {n}");
        if only.is_empty()
            || only.iter().any(|o| name.contains(o.as_str()) || shape.what.contains(o.as_str()))
        {
            pool.install(|| compare(&shape, &name));
        }
    }
}

fn compare(shape: &Shape, name: &str) {
    let (m, k, n) = shape.size;
    let (a, b, mut c) = (values(m * k), values(k * n), vec![0.0; m * n]);
    let a = if shape.transposed.0 { Matrix::new(&a, k, m).transposed() } else { Matrix::new(&a, m, k) };
    let b = if shape.transposed.1 { Matrix::new(&b, n, k).transposed() } else { Matrix::new(&b, k, n) };
    let rates = [None, Some(1e-8), Some(1e-4), Some(1e-2)];
    let gemms = rates.map(emulated);
    let site = Site { layer: 0, pass: Pass::Forward, step: 0 };
    let (mut fp32, mut times) = (f64::INFINITY, [f64::INFINITY; 4]);
    let mut memory = [0; 4];
    let macs = m * k * n;
    let repeats = (1_500_000_000 / macs).clamp(5, 200);
    for _ in 0..repeats {
        fp32 = fp32.min(time(|| sgemm(a, b, &mut c)));
        for (i, gemm) in gemms.iter().enumerate() {
            let before = NOW.load(Relaxed);
            PEAK.store(before, Relaxed);
            times[i] = times[i].min(time(|| {
                gemm.multiply(site, a, b, &mut c);
            }));
            memory[i] = PEAK.load(Relaxed) - before;
        }
    }
    let what = shape.what;
    let gmacs = macs as f64 * 1e-9;
    println!("{what:>15} {name:>20} {:>10} {:>8.1} {:>8.2}", "FP32", gmacs / fp32, 1.0);
    for ((rate, time), memory) in rates.into_iter().zip(times).zip(memory) {
        let rate = rate.map_or("none".into(), |p| format!("{p:e}"));
        let share = memory as f64 / (4 * (m * k + k * n)) as f64;
        println!("{what:>15} {name:>20} {rate:>10} {:>8.1} {:>8.2} {share:>8.2}", gmacs / time, fp32 / time);
    }
}

fn values(len: usize) -> Vec<f32> {
    (0..len).map(|i| ((i * 7919) % 2003) as f32 / 1001.5 - 1.0).collect()
}

fn emulated(rate: Option<f64>) -> EmulatedGemm {
    let config = GemmConfig { protection: Protection::ReadAgain { repeats: 3 }, ..GemmConfig::mirage(1) };
    let channel = rate.map(|p| ResidueChannel::uniform(&config.moduli, p).expect("a rate below 1"));
    EmulatedGemm::new(config, channel).expect("Mirage's arithmetic")
}

/// Seconds that this thread was at work: on Linux time on the processor, which other work does not lengthen.
fn time(run: impl FnOnce()) -> f64 {
    let start = now();
    run();
    now() - start
}

#[cfg(target_os = "linux")]
fn now() -> f64 {
    let mut time = libc::timespec { tv_sec: 0, tv_nsec: 0 };
    // SAFETY: the pointer is to a timespec, which the call fills.
    let failed = unsafe { libc::clock_gettime(libc::CLOCK_THREAD_CPUTIME_ID, &mut time) };
    assert_eq!(failed, 0, "Linux has a clock for each thread");
    time.tv_sec as f64 + time.tv_nsec as f64 * 1e-9
}

#[cfg(not(target_os = "linux"))]
fn now() -> f64 {
    static START: std::sync::LazyLock<std::time::Instant> = std::sync::LazyLock::new(std::time::Instant::now);
    START.elapsed().as_secs_f64()
}

fn sgemm(a: Matrix<'_>, b: Matrix<'_>, c: &mut [f32]) {
    // SAFETY: the views lie within their data, and `c` has as many rows as A and as many columns as B.
    unsafe {
        matrixmultiply::sgemm(
            a.rows(),
            a.cols(),
            b.cols(),
            1.0,
            a.data().as_ptr(),
            a.row_stride() as isize,
            a.col_stride() as isize,
            b.data().as_ptr(),
            b.row_stride() as isize,
            b.col_stride() as isize,
            0.0,
            c.as_mut_ptr(),
            b.cols() as isize,
            1,
        );
    }
}
