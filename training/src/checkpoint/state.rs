//! The state of a run as bytes. Every number is little-endian; a list has its length before it.

use mirage_arithmetic::Counters;

use crate::examples::Part;
use crate::gemm::Tally;
use crate::record::{Label, Record};
use crate::trainer::{Divergence, Mean, Measured, State, Task};
use crate::{Network, Parameters, TrainConfig};

/// Grows bytes.
#[derive(Default)]
pub(super) struct Writer(Vec<u8>);

impl Writer {
    pub fn into_bytes(self) -> Vec<u8> {
        self.0
    }

    pub fn raw(&mut self, bytes: &[u8]) {
        self.0.extend_from_slice(bytes);
    }

    pub fn text(&mut self, text: &str) {
        self.number(text.len() as u64);
        self.raw(text.as_bytes());
    }

    fn number(&mut self, x: u64) {
        self.raw(&x.to_le_bytes());
    }

    fn real(&mut self, x: f64) {
        self.number(x.to_bits());
    }

    fn optional(&mut self, x: Option<f64>) {
        self.number(x.is_some().into());
        self.real(x.unwrap_or(0.0));
    }

    fn lists(&mut self, lists: &[Vec<f32>]) {
        self.number(lists.len() as u64);
        for list in lists {
            self.number(list.len() as u64);
            list.iter().for_each(|x| self.raw(&x.to_bits().to_le_bytes()));
        }
    }

    fn counters(&mut self, c: Counters) {
        let Counters { residues, wrong, detected, corrected, repeated, exhausted, silent, groups_hit } = c;
        for count in [residues, wrong, detected, corrected, repeated, exhausted, silent, groups_hit] {
            self.number(count);
        }
    }

    fn tally(&mut self, tally: &Tally) {
        self.number(tally.sites().len() as u64);
        tally.sites().iter().flatten().for_each(|&counters| self.counters(counters));
    }

    fn record(&mut self, r: &Record) {
        for number in [u64::from(r.epoch), r.step] {
            self.number(number);
        }
        self.real(r.loss);
        for measured in [r.test_accuracy, r.test_loss, r.perplexity] {
            self.optional(measured);
        }
        let again = [r.detected, r.corrected, r.repeated, r.exhausted, r.silent];
        for count in [r.residues, r.residue_errors].into_iter().chain(again) {
            self.number(count);
        }
    }

    pub fn state(&mut self, state: &State) {
        for number in [u64::from(state.epoch), state.done, state.steps, state.skipped, state.evaluated] {
            self.number(number);
        }
        self.number(state.ended.into());
        self.number(state.divergence.is_some().into());
        if let Some(Divergence { epoch, step, place, backward }) = &state.divergence {
            self.number((*epoch).into());
            self.number(*step);
            self.text(place);
            self.number((*backward).into());
        }
        self.optional(state.test.map(|test| test.accuracy));
        self.optional(state.test.map(|test| test.loss));
        self.real(state.losses.sum);
        self.real(state.losses.count);
        self.tally(&state.training);
        self.tally(&state.evaluation);
        self.lists(state.parameters.values());
        self.number(state.optimiser.updates);
        self.lists(&state.optimiser.first);
        self.lists(&state.optimiser.second);
        self.number(state.records.len() as u64);
        state.records.iter().for_each(|record| self.record(record));
    }
}

/// Takes bytes from the front; `None` where they do not suffice or are not what they should be.
pub(super) struct Reader<'b>(&'b [u8]);

impl<'b> Reader<'b> {
    pub fn new(bytes: &'b [u8]) -> Self {
        Self(bytes)
    }

