//! Named accounts of actions, busy time and energy.

use thiserror::Error;

use crate::TimeBase;

/// Names an account on the hot path: an index.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct AccountId(u16);

/// What can be wrong with a ledger.
#[derive(Debug, Clone, PartialEq, Error)]
pub enum LedgerError {
    /// Two accounts of one name.
    #[error("the account \"{0}\" is open already")]
    Twice(String),
    /// More than 65,536 accounts.
    #[error("no more than 65536 accounts fit into a ledger")]
    TooMany,
    /// An energy or power that is negative or not finite.
    #[error(
        "the account \"{name}\" has an energy of {joules_per_action} J per action and a power of {watts} W: both must be finite and not negative"
    )]
    Unphysical {
        /// The account.
        name: String,
        /// Its energy per action, in joules.
        joules_per_action: f64,
        /// Its power while busy, in watts.
        watts: f64,
    },
    /// A count passed 2^64.
    #[error("the account \"{0}\" overflowed: more than 2^64 actions or ticks")]
    Overflow(String),
    /// Merging ledgers with different accounts.
    #[error("ledgers with different accounts cannot be added (\"{left}\" against \"{right}\")")]
    Different {
        /// The account here.
        left: String,
        /// The account there.
        right: String,
    },
}

/// One account: integers while the simulation runs, so that no sum depends on an order.
#[derive(Debug, Clone, PartialEq)]
pub struct Account {
    name: String,
    joules_per_action: f64,
    watts: f64,
    actions: u64,
    ticks: u64,
    overflowed: bool,
}

impl Account {
    /// The name.
    #[must_use]
    pub fn name(&self) -> &str {
        &self.name
    }

    /// Actions booked.
    #[must_use]
    pub fn actions(&self) -> u64 {
        self.actions
    }

    /// Busy ticks booked.
    #[must_use]
    pub fn ticks(&self) -> u64 {
        self.ticks
    }

    /// Energy in joules: actions times energy per action plus busy time times power.
    #[must_use]
    pub fn joules(&self, time: TimeBase) -> f64 {
        self.actions as f64 * self.joules_per_action + time.seconds(self.ticks) * self.watts
    }

    fn add(&mut self, actions: u64, ticks: u64) {
        let (actions, more) = self.actions.overflowing_add(actions);
        let (ticks, longer) = self.ticks.overflowing_add(ticks);
        self.actions = actions;
        self.ticks = ticks;
        self.overflowed |= more | longer;
    }
}

/// All accounts of a simulation.
#[derive(Debug, Clone, PartialEq)]
pub struct Ledger {
    time: TimeBase,
    accounts: Vec<Account>,
}

impl Ledger {
    /// An empty ledger; `time` says how long the booked ticks are.
    #[must_use]
    pub fn new(time: TimeBase) -> Self {
        Self { time, accounts: Vec::new() }
    }

    /// Opens an account that costs `joules_per_action` (J) for each action and `watts` (W) while busy.
    ///
    /// # Errors
    /// [`LedgerError::Twice`], [`LedgerError::TooMany`] or [`LedgerError::Unphysical`].
    pub fn open(&mut self, name: &str, joules_per_action: f64, watts: f64) -> Result<AccountId, LedgerError> {
        let physical = |value: f64| value.is_finite() && value >= 0.0;
        if !physical(joules_per_action) || !physical(watts) {
            return Err(LedgerError::Unphysical { name: name.to_owned(), joules_per_action, watts });
        }
        if self.accounts.iter().any(|account| account.name == name) {
            return Err(LedgerError::Twice(name.to_owned()));
        }
        let id = u16::try_from(self.accounts.len()).map_err(|_| LedgerError::TooMany)?;
        let name = name.to_owned();
        self.accounts.push(Account {
            name,
            joules_per_action,
            watts,
            actions: 0,
            ticks: 0,
            overflowed: false,
        });
        Ok(AccountId(id))
    }

    /// Books actions and busy ticks.
    ///
    /// # Panics
    /// If `id` was opened on another ledger with more accounts: a mistake of the model's author.
    #[inline]
    pub fn book(&mut self, id: AccountId, actions: u64, ticks: u64) {
        self.accounts[usize::from(id.0)].add(actions, ticks);
    }

