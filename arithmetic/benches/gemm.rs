//! Rates of the emulated product against an FP32 product of the crate matrixmultiply on one thread, in one run.
//!
//! `cargo bench -p mirage-arithmetic` runs all shapes; `-- 1024` only those that have the number, `-- chip` those of a sampled
//! chip. Each time is that of the whole product, quantising and packing of both operands included. FP32 and emulated runs take
//! turns, and the best of each counts, so that a busy machine disturbs both alike. *Memory* is the largest amount taken beside the
//! operands and the result, in units of the operands' size.
//!
//! Beside the shapes there are, each with products of its own to compare with: a chip one of whose rows is bad, paths of narrower
//! instructions, two threads (by the clock on the wall), and other formats.

use std::alloc::{GlobalAlloc, Layout, System};
use std::sync::atomic::{AtomicUsize, Ordering::Relaxed};

use mirage_arithmetic::{
    BfpFormat, ChannelKey, CpuPath, EmulatedGemm, GemmConfig, Matrix, Moduli, Pass, Place, Protection,
    ResidueChannel, Rounding, Site, SlipCode,
};

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

/// One emulated product of a table, and what it is called.
struct Case {
    what: String,
    gemm: EmulatedGemm,
}

fn main() {
    let only: Vec<String> = std::env::args().skip(1).filter(|a| !a.starts_with('-')).collect();
    println!("path {}", CpuPath::best());
    println!(
        "{:>15} {:>20} {:>22} {:>8} {:>8} {:>8}",
        "", "M x K x N", "error rate", "GMAC/s", "/ FP32", "memory"
    );
    let rates = || [None, Some(1e-8), Some(1e-4), Some(1e-2)].map(|p| case(rate(p), emulated(p))).into();
    let square = |what, n| shape(what, (n, n, n), (false, false));
    let mut tables: Vec<(Shape, usize, Vec<Case>)> =
        SHAPES.into_iter().map(|shape| (shape, 1, rates())).collect();
    tables.push((
        square("chip", 1024),
        1,
        vec![
            case("average 1e-8", emulated(Some(1e-8))),
            case("rows 1e-8", chip(1e-8, 1e-8)),
            case("rows 1e-8, one 1e-2", chip(1e-8, 1e-2)),
        ],
    ));
    // Narrower instructions than this processor has, but for the draws, which always take the widest.
    for (path, what, n) in [(CpuPath::Portable, "portable", 256), (CpuPath::Avx2, "AVX2", 1024)] {
        if path.available() && path != CpuPath::best() {
            let on = |p| case(rate(p), emulated(p).on(path).expect("it was asked for"));
            tables.push((square(what, n), 1, [None, Some(1e-4)].map(on).into()));
        }
    }
    tables.push((square("two threads", 1024), 2, rates()));
    let formats = [(4, 32, [31, 32, 33]), (7, 32, [127, 128, 129]), (8, 16, [127, 128, 129])];
    for (bits, group, moduli) in formats {
        let named = |p: Option<f64>| {
            let what = format!("b {bits}, g {group}: {}", rate(p));
            case(what, other_format(bits, group, &moduli, p))
        };
        tables.push((square("formats", 512), 1, [None, Some(1e-4)].map(named).into()));
    }
    for (shape, threads, cases) in tables {
        let (m, k, n) = shape.size;
        let name = format!("{m} x {k} x {n}");
        let wanted = |o: &String| name.contains(o.as_str()) || shape.what.contains(o.as_str());
        if only.is_empty() || only.iter().any(wanted) {
            let pool = rayon::ThreadPoolBuilder::new().num_threads(threads).build();
            pool.expect("two threads can be had").install(|| compare(&shape, &name, threads, &cases));
        }
    }
}

fn case(what: impl Into<String>, gemm: EmulatedGemm) -> Case {
    Case { what: what.into(), gemm }
}

fn rate(p: Option<f64>) -> String {
    p.map_or("none".into(), |p| format!("{p:e}"))
}

