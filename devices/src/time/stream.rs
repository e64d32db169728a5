//! The events: tiles are programmed, symbols arrive at the clock, the converters sample.

use crate::error::DeviceError;
use crate::time::TimeParameters;
use crate::time::collocation::{Rule, Wave};
use crate::time::front::FrontEnd;
use crate::time::panels::Panels;
use crate::time::path::Path;
use crate::unit::chips::Chip;
use mirage_events::{Model, Scheduler, Simulation, TimeBase};
use num_complex::Complex64;

const BASE: TimeBase = TimeBase::FEMTOSECONDS;

/// Stationary operands and the vectors that stream past them.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Tile {
    /// Stationary levels, one for each MMU.
    pub stationary: Vec<usize>,
    /// Streamed residues: for each symbol one for each MMU.
    pub streamed: Vec<Vec<usize>>,
}

/// What the converter saw of one symbol.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Symbol {
    /// Index of its tile.
    pub tile: usize,
    /// Its place in the tile.
    pub place: usize,
    /// The field transfer behind diode and amplifier at the sampling instant.
    pub field: Complex64,
    /// How fast it changes there, 1/s.
    pub slope: Complex64,
}

/// The field transfer behind diode and amplifier over time, through one tile.
#[derive(Debug, Clone, PartialEq)]
pub struct Trace {
    /// Points for each symbol, evenly spaced from its beginning.
    pub points: usize,
    /// Duration of a symbol, s.
    pub period: f64,
    /// The field, symbol after symbol.
    pub fields: Vec<Complex64>,
}

#[derive(Debug, Clone, Copy)]
pub(crate) enum Event {
    /// A tile's stationary operands are written.
    Program(usize),
    /// A symbol's bits are switched: tile, place.
    Switch(usize, usize),
    /// The converters sample a symbol.
    Sample(usize, usize),
    /// The last symbol of a trace is over.
    End,
}

pub(crate) struct Streaming<'a> {
    path: Path<'a>,
    panels: Panels,
    front: FrontEnd,
    tiles: &'a [Tile],
    clock: f64,
    program: u64,
    /// Sampling instant after the beginning of a symbol; none = traced instead.
    instant: Option<u64>,
    tracer: Tracer,
    last: u64,
    /// When the switches were last moved.
    switched: u64,
    /// When the first symbol of the present tile began.
    start: u64,
    pub symbols: Vec<Symbol>,
}

/// Points of a trace, read off the polynomials of the panels.
struct Tracer {
    rule: Rule,
    /// Time between two points, s.
    step: f64,
    wanted: usize,
    /// Beginning of the next panel, s after the first symbol's.
    time: f64,
    fields: Vec<Complex64>,
}

impl Tracer {
    /// Takes the points within a panel of `length` s that began at `start`.
    fn take(&mut self, length: f64, start: Complex64, seen: &Wave) {
        let end = self.time + length;
        while self.fields.len() < self.wanted {
            let place = (self.fields.len() as f64 * self.step - self.time) / length;
            if place > 1.0 {
                break;
            }
            self.fields.push(self.rule.between(start, seen, place.max(0.0)));
        }
        self.time = end;
    }
}

impl Streaming<'_> {
    /// Time until `count` symbols have begun; checked beforehand to fit.
    fn symbols(&self, count: f64) -> u64 {
        (count / self.clock * BASE.ticks_per_second() as f64).round() as u64
    }

    fn advance(&mut self, now: u64) {
        let span = [self.last - self.switched, now - self.last];
        if span[1] == 0 {
            return;
        }
        let Streaming { path, panels, front, tracer, .. } = self;
        path.advance(panels, span, BASE.seconds(1), &mut |panel, field| {
            let start = front.output();
            let seen = front.pass(panel, field);
            tracer.take(panel.length, start, &seen);
        });
        self.last = now;
    }
}

impl Model for Streaming<'_> {
    type Event = Event;

    fn handle(&mut self, now: u64, event: Event, scheduler: &mut Scheduler<Event>) {
        self.advance(now);
        match event {
            Event::Program(tile) => {
                self.path.program(&self.tiles[tile].stationary);
                scheduler.after(self.program, Event::Switch(tile, 0));
            }
            Event::Switch(tile, place) => {
                self.start = if place == 0 { now } else { self.start };
                self.switched = now;
                self.path.switch(&self.tiles[tile].streamed[place]);
                let more = place + 1 < self.tiles[tile].streamed.len();
                if let Some(instant) = self.instant {
                    scheduler.after(instant, Event::Sample(tile, place));
                } else if !more {
                    scheduler.at(self.start + self.symbols((place + 1) as f64), Event::End);
                }
                if more {
                    scheduler
                        .at(self.start + self.symbols((place + 1) as f64), Event::Switch(tile, place + 1));
                }
            }
            Event::Sample(tile, place) => {
                let (field, slope) = (self.front.output(), self.front.slope());
                self.symbols.push(Symbol { tile, place, field, slope });
                // The last symbol of a tile is sampled before the next tile is written.
                if place + 1 == self.tiles[tile].streamed.len() && tile + 1 < self.tiles.len() {
                    scheduler.after(0, Event::Program(tile + 1));
                }
            }
            // (the field at its very end is a point of no symbol)
            Event::End => {}
        }
    }
}

