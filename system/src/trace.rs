//! What every part of the chip did when, for a trace viewer.

use std::collections::BTreeMap;
use std::fmt::Write as _;

/// A part of the chip with a line of its own. It does one thing at a time.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Track {
    /// A unit, with its converters: these work while it is programmed and streams.
    Unit(u32),
    /// The port over which units load the operands of their next tile.
    Load,
    /// The accumulators: how many of their two halves are in use.
    Accumulators,
    /// The way out of the accumulators.
    Drain,
    /// Vector unit (0) and optimiser (1).
    Lanes(u8),
    /// A way of the DMA into (`false`) or out of (`true`) a partition of the SRAM, the staging buffers or the links.
    Port(u8, bool),
    /// A channel of the off-chip memory.
    Channel(u32),
    /// The link to the next chip.
    Link,
}

impl Track {
    /// The name in a viewer.
    #[must_use]
    pub fn name(self) -> String {
        match self {
            Self::Unit(unit) => format!("unit {unit}"),
            Self::Load => "load port".to_owned(),
            Self::Accumulators => "accumulators".to_owned(),
            Self::Drain => "drain".to_owned(),
            Self::Lanes(0) => "vector unit".to_owned(),
            Self::Lanes(_) => "optimiser".to_owned(),
            Self::Port(port, out) => {
                PORTS.get(usize::from(port)).map_or("DMA", |names| names[usize::from(out)]).to_owned()
            }
            Self::Channel(channel) => format!("off-chip channel {channel}"),
            Self::Link => "link".to_owned(),
        }
    }
}

/// Where data enter and leave the chip: in, out.
pub(crate) const PORTS: [[&str; 2]; 6] = [
    ["DMA to weights", "DMA from weights"],
    ["DMA to activations", "DMA from activations"],
    ["DMA to gradients", "DMA from gradients"],
    ["DMA to vector unit", "DMA from vector unit"],
    ["DMA to optimiser", "DMA from optimiser"],
    ["DMA to links", "DMA from links"],
];

/// A piece of time on one track.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Span {
    /// Whose.
    pub track: Track,
    /// What was done, or waited for.
    pub part: &'static str,
    /// The task that it was spent on, by its place in the layers of the result; `None` for none.
    pub task: Option<u32>,
    /// The simulated step.
    pub step: u32,
    /// From, in ticks of one picosecond.
    pub begin: u64,
    /// To.
    pub end: u64,
}

impl Span {
    fn same(&self, other: &Self) -> bool {
        (self.part, self.task, self.step) == (other.part, other.task, other.step)
    }
}

/// What a track did: finished spans, and the interval that is being filled.
#[derive(Debug, Clone, Default)]
struct Line {
    done: Vec<Span>,
    /// What was done in the present interval, each thing once, as long as it took.
    filling: Vec<Span>,
    interval: u64,
}

impl Line {
    /// Lays what was done in the present interval one after the other from its beginning.
    fn close(&mut self, grain: u64) {
        let mut at = self.interval * grain;
        for mut span in std::mem::take(&mut self.filling) {
            (span.begin, span.end) = (at, at + (span.end - span.begin));
            at = span.end;
            self.push(span);
        }
    }

    fn push(&mut self, span: Span) {
        match self.done.last_mut() {
            Some(last) if last.end == span.begin && last.same(&span) => last.end = span.end,
            _ => self.done.push(span),
        }
    }

    fn add(&mut self, mut span: Span, grain: u64) {
        if grain == 0 {
            return self.push(span);
        }
        while span.begin < span.end {
            let interval = span.begin / grain;
            if interval != self.interval {
                self.close(grain);
                self.interval = interval;
            }
            let whole = span.end / grain;
            if span.begin == interval * grain && whole > interval {
                // Whole intervals, nothing else in them.
                self.push(Span { end: whole * grain, ..span });
                span.begin = whole * grain;
                continue;
            }
            let end = span.end.min((interval + 1) * grain);
            let ticks = end - span.begin;
            match self.filling.iter_mut().find(|other| other.same(&span)) {
                Some(other) => other.end += ticks,
                None => self.filling.push(Span { end, ..span }),
            }
            span.begin = end;
        }
    }
}

/// The spans of a simulation. Time is cut into intervals of a grain; in each, a track has one span for each thing that it did
/// in it, as long as that took, one after the other from the beginning of the interval. So the spans of a track never tell
/// of more time than was spent, at any grain; and what lasts for whole intervals stays one span.
#[derive(Debug, Clone)]
pub struct Trace {
    grain: u64,
    limit: usize,
    step: u32,
    lines: BTreeMap<Track, Line>,
    /// Spans, about: those of open intervals are counted when they are closed.
    count: usize,
    /// The last end of a span.
    end: u64,
}