fn compare(shape: &Shape, name: &str, threads: usize, cases: &[Case]) {
    let (m, k, n) = shape.size;
    let (a, b, mut c) = (values(m * k), values(k * n), vec![0.0; m * n]);
    let a = if shape.transposed.0 { Matrix::new(&a, k, m).transposed() } else { Matrix::new(&a, m, k) };
    let b = if shape.transposed.1 { Matrix::new(&b, n, k).transposed() } else { Matrix::new(&b, k, n) };
    let site = Site { layer: 0, pass: Pass::Forward, step: 0 };
    let clock = if threads == 1 { now } else { wall };
    let (mut fp32, mut times) = (f64::INFINITY, vec![f64::INFINITY; cases.len()]);
    let mut memory = vec![0; cases.len()];
    let macs = m * k * n;
    let repeats = (1_500_000_000 / macs).clamp(20, 200);
    for _ in 0..repeats {
        fp32 = fp32.min(time(clock, || sgemm(a, b, &mut c)));
        for (i, case) in cases.iter().enumerate() {
            let before = NOW.load(Relaxed);
            PEAK.store(before, Relaxed);
            times[i] = times[i].min(time(clock, || {
                case.gemm.multiply(site, a, b, &mut c);
            }));
            memory[i] = PEAK.load(Relaxed) - before;
        }
    }
    let what = shape.what;
    let gmacs = macs as f64 * 1e-9;
    println!("{what:>15} {name:>20} {:>22} {:>8.1} {:>8.2}", "FP32", gmacs / fp32, 1.0);
    for ((case, time), memory) in cases.iter().zip(times).zip(memory) {
        let share = memory as f64 / (4 * (m * k + k * n)) as f64;
        let rate = &case.what;
        println!("{what:>15} {name:>20} {rate:>22} {:>8.1} {:>8.2} {share:>8.2}", gmacs / time, fp32 / time);
    }
}

fn values(len: usize) -> Vec<f32> {
    (0..len).map(|i| ((i * 7919) % 2003) as f32 / 1001.5 - 1.0).collect()
}

/// A chip with errors of a kind and rate on all rows, and another on one row of one unit.
fn chip(rows: f64, one: f64) -> EmulatedGemm {
    let config = GemmConfig::mirage(1);
    let uniform = |p| ResidueChannel::uniform(&config.moduli, p).expect("a rate below 1");
    let (usual, bad) = (uniform(rows), uniform(one));
    let mut tables = Vec::new();
    for unit in 0..config.placement.units {
        for row in 0..config.placement.rows {
            let channel = if (unit, row) == (3, 7) { &bad } else { &usual };
            let key = ChannelKey { chip: Some(0), place: Some(Place { unit, row }) };
            tables.extend(channel.tables().map(|(_, table)| (key, table.clone())));
        }
    }
    protected(config, Some(ResidueChannel::keyed(tables)))
}

fn other_format(mantissa_bits: u8, group: usize, moduli: &[u32], p: Option<f64>) -> EmulatedGemm {
    let moduli = Moduli::new(moduli).expect("coprime moduli");
    let format = BfpFormat { mantissa_bits, group, rounding: Rounding::NearestEven };
    let channel = p.map(|p| ResidueChannel::uniform(&moduli, p).expect("a rate below 1"));
    let code = SlipCode::natural(&moduli);
    protected(GemmConfig { moduli, format, code, ..GemmConfig::mirage(1) }, channel)
}

fn emulated(p: Option<f64>) -> EmulatedGemm {
    let config = GemmConfig::mirage(1);
    let channel = p.map(|p| ResidueChannel::uniform(&config.moduli, p).expect("a rate below 1"));
    protected(config, channel)
}

fn protected(config: GemmConfig, channel: Option<ResidueChannel>) -> EmulatedGemm {
    let config = GemmConfig { protection: Protection::ReadAgain { repeats: 3 }, ..config };
    EmulatedGemm::new(config, channel).expect("moduli, format and channel that fit together")
}

fn time(clock: fn() -> f64, run: impl FnOnce()) -> f64 {
    let start = clock();
    run();
    clock() - start
}

/// Seconds by the clock on the wall.
fn wall() -> f64 {
    static START: std::sync::LazyLock<std::time::Instant> = std::sync::LazyLock::new(std::time::Instant::now);
    START.elapsed().as_secs_f64()
}

/// Seconds that this thread was at work: on Linux time on the processor, which other work does not lengthen.
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
    wall()
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
