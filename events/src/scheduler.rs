//! The loop: models, the scheduler they are handed, and the simulation that runs them.

use thiserror::Error;

use crate::heap::Heap;

/// A state machine driven by events.
pub trait Model {
    /// What can happen to it: a small enum.
    type Event: Copy;

    /// Something happens at `now` (ticks). Follow-up events go to the scheduler.
    fn handle(&mut self, now: u64, event: Self::Event, scheduler: &mut Scheduler<Self::Event>);
}

/// Why a simulation stopped before its end.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
pub enum SimulationError {
    /// now + delay does not fit.
    #[error("time overflow: {delay} ticks after tick {now} is beyond 2^64")]
    TimeOverflow {
        /// The time of scheduling.
        now: u64,
        /// The delay asked for.
        delay: u64,
    },
    /// An event was scheduled before the present.
    #[error("an event was scheduled for tick {at}, but it is tick {now} already")]
    IntoThePast {
        /// The present.
        now: u64,
        /// The time asked for.
        at: u64,
    },
    /// The limit on handled events was reached.
    #[error(
        "{limit} events were handled by tick {now} and the simulation has not ended; raise the limit if it should go on"
    )]
    TooManyEvents {
        /// The limit.
        limit: u64,
        /// The present.
        now: u64,
    },
    /// The limit on pending events was passed.
    #[error("more than {limit} events are pending at tick {now}: a model schedules more than it handles")]
    TooManyPending {
        /// The limit.
        limit: usize,
        /// The present.
        now: u64,
    },
}

/// How a run ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum End {
    /// Nothing was left to happen.
    Idle,
    /// A model called [`Scheduler::stop`].
    Stopped,
    /// The horizon was reached; later events are still pending.
    Horizon,
}

/// Bounds that keep a faulty model from running for ever.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Limits {
    /// Most events to handle over the life of the simulation.
    pub events: u64,
    /// Most events pending at one time.
    pub pending: usize,
}

impl Default for Limits {
    /// No limit on events; a hundred million pending.
    fn default() -> Self {
        Self { events: u64::MAX, pending: 100_000_000 }
    }
}

#[derive(Debug, Clone, PartialEq, Eq)]
enum Halt {
    Stop,
    Error(SimulationError),
}

/// Takes the events to come. Its methods never fail in the hands of a model: a mistake is kept, and
/// [`Simulation::run`] returns it as soon as the model's handler is through.
#[derive(Debug, Clone)]
pub struct Scheduler<E> {
    heap: Heap<E>,
    now: u64,
    halt: Option<Halt>,
    pending_limit: usize,
}

impl<E: Copy> Scheduler<E> {
    /// The present, in ticks.
    #[must_use]
    pub fn now(&self) -> u64 {
        self.now
    }

    /// Events yet to happen.
    #[must_use]
    pub fn pending(&self) -> usize {
        self.heap.len()
    }

    /// Schedules `event` for `delay` ticks from now; with 0, after all else that is due now.
    #[inline]
    pub fn after(&mut self, delay: u64, event: E) {
        match self.now.checked_add(delay) {
            Some(time) => self.insert(time, event),
            None => self.halt_with(SimulationError::TimeOverflow { now: self.now, delay }),
        }
    }

    /// Schedules `event` for tick `time`, which must not lie in the past.
    #[inline]
    pub fn at(&mut self, time: u64, event: E) {
        if time < self.now {
            self.halt_with(SimulationError::IntoThePast { now: self.now, at: time });
        } else {
            self.insert(time, event);
        }
    }

    /// Ends the run once the present handler is through; what is pending stays pending.
    pub fn stop(&mut self) {
        self.halt.get_or_insert(Halt::Stop);
    }

    #[inline]
    fn insert(&mut self, time: u64, event: E) {
        self.heap.push(time, event);
        if self.heap.len() > self.pending_limit {
            self.halt_with(SimulationError::TooManyPending { limit: self.pending_limit, now: self.now });
        }
    }

    #[cold]
    fn halt_with(&mut self, error: SimulationError) {
        if !matches!(self.halt, Some(Halt::Error(_))) {
            self.halt = Some(Halt::Error(error));
        }
    }
}