/// The first grain of a trace that becomes too long: a nanosecond.
const FIRST: u64 = 1_000;

/// Intervals that a trace keeps however many spans they hold: a trace without any time in it tells nothing.
const FEWEST: u64 = 100;

/// No step is as long, in ticks.
const COARSEST: u64 = 1 << 61;

impl Trace {
    /// A trace with a grain in ticks; 0 keeps every span as it was. Beyond `limit` spans (0 for none) the grain doubles
    /// until half as many are left, or only a hundred intervals.
    #[must_use]
    pub fn new(grain: u64, limit: usize) -> Self {
        Self { grain: grain.min(COARSEST), limit, step: 0, lines: BTreeMap::new(), count: 0, end: 0 }
    }

    pub(crate) fn next_step(&mut self) {
        self.step += 1;
    }

    /// The grain, in ticks.
    #[must_use]
    pub fn grain(&self) -> u64 {
        self.grain
    }

    /// Adds a span; those of a track come in the order of time.
    pub(crate) fn span(&mut self, track: Track, part: &'static str, task: Option<u32>, begin: u64, end: u64) {
        if end <= begin {
            return;
        }
        let line = self.lines.entry(track).or_default();
        let before = line.done.len();
        line.add(Span { track, part, task, step: self.step, begin, end }, self.grain);
        self.count += line.done.len() - before;
        self.end = self.end.max(end);
        if self.limit > 0 && self.count > self.limit {
            self.coarsen();
        }
    }

    fn coarsen(&mut self) {
        while self.count > self.limit / 2 && self.grain < self.end / FEWEST {
            let grain = (2 * self.grain).max(FIRST);
            for line in self.lines.values_mut() {
                line.close(self.grain);
                let fine = std::mem::take(line);
                for span in fine.done {
                    line.add(span, grain);
                }
            }
            self.grain = grain;
            self.count = self.lines.values().map(|line| line.done.len()).sum();
        }
        // As much as that happens in a hundred intervals.
        self.limit = self.limit.max(2 * self.count);
    }

    /// All spans, by track and time.
    #[must_use]
    pub fn into_spans(mut self) -> Vec<Span> {
        for line in self.lines.values_mut() {
            line.close(self.grain);
        }
        self.lines.into_values().flat_map(|line| line.done).collect()
    }
}

/// An operation for a viewer: its name, and from when to when (ticks).
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Bar {
    /// Layer and stage.
    pub name: String,
    /// What is done: product, sweep, all-reduce.
    pub kind: &'static str,
    /// From.
    pub begin: u64,
    /// To.
    pub end: u64,
}

/// Bars on as few lines as they need without overlapping: the line of each.
#[must_use]
pub fn lines(bars: &[Bar]) -> Vec<usize> {
    let mut order: Vec<usize> = (0..bars.len()).collect();
    order.sort_by_key(|&bar| (bars[bar].begin, bar));
    let (mut ends, mut lines) = (Vec::<u64>::new(), vec![0; bars.len()]);
    for bar in order {
        let line = ends.iter().position(|&end| end <= bars[bar].begin).unwrap_or(ends.len());
        if line == ends.len() {
            ends.push(0);
        }
        ends[line] = bars[bar].end;
        lines[bar] = line;
    }
    lines
}