    /// One account.
    ///
    /// # Panics
    /// If `id` was opened on another ledger with more accounts.
    #[must_use]
    pub fn account(&self, id: AccountId) -> &Account {
        &self.accounts[usize::from(id.0)]
    }

    /// All accounts, in the order of opening.
    #[must_use]
    pub fn accounts(&self) -> &[Account] {
        &self.accounts
    }

    /// The length of a tick.
    #[must_use]
    pub fn time_base(&self) -> TimeBase {
        self.time
    }

    /// (name, joules) of each account, in the order of opening.
    ///
    /// # Errors
    /// [`LedgerError::Overflow`] if any count wrapped.
    pub fn energies(&self) -> Result<Vec<(&str, f64)>, LedgerError> {
        self.accounts
            .iter()
            .map(|account| {
                if account.overflowed {
                    return Err(LedgerError::Overflow(account.name.clone()));
                }
                Ok((account.name.as_str(), account.joules(self.time)))
            })
            .collect()
    }

    /// The sum of all accounts, in joules.
    ///
    /// # Errors
    /// [`LedgerError::Overflow`] if any count wrapped.
    pub fn total_joules(&self) -> Result<f64, LedgerError> {
        Ok(self.energies()?.iter().map(|(_, joules)| joules).sum())
    }

    /// Adds another ledger's bookings to this one's.
    ///
    /// # Errors
    /// [`LedgerError::Different`] unless both have the same accounts in the same order.
    pub fn merge(&mut self, other: &Self) -> Result<(), LedgerError> {
        let name = |account: Option<&Account>| account.map_or("nothing".to_owned(), |a| a.name.clone());
        for index in 0..self.accounts.len().max(other.accounts.len()) {
            match (self.accounts.get(index), other.accounts.get(index)) {
                (Some(left), Some(right))
                    if left.name == right.name
                        && left.joules_per_action == right.joules_per_action
                        && left.watts == right.watts => {}
                (left, right) => {
                    return Err(LedgerError::Different { left: name(left), right: name(right) });
                }
            }
        }
        for (mine, theirs) in self.accounts.iter_mut().zip(&other.accounts) {
            mine.add(theirs.actions, theirs.ticks);
            mine.overflowed |= theirs.overflowed;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn ledger() -> (Ledger, AccountId, AccountId) {
        let mut ledger = Ledger::new(TimeBase::PICOSECONDS);
        let reads = ledger.open("reads", 1e-12, 0.0).unwrap();
        let laser = ledger.open("laser", 0.0, 2.0).unwrap();
        (ledger, reads, laser)
    }

    #[test]
    fn accounts_sum_to_the_total() {
        let (mut ledger, reads, laser) = ledger();
        ledger.book(reads, 1_000, 0);
        ledger.book(laser, 0, 1_000_000);
        let energies = ledger.energies().unwrap();
        assert_eq!(energies[0], ("reads", 1_000.0 * 1e-12));
        assert!((energies[1].1 - 2e-6).abs() < 1e-18);
        assert!((ledger.total_joules().unwrap() - (1e-9 + 2e-6)).abs() < 1e-18);
        let copy = ledger.clone();
        ledger.merge(&copy).unwrap();
        assert_eq!(ledger.account(reads).actions(), 2_000);
        assert_eq!(ledger.account(laser).ticks(), 2_000_000);
    }

    #[test]
    fn what_is_wrong_is_said() {
        let (mut ledger, reads, _) = ledger();
        assert_eq!(ledger.open("reads", 0.0, 0.0), Err(LedgerError::Twice("reads".into())));
        assert!(matches!(ledger.open("x", f64::NAN, 0.0), Err(LedgerError::Unphysical { .. })));
        assert!(matches!(ledger.open("x", 0.0, -1.0), Err(LedgerError::Unphysical { .. })));
        assert!(matches!(
            ledger.merge(&Ledger::new(TimeBase::PICOSECONDS)),
            Err(LedgerError::Different { .. })
        ));
        ledger.book(reads, u64::MAX, 0);
        ledger.book(reads, 1, 0);
        assert_eq!(ledger.total_joules(), Err(LedgerError::Overflow("reads".into())));
    }
}