/// A model, its pending events and the clock.
#[derive(Debug, Clone)]
pub struct Simulation<M: Model> {
    model: M,
    scheduler: Scheduler<M::Event>,
    events: u64,
    limits: Limits,
}

impl<M: Model> Simulation<M> {
    /// At tick 0, with nothing pending and the default [`Limits`].
    #[must_use]
    pub fn new(model: M) -> Self {
        Self::with_limits(model, Limits::default())
    }

    /// As [`Simulation::new`], with limits.
    #[must_use]
    pub fn with_limits(model: M, limits: Limits) -> Self {
        let scheduler = Scheduler { heap: Heap::new(), now: 0, halt: None, pending_limit: limits.pending };
        Self { model, scheduler, events: 0, limits }
    }

    /// Schedules an event from outside, at tick `time`.
    ///
    /// # Errors
    /// [`SimulationError::IntoThePast`] or [`SimulationError::TooManyPending`]; nothing else changes.
    pub fn schedule(&mut self, time: u64, event: M::Event) -> Result<(), SimulationError> {
        self.scheduler.at(time, event);
        match self.scheduler.halt.take() {
            Some(Halt::Error(error)) => Err(error),
            _ => Ok(()),
        }
    }

    /// Runs until nothing is left to happen or a model stops it.
    ///
    /// # Errors
    /// Whatever a model did wrong, or a limit.
    pub fn run(&mut self) -> Result<End, SimulationError> {
        while self.below_limit()? {
            let Some((time, event)) = self.scheduler.heap.pop() else { return Ok(End::Idle) };
            if let Some(end) = self.dispatch(time, event)? {
                return Ok(end);
            }
        }
        Ok(End::Idle)
    }

    /// Runs all events up to and including tick `horizon`; the clock then stands at `horizon`,
    /// unless a model stopped the run before.
    ///
    /// # Errors
    /// As [`Simulation::run`]; [`SimulationError::IntoThePast`] for a horizon before the present.
    pub fn run_until(&mut self, horizon: u64) -> Result<End, SimulationError> {
        if horizon < self.scheduler.now {
            return Err(SimulationError::IntoThePast { now: self.scheduler.now, at: horizon });
        }
        loop {
            match self.scheduler.heap.peek_time() {
                Some(time) if time <= horizon => {
                    self.below_limit()?;
                    let Some((time, event)) = self.scheduler.heap.pop() else { return Ok(End::Idle) };
                    if let Some(end) = self.dispatch(time, event)? {
                        return Ok(end);
                    }
                }
                next => {
                    self.scheduler.now = horizon;
                    return Ok(if next.is_some() { End::Horizon } else { End::Idle });
                }
            }
        }
    }

    /// Whether anything is pending, and an error if it may not be handled any more.
    #[inline]
    fn below_limit(&self) -> Result<bool, SimulationError> {
        let pending = self.scheduler.pending() > 0;
        if pending && self.events >= self.limits.events {
            return Err(SimulationError::TooManyEvents {
                limit: self.limits.events,
                now: self.scheduler.now,
            });
        }
        Ok(pending)
    }

    #[inline]
    fn dispatch(&mut self, time: u64, event: M::Event) -> Result<Option<End>, SimulationError> {
        self.scheduler.now = time;
        self.events += 1;
        self.model.handle(time, event, &mut self.scheduler);
        if self.scheduler.halt.is_none() {
            return Ok(None);
        }
        match self.scheduler.halt.take() {
            Some(Halt::Error(error)) => Err(error),
            _ => Ok(Some(End::Stopped)),
        }
    }

    /// The model.
    #[must_use]
    pub fn model(&self) -> &M {
        &self.model
    }

    /// The model, to be changed between runs.
    pub fn model_mut(&mut self) -> &mut M {
        &mut self.model
    }

    /// Gives the model back.
    #[must_use]
    pub fn into_model(self) -> M {
        self.model
    }

    /// The present, in ticks.
    #[must_use]
    pub fn now(&self) -> u64 {
        self.scheduler.now
    }

    /// Events handled so far.
    #[must_use]
    pub fn events(&self) -> u64 {
        self.events
    }