/// A trace in the JSON form of trace viewers (Perfetto, chrome://tracing): complete events (`ph` X) with times in microseconds, one
/// thread for each track. Process 1 holds the parts of the chip, its name the grain (ticks); process 2 the operations, those that
/// overlap on lines of their own. A span's arguments tell its operation, and its duration in picoseconds.
///
/// Perfetto takes whole nanoseconds and leaves out spans that begin within another by a rounding. So both ends of a span are
/// rounded down to nanoseconds, and it begins a quarter of one later, which no conversion of the numbers turns into the one before.
#[must_use]
pub fn to_json(spans: &[Span], bars: &[Bar], grain: u64) -> String {
    let mut out = String::from("{\"displayTimeUnit\":\"ns\",\"traceEvents\":[\n");
    let mut events = Events { out: &mut out, first: true };
    let chip = match grain {
        0 => "chip".to_owned(),
        grain => format!("chip (what was done in each {} us is laid one after the other)", micro(grain)),
    };
    events.process(1, &chip);
    events.process(2, "operations");
    let mut tracks: Vec<Track> = spans.iter().map(|span| span.track).collect();
    tracks.dedup();
    for (thread, track) in tracks.iter().enumerate() {
        events.thread(1, thread, &track.name());
    }
    let lines = lines(bars);
    for line in 0..lines.iter().max().map_or(0, |most| most + 1) {
        events.thread(2, line, &format!("operations {line}"));
    }
    let mut thread = 0;
    for span in spans {
        while tracks[thread] != span.track {
            thread += 1;
        }
        let operation = span.task.and_then(|task| bars.get(task as usize)).map_or("none", |bar| &bar.name);
        let arguments = format!("\"operation\":{},\"step\":{}", text(operation), span.step);
        events.span([1, thread], span.part, [span.begin, span.end], &arguments);
    }
    // Bars of a line in the order of time.
    let mut order: Vec<(usize, &Bar)> = lines.into_iter().zip(bars).collect();
    order.sort_by_key(|(line, bar)| (*line, bar.begin));
    for (line, bar) in order {
        events.span([2, line], &bar.name, [bar.begin, bar.end], &format!("\"kind\":{}", text(bar.kind)));
    }
    out.push_str("\n]}\n");
    out
}

struct Events<'a> {
    out: &'a mut String,
    first: bool,
}

impl Events<'_> {
    fn add(&mut self, event: &str) {
        if !std::mem::take(&mut self.first) {
            self.out.push_str(",\n");
        }
        self.out.push_str(event);
    }

    fn process(&mut self, process: usize, name: &str) {
        let name = text(name);
        self.add(&format!(
            "{{\"ph\":\"M\",\"pid\":{process},\"name\":\"process_name\",\"args\":{{\"name\":{name}}}}}"
        ));
    }

    fn thread(&mut self, process: usize, place: usize, name: &str) {
        let (name, thread) = (text(name), number(process, place));
        self.add(&format!(
            "{{\"ph\":\"M\",\"pid\":{process},\"tid\":{thread},\"name\":\"thread_name\",\"args\":{{\"name\":{name}}}}}"
        ));
        self.add(&format!(
            "{{\"ph\":\"M\",\"pid\":{process},\"tid\":{thread},\"name\":\"thread_sort_index\",\"args\":{{\"sort_index\":{place}}}}}"
        ));
    }

    fn span(&mut self, [process, place]: [usize; 2], name: &str, [begin, end]: [u64; 2], arguments: &str) {
        let (first, last) = (begin / NANO, end / NANO);
        let (name, ps, thread) = (text(name), end - begin, number(process, place));
        let (from, long) = (micro(first * NANO + NANO / 4), micro((last - first) * NANO));
        self.add(&format!(
            "{{\"ph\":\"X\",\"pid\":{process},\"tid\":{thread},\"ts\":{from},\"dur\":{long},\"name\":{name},\"args\":{{{arguments},\"ps\":{ps}}}}}"
        ));
    }
}

/// The number of a thread. Perfetto takes one number for one thread whatever the process, 0 for none, and that of the process for
/// its first.
fn number(process: usize, place: usize) -> usize {
    process * 1_000_000 + place
}

/// Picoseconds of a nanosecond.
const NANO: u64 = 1000;

/// Picoseconds as microseconds, exactly.
fn micro(ticks: u64) -> String {
    let (whole, rest) = (ticks / 1_000_000, ticks % 1_000_000);
    if rest == 0 { whole.to_string() } else { format!("{whole}.{rest:06}").trim_end_matches('0').to_owned() }
}

