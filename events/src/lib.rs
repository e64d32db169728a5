//! A small, fast, deterministic discrete-event kernel that knows nothing of what it simulates.
//!
//! ```
//! use mirage_events::{Fifo, Ledger, Model, Scheduler, Simulation, TimeBase};
//!
//! // 1. Author a model: a plain state machine, and the events that it understands.
//! //    A clerk serves customers from a queue with room for two; who finds it full comes back later.
//! #[derive(Clone, Copy)]
//! enum Event {
//!     Arrive(u32),
//!     Served,
//! }
//! struct Office {
//!     queue: Fifo<u32>,
//!     busy: bool,
//!     served: Vec<u32>,
//!     ledger: Ledger,
//!     clerk: mirage_events::AccountId,
//! }
//! impl Office {
//!     fn serve(&mut self, scheduler: &mut Scheduler<Event>) {
//!         if let Some(customer) = self.queue.pop() {
//!             self.busy = true;
//!             self.served.push(customer);
//!             self.ledger.book(self.clerk, 1, 5_000); // one action, 5 ns of the clerk's time
//!             scheduler.after(5_000, Event::Served);
//!         }
//!     }
//! }
//! impl Model for Office {
//!     type Event = Event;
//!     fn handle(&mut self, _now: u64, event: Event, scheduler: &mut Scheduler<Event>) {
//!         match event {
//!             Event::Arrive(customer) => {
//!                 if self.queue.push(customer).is_err() {
//!                     scheduler.after(7_000, Event::Arrive(customer)); // pushed back
//!                 }
//!             }
//!             Event::Served => self.busy = false,
//!         }
//!         if !self.busy {
//!             self.serve(scheduler);
//!         }
//!     }
//! }
//!
//! // 2. Assemble a bench: the model, what its time and energy are booked on, the first events.
//! let time = TimeBase::PICOSECONDS;
//! let mut ledger = Ledger::new(time);
//! let clerk = ledger.open("clerk", 2e-12, 1e-3)?; // 2 pJ per action, 1 mW while busy
//! let office = Office { queue: Fifo::new(2), busy: false, served: vec![], ledger, clerk };
//! let mut bench = Simulation::new(office);
//! for customer in 0..4 {
//!     bench.schedule(1_000 * u64::from(customer), Event::Arrive(customer))?;
//! }
//!
//! // 3. Run, and read the accounts.
//! bench.run()?;
//! assert_eq!(bench.model().served, [0, 1, 2, 3]);
//! assert_eq!(bench.now(), 20_000);
//! let account = bench.model().ledger.account(clerk);
//! assert_eq!((account.actions(), account.ticks()), (4, 20_000));
//! assert!((account.joules(time) - (4.0 * 2e-12 + 20e-9 * 1e-3)).abs() < 1e-20);
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```
//!
//! # The map
//!
//! * [`Model`], [`Simulation`], [`Scheduler`]: the loop. Time is a `u64` of ticks; events at equal
//!   times are handled in the order in which they were scheduled, so a run is the same each time.
//! * [`TimeBase`]: how long a tick is. Picoseconds reach 213 days, femtoseconds 5 hours; time that
//!   does not fit is an error, never a wrap.
//! * [`Fifo`]: a bounded queue that hands back what does not fit and remembers that it did.
//! * [`Ledger`]: actions and busy ticks on named accounts, as integers; energies follow from them.
//!
//! # Limits
//!
//! Events are small `Copy` values: keep what is large in the model and send its index. There is no
//! cancelling; a model that changes its mind puts a generation number in the event and ignores stale
//! ones. One simulation runs on one thread; independent simulations run side by side.

mod heap;
mod ledger;
mod queue;
mod scheduler;
mod time;

pub use ledger::{Account, AccountId, Ledger, LedgerError};
pub use queue::{Fifo, Full};
pub use scheduler::{End, Limits, Model, Scheduler, Simulation, SimulationError};
pub use time::{TimeBase, TimeError};