/// Streams `tiles` through a sampled MDPU, one after the other, each programmed when the last symbol of the one before has
/// been sampled; samples every symbol `instant` seconds after its beginning, in order. Before the first tile everything is
/// settled at its stationary operands and its first symbol.
///
/// # Errors
/// Tiles that do not fit the unit, an instant that is negative or beyond a million symbols.
pub fn stream(
    chip: &Chip<'_>,
    time: &TimeParameters,
    tiles: &[Tile],
    instant: f64,
) -> Result<Vec<Symbol>, DeviceError> {
    if !(0.0..=1e6 / time.clock).contains(&instant) {
        let problem = "must lie between 0 and a million symbols after a symbol begins";
        return Err(DeviceError::parameter("time.sampling", instant, problem));
    }
    let ticks = (instant * BASE.ticks_per_second() as f64).round() as u64;
    Ok(run(chip, time, tiles, Some(ticks), 0, 1.0)?.symbols)
}

/// The field behind diode and amplifier at `points` instants of every symbol of a tile that has long been programmed.
///
/// # Errors
/// As [`stream`]; no points, or more than 100 million.
pub fn trace(
    chip: &Chip<'_>,
    time: &TimeParameters,
    tile: &Tile,
    points: usize,
) -> Result<Trace, DeviceError> {
    if points == 0 || points.saturating_mul(tile.streamed.len()) > 100_000_000 {
        let problem = "give at least one point for each symbol, and at most 100 million in all";
        return Err(DeviceError::parameter("time.points", points as f64, problem));
    }
    let fields = run(chip, time, std::slice::from_ref(tile), None, points, 1.0)?.tracer.fields;
    Ok(Trace { points, period: 1.0 / time.clock, fields })
}

/// With panels `scale` times as long as the rule asks for.
pub(crate) fn run<'a>(
    chip: &'a Chip<'a>,
    time: &TimeParameters,
    tiles: &'a [Tile],
    instant: Option<u64>,
    points: usize,
    scale: f64,
) -> Result<Streaming<'a>, DeviceError> {
    time.check()?;
    check(chip, tiles)?;
    let parameters = chip.unit().parameters();
    let (path, field) = Path::new(chip, &tiles[0].stationary, &tiles[0].streamed[0]);
    let constants = time.constants(parameters);
    let model = Streaming {
        panels: Panels::new(constants, path.digits(), scale),
        front: FrontEnd::new(constants.amplifier, field),
        path,
        tiles,
        clock: time.clock,
        program: (parameters.shifters.program_time * BASE.ticks_per_second() as f64).round() as u64,
        instant,
        tracer: Tracer {
            rule: Rule::new(),
            step: 1.0 / time.clock / points.max(1) as f64,
            wanted: points * tiles[0].streamed.len(),
            time: 0.0,
            fields: Vec::new(),
        },
        last: 0,
        switched: 0,
        start: 0,
        symbols: Vec::new(),
    };
    let mut simulation = Simulation::new(model);
    let failed = |e: mirage_events::SimulationError| DeviceError::Question(format!("streaming: {e}"));
    simulation.schedule(0, Event::Switch(0, 0)).map_err(failed)?;
    simulation.run().map_err(failed)?;
    Ok(simulation.into_model())
}

fn check(chip: &Chip<'_>, tiles: &[Tile]) -> Result<(), DeviceError> {
    let (group, modulus) = (chip.errors().len(), chip.unit().modulus());
    let fail =
        |problem: String| Err(DeviceError::Operands { name: "streamed tiles".into(), modulus, problem });
    if tiles.is_empty() || tiles.iter().any(|tile| tile.streamed.is_empty()) {
        return fail("at least one tile is needed, and a symbol in each".into());
    }
    for vector in tiles.iter().flat_map(|tile| std::iter::once(&tile.stationary).chain(&tile.streamed)) {
        if vector.len() != group {
            return fail(format!("a vector of {} operands for {group} MMUs", vector.len()));
        }
        if let Some(operand) = vector.iter().find(|&&operand| operand >= modulus as usize) {
            return fail(format!("operand {operand} is not below the modulus"));
        }
    }
    Ok(())
}