/// A JSON string.
fn text(plain: &str) -> String {
    let mut out = String::with_capacity(plain.len() + 2);
    out.push('"');
    for c in plain.chars() {
        match c {
            '"' => out.push_str("\\\""),
            '\\' => out.push_str("\\\\"),
            c if c < ' ' => {
                let _ = write!(out, "\\u{:04x}", c as u32);
            }
            c => out.push(c),
        }
    }
    out.push('"');
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    /// What is done in each interval of `grain`, by track, thing and task.
    fn sums(spans: &[Span], grain: u64) -> BTreeMap<(Track, u64, &'static str, Option<u32>), u64> {
        let mut sums = BTreeMap::new();
        for span in spans {
            let mut at = span.begin;
            while at < span.end {
                let end = span.end.min((at / grain + 1) * grain);
                *sums.entry((span.track, at / grain, span.part, span.task)).or_insert(0) += end - at;
                at = end;
            }
        }
        sums
    }

    /// Random spans on three tracks, gaps between: in each interval there is as much of everything as was spent, nothing overlaps,
    /// whether the grain was given or found by doubling.
    #[test]
    fn no_grain_claims_time_that_was_not_spent() {
        use rand::Rng;
        let mut random = rand_pcg::Pcg64::new(3, 5);
        let mut draw = |below: u64| random.next_u64() % below;
        let (mut spans, mut at) = (Vec::new(), [0u64; 3]);
        for _ in 0..5_000 {
            let track = draw(3) as usize;
            // Mostly short, sometimes longer than many grains.
            let long = if draw(50) == 0 { 20_000_000 } else { 300_000 };
            let begin = at[track] + draw(long);
            at[track] = begin + draw(long);
            let part = ["a", "b", "c"][draw(3) as usize];
            spans.push((
                Track::Unit(track as u32),
                part,
                [None, Some(1)][draw(2) as usize],
                begin,
                at[track],
            ));
        }
        let make = |grain, limit| {
            let mut trace = Trace::new(grain, limit);
            for &(track, part, task, begin, end) in &spans {
                trace.span(track, part, task, begin, end);
            }
            (trace.grain(), trace.into_spans())
        };
        let (_, exact) = make(0, 0);
        for (grain, limit) in [(1_000_000, 0), (777_777, 0), (50_000_000, 0), (0, 2_000), (10, 2_500), (0, 3)]
        {
            let (used, coarse) = make(grain, limit);
            assert!(limit > 0 || used == grain);
            assert_eq!(sums(&coarse, used), sums(&exact, used), "{grain} {limit}");
            assert!(coarse.windows(2).all(|pair| {
                pair[0].track < pair[1].track
                    || (pair[0].track == pair[1].track && pair[0].end <= pair[1].begin)
            }));
            assert!(coarse.len() < exact.len());
        }
        assert!(make(0, 2_000).1.len() <= 2_200);
    }

    #[test]
    fn what_lasts_stays_one_span() {
        let mut trace = Trace::new(100, 0);
        trace.span(Track::Drain, "x", None, 30, 60);
        trace.span(Track::Drain, "y", None, 70, 1_030);
        let spans: Vec<_> = trace.into_spans().iter().map(|span| (span.part, span.begin, span.end)).collect();
        // Packed in the first interval, whole in the next nine, the rest at the end.
        assert_eq!(spans, [("x", 0, 30), ("y", 30, 60), ("y", 100, 1_030)]);
    }

    #[test]
    fn overlapping_bars_get_lines_of_their_own() {
        let bar = |begin, end| Bar { name: "x".into(), kind: "product", begin, end };
        let bars = [bar(0, 10), bar(5, 15), bar(10, 20), bar(12, 13), bar(15, 16)];
        assert_eq!(lines(&bars), [0, 1, 0, 2, 1]);
    }

    /// Spans of less than a nanosecond, end to end, as viewers take them: in whole nanoseconds, cut or rounded.
    #[test]
    fn no_conversion_makes_spans_overlap() {
        use rand::Rng;
        let mut random = rand_pcg::Pcg64::new(4, 7);
        let mut at = 1_893_989_656;
        let mut spans = Vec::new();
        for _ in 0..20_000 {
            let begin = at;
            at += random.next_u64() % [700, 12_000][(random.next_u64() % 2) as usize];
            spans.push(Span { track: Track::Unit(0), part: "x", task: None, step: 0, begin, end: at });
        }
        let json = to_json(&spans, &[], 0);
        let number = |line: &str, key: &str| -> Option<f64> {
            let rest = &line[line.find(key)? + key.len()..];
            rest[..rest.find([',', '}'])?].parse().ok()
        };
        let spans: Vec<[f64; 3]> = json
            .lines()
            .filter(|line| line.contains("\"X\""))
            .map(|line| ["\"ts\":", "\"dur\":", "\"ps\":"].map(|key| number(line, key).unwrap()))
            .collect();
        assert_eq!(spans.iter().map(|s| s[2]).sum::<f64>(), (at - 1_893_989_656) as f64);
        for convert in [f64::trunc, f64::round] {
            let ends = |s: &[f64; 3]| (convert(s[0] * 1e3), convert(s[0] * 1e3) + convert(s[1] * 1e3));
            assert!(spans.windows(2).all(|pair| ends(&pair[0]).1 <= ends(&pair[1]).0));
        }
    }

    #[test]
    fn names_and_times_become_json() {
        assert_eq!(text("a\"b\\c\n"), "\"a\\\"b\\\\c\\u000a\"");
        assert_eq!([micro(0), micro(1), micro(2_500_000), micro(3_000_000)], ["0", "0.000001", "2.5", "3"]);
    }
}