    pub fn raw(&mut self, len: usize) -> Option<&'b [u8]> {
        let (first, rest) = self.0.split_at_checked(len)?;
        self.0 = rest;
        Some(first)
    }

    pub fn text(&mut self) -> Option<String> {
        let len = self.len(1)?;
        String::from_utf8(self.raw(len)?.to_vec()).ok()
    }

    fn number(&mut self) -> Option<u64> {
        Some(u64::from_le_bytes(self.raw(8)?.try_into().ok()?))
    }

    fn small(&mut self) -> Option<u32> {
        self.number()?.try_into().ok()
    }

    fn flag(&mut self) -> Option<bool> {
        match self.number()? {
            0 => Some(false),
            1 => Some(true),
            _ => None,
        }
    }

    /// A length of a list whose items take at least `size` bytes each, so that no more is reserved than can be there.
    fn len(&mut self, size: usize) -> Option<usize> {
        let len = usize::try_from(self.number()?).ok()?;
        (len.checked_mul(size)? <= self.0.len()).then_some(len)
    }

    fn real(&mut self) -> Option<f64> {
        self.number().map(f64::from_bits)
    }

    fn optional(&mut self) -> Option<Option<f64>> {
        let (is_some, value) = (self.flag()?, self.real()?);
        Some(is_some.then_some(value))
    }

    /// Lists of the same lengths as `like`, put in its place.
    fn lists(&mut self, like: &mut [Vec<f32>]) -> Option<()> {
        if self.number()? != like.len() as u64 {
            return None;
        }
        for list in like {
            if self.number()? != list.len() as u64 {
                return None;
            }
            let bytes = self.raw(4 * list.len())?;
            for (x, four) in list.iter_mut().zip(bytes.chunks_exact(4)) {
                *x = f32::from_le_bytes(four.try_into().ok()?);
            }
        }
        Some(())
    }

    fn counters(&mut self) -> Option<Counters> {
        Some(Counters {
            residues: self.number()?,
            wrong: self.number()?,
            detected: self.number()?,
            corrected: self.number()?,
            repeated: self.number()?,
            exhausted: self.number()?,
            silent: self.number()?,
            groups_hit: self.number()?,
        })
    }

    fn tally(&mut self) -> Option<Tally> {
        let sites = self.len(3 * 8 * 8)?;
        let site = |_| Some([self.counters()?, self.counters()?, self.counters()?]);
        Some(Tally::from_sites((0..sites).map(site).collect::<Option<_>>()?))
    }

    fn record(&mut self, label: &Label) -> Option<Record> {
        let (epoch, step, loss) = (self.small()?, self.number()?, self.real()?);
        let mut record = Record::new(label, epoch, step, loss, Counters::default());
        for measured in [&mut record.test_accuracy, &mut record.test_loss, &mut record.perplexity] {
            *measured = self.optional()?;
        }
        for count in [
            &mut record.residues,
            &mut record.residue_errors,
            &mut record.detected,
            &mut record.corrected,
            &mut record.repeated,
            &mut record.exhausted,
            &mut record.silent,
        ] {
            *count = self.number()?;
        }
        Some(record)
    }

    fn divergence(&mut self) -> Option<Option<Divergence>> {
        if !self.flag()? {
            return Some(None);
        }
        let (epoch, step, place, backward) = (self.small()?, self.number()?, self.text()?, self.flag()?);
        Some(Some(Divergence { epoch, step, place, backward }))
    }

    /// The weights of a state of this network.
    pub fn weights(mut self, network: &Network) -> Option<Parameters> {
        let mut parameters = Parameters::initial(network.parameters(), 0);
        self.before(&mut State::start_with(parameters.clone(), network, &TrainConfig::default()))?;
        self.lists(parameters.values_mut())?;
        Some(parameters)
    }

    /// What stands before the weights.
    fn before(&mut self, state: &mut State) -> Option<()> {
        state.epoch = self.small()?;
        for number in [&mut state.done, &mut state.steps, &mut state.skipped, &mut state.evaluated] {
            *number = self.number()?;
        }
        state.ended = self.flag()?;
        state.divergence = self.divergence()?;
        let (accuracy, loss) = (self.optional()?, self.optional()?);
        state.test = accuracy.zip(loss).map(|(accuracy, loss)| Measured { accuracy, loss });
        state.losses = Mean { sum: self.real()?, count: self.real()? };
        state.training = self.tally()?;
        state.evaluation = self.tally()?;
        Some(())
    }

    /// The state of a run of `task`, and nothing behind it.
    pub fn state(mut self, task: Task<'_>, label: &Label) -> Option<State> {
        let mut state = State::start(task);
        self.before(&mut state)?;
        self.lists(state.parameters.values_mut())?;
        state.optimiser.updates = self.number()?;
        self.lists(&mut state.optimiser.first)?;
        self.lists(&mut state.optimiser.second)?;
        let records = self.len(8 * 16)?;
        state.records = (0..records).map(|_| self.record(label)).collect::<Option<_>>()?;
        let per_epoch = task.data.count(Part::Train).div_ceil(task.config.batch.max(1)) as u64;
        let placed = state.done < per_epoch && (1..=task.config.epochs + 1).contains(&state.epoch);
        (self.0.is_empty() && placed).then_some(state)
    }
}
