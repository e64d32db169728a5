//! What every part of the chip did when, for a trace viewer.

use std::fmt::Write as _;

/// A part of the chip with a line of its own.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Track {
    /// A unit.
    Unit(u32),
    /// The way out of the accumulators.
    Drain,
    /// Vector unit (0) and optimiser (1).
    Lanes(u8),
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
            Self::Drain => "drain".to_owned(),
            Self::Lanes(0) => "vector unit".to_owned(),
            Self::Lanes(_) => "optimiser".to_owned(),
            Self::Channel(channel) => format!("off-chip channel {channel}"),
            Self::Link => "link".to_owned(),
        }
    }
}

/// A piece of time on one track.
#[derive(Debug, Clone, PartialEq)]
pub struct Span {
    /// Whose.
    pub track: Track,
    /// The task that it was spent on, by its place in the layers of the result; `None` for none.
    pub task: Option<u32>,
    /// The simulated step.
    pub step: u32,
    /// From, in ticks of one picosecond.
    pub begin: u64,
    /// To.
    pub end: u64,
    /// What was done, in ticks each; the sum is less than the span where the part rested between.
    pub parts: Vec<(&'static str, u64)>,
}

impl Span {
    /// What most of the time went to.
    #[must_use]
    pub fn name(&self) -> &'static str {
        self.parts.iter().fold(("", 0), |best, &part| if part.1 > best.1 { part } else { best }).0
    }
}

/// The spans of a simulation. Spans of one task that are shorter than a grain are joined until they are as long as one.
#[derive(Debug, Clone)]
pub struct Trace {
    grain: u64,
    step: u32,
    open: Vec<Span>,
    spans: Vec<Span>,
}

impl Trace {
    /// A trace whose short spans are joined to `grain` ticks; 0 keeps every one.
    #[must_use]
    pub fn new(grain: u64) -> Self {
        Self { grain, step: 0, open: Vec::new(), spans: Vec::new() }
    }

    pub(crate) fn next_step(&mut self) {
        self.close();
        self.step += 1;
    }

    /// Adds a span; those of a track come in the order of time.
    pub(crate) fn span(&mut self, track: Track, name: &'static str, task: Option<u32>, begin: u64, end: u64) {
        if end <= begin {
            return;
        }
        let place = self.open.iter().position(|span| span.track == track);
        if let Some(place) = place {
            let (grain, last) = (self.grain, &mut self.open[place]);
            let near = begin.saturating_sub(last.end) <= grain;
            if last.task == task && last.end - last.begin < grain && end - begin < grain && near {
                last.end = end;
                match last.parts.iter_mut().find(|part| part.0 == name) {
                    Some(part) => part.1 += end - begin,
                    None => last.parts.push((name, end - begin)),
                }
                return;
            }
            let done = self.open.swap_remove(place);
            self.spans.push(done);
        }
        let parts = vec![(name, end - begin)];
        self.open.push(Span { track, task, step: self.step, begin, end, parts });
    }

    fn close(&mut self) {
        self.spans.append(&mut self.open);
    }

    /// All spans, by track and time.
    #[must_use]
    pub fn into_spans(mut self) -> Vec<Span> {
        self.close();
        self.spans.sort_by_key(|span| (span.track, span.begin));
        self.spans
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
/// thread for each track. Process 1 holds the parts of the chip, process 2 the operations, those that overlap on
/// lines of their own. A span's arguments tell its operation and how its time was spent.
#[must_use]
pub fn to_json(spans: &[Span], bars: &[Bar]) -> String {
    let mut out = String::from("{\"displayTimeUnit\":\"ns\",\"traceEvents\":[\n");
    let mut events = Events { out: &mut out, first: true };
    events.process(1, "chip");
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
        let mut arguments = format!("\"operation\":{},\"step\":{}", text(operation), span.step);
        for (part, ticks) in &span.parts {
            let _ = write!(arguments, ",{}:{}", text(&format!("{part}, us")), micro(*ticks));
        }
        events.span([1, thread], span.name(), [span.begin, span.end], &arguments);
    }
    for (bar, line) in bars.iter().zip(lines) {
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

    fn thread(&mut self, process: usize, thread: usize, name: &str) {
        let name = text(name);
        self.add(&format!(
            "{{\"ph\":\"M\",\"pid\":{process},\"tid\":{thread},\"name\":\"thread_name\",\"args\":{{\"name\":{name}}}}}"
        ));
        self.add(&format!(
            "{{\"ph\":\"M\",\"pid\":{process},\"tid\":{thread},\"name\":\"thread_sort_index\",\"args\":{{\"sort_index\":{thread}}}}}"
        ));
    }

    fn span(&mut self, [process, thread]: [usize; 2], name: &str, [begin, end]: [u64; 2], arguments: &str) {
        let (name, from, long) = (text(name), micro(begin), micro(end - begin));
        self.add(&format!(
            "{{\"ph\":\"X\",\"pid\":{process},\"tid\":{thread},\"ts\":{from},\"dur\":{long},\"name\":{name},\"args\":{{{arguments}}}}}"
        ));
    }
}

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

    #[test]
    fn short_spans_are_joined_and_none_is_lost() {
        let mut trace = Trace::new(100);
        for at in 0..40 {
            trace.span(Track::Unit(1), ["a", "b"][at % 2], Some(0), 30 * at as u64, 30 * at as u64 + 30);
        }
        trace.span(Track::Unit(1), "c", Some(1), 1200, 2200);
        trace.span(Track::Unit(0), "c", None, 0, 5);
        trace.span(Track::Unit(0), "c", None, 5, 5);
        let spans = trace.into_spans();
        assert_eq!(spans[0].track, Track::Unit(0));
        let ticks: u64 = spans.iter().flat_map(|span| &span.parts).map(|part| part.1).sum();
        assert_eq!(ticks, 40 * 30 + 1000 + 5);
        assert_eq!(spans.len(), 12);
        assert!(spans.windows(2).all(|pair| pair[0].track != pair[1].track || pair[0].end <= pair[1].begin));
    }

    #[test]
    fn overlapping_bars_get_lines_of_their_own() {
        let bar = |begin, end| Bar { name: "x".into(), kind: "product", begin, end };
        let bars = [bar(0, 10), bar(5, 15), bar(10, 20), bar(12, 13), bar(15, 16)];
        assert_eq!(lines(&bars), [0, 1, 0, 2, 1]);
    }

    #[test]
    fn names_and_times_become_json() {
        assert_eq!(text("a\"b\\c\n"), "\"a\\\"b\\\\c\\u000a\"");
        assert_eq!([micro(0), micro(1), micro(2_500_000), micro(3_000_000)], ["0", "0.000001", "2.5", "3"]);
    }
}
