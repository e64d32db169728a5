//! What parts of the chip wait for, and how much of the accumulators is in use: looked at after each event, where a trace is
//! written. What they do is written down where it is done.

use super::Machine;
use super::account::Track;

/// A state, and the task that it is on behalf of.
type State = Option<(&'static str, Option<u32>)>;

/// The states of the tracks, and since when.
#[derive(Debug, Clone, Default)]
pub(crate) struct Watch([(State, u64); 4]);

const TRACKS: [Track; 4] = [Track::Lanes(0), Track::Lanes(1), Track::Drain, Track::Accumulators];

impl Machine<'_> {
    /// Writes down every state that has ended.
    pub(super) fn watch(&mut self, now: u64) {
        let states =
            [self.sweepers[0].waits(&self.setup.lanes[0]), self.sweepers[1].waits(&self.setup.lanes[1])];
        let drain = self.drain.waits().map(|slot| {
            let task = self.products[usize::from(slot)].as_ref().map(|product| product.task);
            ("waiting for the output queue", task)
        });
        let accumulators = match self.halves {
            0 => Some(("both halves in use", None)),
            1 => Some(("one half in use", None)),
            _ => None,
        };
        let Some(trace) = &mut self.trace else { return };
        let present = states.into_iter().chain([drain, accumulators]);
        for ((slot, track), state) in self.watch.0.iter_mut().zip(TRACKS).zip(present) {
            let (old, since) = *slot;
            if old == state {
                continue;
            }
            if let Some((what, task)) = old {
                trace.span(track, what, task, since, now);
            }
            *slot = (state, now);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::chip::tests::chip;
    use crate::workload::Optimiser;
    use crate::{Options, RepeatModel, StepResult, builtin};

    /// Ticks of the tracks that `of` chooses, at these things.
    fn ticks(result: &StepResult, of: impl Fn(Track) -> bool, parts: &[&str]) -> f64 {
        let chosen = result.spans.iter().filter(|span| of(span.track) && parts.contains(&span.part));
        chosen.map(|span| span.end - span.begin).sum::<u64>() as f64
    }

    /// At any grain the spans of a track and state sum to what busy.csv and time.csv say.
    #[test]
    fn a_trace_tells_the_time_that_the_tables_tell() {
        let step = builtin("resnet18").unwrap().step(2, Optimiser::Momentum).unwrap();
        let changes = [
            ("controller.output_queue", "1"),
            ("sram.stream_bandwidth", "100 GB/s"),
            ("recalibration.period", "100 us"),
            ("recalibration.duration", "5 us"),
        ];
        let chip = chip(&changes);
        let repeats = Some(RepeatModel { detected_per_group: 1e-4, again: 0.2, repeats: 3 });
        for (grain, trace_spans, steps, chips) in [(0, 0, 1, 1), (10_000_000, 0, 2, 1), (0, 20_000, 1, 2)] {
            let options =
                Options { trace: Some(grain), trace_spans, repeats, steps, chips, ..Options::default() };
            let result = chip.step(&step, &options).unwrap();
            let n = &result.network;
            let whole = result.steps.iter().sum::<f64>() * 1e12;
            let busy = |name: &str| n.busy.iter().find(|part| part.0 == name).unwrap().1 * whole;
            let same = |what: &str, spans: f64, table: f64| {
                assert!((spans - table).abs() <= 1e-9 * whole, "{grain} {what}: {spans} {table}");
            };
            let channels = ticks(&result, |t| matches!(t, Track::Channel(_)), &["read", "write"]);
            same("channels", channels, busy("off-chip channels") * chip.setup().channels as f64);
            for (track, part, name) in [
                (Track::Drain, "drain", "drain"),
                (Track::Lanes(0), "sweep", "vector unit"),
                (Track::Lanes(1), "sweep", "optimiser"),
                (Track::Link, "all-reduce", "link"),
                (Track::Load, "loading", "load port"),
            ] {
                same(name, ticks(&result, |t| t == track, &[part]), busy(name));
            }
            for port in 0..6 {
                for out in [false, true] {
                    let track = Track::Port(port, out);
                    same(
                        &track.name(),
                        ticks(&result, |t| t == track, &["read", "write"]),
                        busy(&track.name()),
                    );
                }
            }
            // A tile streams over all its places: edges are slots of rows and columns, no time.
            let units = f64::from(chip.setup().units);
            for (part, share) in n.breakdown.parts().filter(|part| part.0 != "edges") {
                let edges = if part == "streaming" { n.breakdown.share("edges") } else { 0.0 };
                let spans = ticks(&result, |t| matches!(t, Track::Unit(_)), &[part]);
                same(part, spans, (share + edges) * units * whole);
            }
            assert!(n.breakdown.share("bandwidth") > 0.0 && n.breakdown.share("repeats") > 0.0);
            // What is waited for is there, and nothing does two things at a time.
            assert!(ticks(&result, |t| t == Track::Lanes(0), &["waiting for operands"]) > 0.0);
            assert!(ticks(&result, |t| t == Track::Drain, &["waiting for the output queue"]) > 0.0);
            let accumulators = ["one half in use", "both halves in use"];
            assert!(ticks(&result, |t| t == Track::Accumulators, &accumulators) <= whole);
            assert!(
                result.spans.windows(2).all(|p| p[0].track != p[1].track || p[0].end <= p[1].begin),
                "{grain}"
            );
            assert!(trace_spans == 0 || (result.grain > 0 && result.spans.len() < 25_000));
            println!("{grain}: {} spans, grain {}", result.spans.len(), result.grain);
        }
    }
}