    /// Events yet to happen.
    #[must_use]
    pub fn pending(&self) -> usize {
        self.scheduler.pending()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[derive(Clone, Copy)]
    enum Event {
        Note(u32),
        Fork { width: u32 },
        Wait(u64),
        Back,
        Stop,
    }

    #[derive(Clone, Default)]
    struct Recorder {
        seen: Vec<(u64, u32)>,
    }

    impl Model for Recorder {
        type Event = Event;
        fn handle(&mut self, now: u64, event: Event, scheduler: &mut Scheduler<Event>) {
            match event {
                Event::Note(number) => self.seen.push((now, number)),
                Event::Fork { width } => (0..width).for_each(|i| scheduler.after(5, Event::Note(i))),
                Event::Wait(delay) => scheduler.after(delay, Event::Wait(delay)),
                Event::Back => scheduler.at(now - 1, Event::Back),
                Event::Stop => scheduler.stop(),
            }
        }
    }

    #[test]
    fn equal_times_keep_the_order_of_scheduling() {
        let mut bench = Simulation::new(Recorder::default());
        bench.schedule(5, Event::Note(100)).unwrap();
        bench.schedule(0, Event::Fork { width: 6 }).unwrap();
        bench.schedule(5, Event::Note(101)).unwrap();
        assert_eq!(bench.run(), Ok(End::Idle));
        let order: Vec<u32> = bench.model().seen.iter().map(|&(_, number)| number).collect();
        assert_eq!(order, [100, 101, 0, 1, 2, 3, 4, 5]);
        assert_eq!((bench.now(), bench.events(), bench.pending()), (5, 9, 0));
    }

    #[test]
    fn overflow_and_the_past_are_errors() {
        let mut bench = Simulation::new(Recorder::default());
        bench.schedule(10, Event::Wait(u64::MAX)).unwrap();
        assert_eq!(bench.run(), Err(SimulationError::TimeOverflow { now: 10, delay: u64::MAX }));
        bench.schedule(20, Event::Back).unwrap();
        assert_eq!(bench.run(), Err(SimulationError::IntoThePast { now: 20, at: 19 }));
        let past = Err(SimulationError::IntoThePast { now: 20, at: 3 });
        assert_eq!(bench.schedule(3, Event::Note(0)), past);
        assert_eq!(bench.run_until(3).err(), past.err());
    }

    #[test]
    fn limits_hold() {
        let limits = Limits { events: 10, pending: 3 };
        let mut bench = Simulation::with_limits(Recorder::default(), limits);
        bench.schedule(0, Event::Wait(1)).unwrap();
        assert_eq!(bench.run(), Err(SimulationError::TooManyEvents { limit: 10, now: 9 }));
        let mut bench = Simulation::with_limits(Recorder::default(), limits);
        bench.schedule(0, Event::Fork { width: 4 }).unwrap();
        assert_eq!(bench.run(), Err(SimulationError::TooManyPending { limit: 3, now: 0 }));
    }

    #[test]
    fn a_run_can_be_cut_copied_and_resumed() {
        let mut whole = Simulation::new(Recorder::default());
        for time in [3, 1, 4, 1, 5, 9, 2, 6] {
            whole.schedule(time, Event::Note(u32::try_from(time).unwrap())).unwrap();
        }
        let mut cut = whole.clone();
        assert_eq!(whole.run(), Ok(End::Idle));
        assert_eq!(cut.run_until(4), Ok(End::Horizon));
        assert_eq!((cut.now(), cut.pending()), (4, 3));
        let mut resumed = cut.clone();
        assert_eq!(resumed.run_until(100), Ok(End::Idle));
        assert_eq!(resumed.now(), 100);
        assert_eq!(resumed.model().seen, whole.model().seen);
        assert_eq!(cut.model().seen.len(), 5);
    }

    #[test]
    fn a_model_can_stop_the_run() {
        let mut bench = Simulation::new(Recorder::default());
        bench.schedule(1, Event::Stop).unwrap();
        bench.schedule(1, Event::Note(1)).unwrap();
        assert_eq!(bench.run(), Ok(End::Stopped));
        assert_eq!((bench.pending(), bench.model().seen.len()), (1, 0));
        assert_eq!(bench.run(), Ok(End::Idle));
        assert_eq!(bench.model().seen, [(1, 1)]);
    }
}
