//! Sequences of tokens to learn from: windows of a text, and sentence pairs.

use std::path::Path;
use std::sync::Arc;

use sha2::{Digest, Sha256};

use crate::augment::Variation;
use crate::error::TextError;
use crate::examples::{Baseline, Examples, Part};
use crate::layers::{FILL, NO_LABEL};
use crate::network::Side;
use crate::ngram::{LONGEST, NGram};
use crate::tensor::{Shape, Tensor};
use crate::text::{Level, TextKind, UNKNOWN, Vocabulary, decode, find, read, stream};
use crate::{Network, TrainError};

/// How a text becomes sequences.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct TextOptions {
    /// Of what it is made.
    pub level: Level,
    /// Tokens of a window; of a sentence of a pair, at most.
    pub length: usize,
    /// The most tokens of a vocabulary, the reserved ones among them.
    pub vocabulary: usize,
    /// Share of the lines that is held out.
    pub held_out: f64,
}

/// Examples of one length: what goes in, and what is asked at the places of the last side.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
struct Rows {
    /// Example by example, all sides one behind the other.
    inputs: Vec<u32>,
    /// Example by example; [`NO_LABEL`] behind the end.
    labels: Vec<u32>,
}

/// Sequences to train on, and others that are held out.
#[derive(Debug, Clone)]
pub struct Sequences {
    sides: Vec<Side>,
    parts: [Rows; 2],
    vocabularies: Arc<Vec<Vocabulary>>,
    level: Level,
    left_out: usize,
}

/// Tokens of pairs that are no words: behind the end, not in the vocabulary, before the beginning, the end.
const PAIR_TOKENS: [&str; 4] = ["<fill>", UNKNOWN, "<start>", "<end>"];
pub(crate) const START: u32 = 2;
pub(crate) const END: u32 = 3;
const _: () = assert!(FILL == 0);

/// The samples that come with the toolkit, from inside the program: running text, and pairs.
const SAMPLES: [(&str, &[u8]); 2] = [
    ("english.txt.gz", include_bytes!("../../data/text/english.txt.gz")),
    ("english-spanish.tsv.gz", include_bytes!("../../data/text/english-spanish.tsv.gz")),
];

impl Sequences {
    /// Reads a text, or pairs, from a file or a folder that holds one.
    ///
    /// # Errors
    /// Says what is missing or wrong, where, what was expected, and where to get it.
    pub fn open(path: &Path, kind: TextKind, options: TextOptions) -> Result<Self, TextError> {
        let file = find(path, kind)?;
        Self::parse(&read(&file)?, &file.display().to_string(), kind, options)
    }

    /// The sample that comes with the toolkit (the World English Bible, and the Reina-Valera of 1909 beside it; public domain).
    ///
    /// # Errors
    /// When it is too short for the options.
    pub fn sample(kind: TextKind, options: TextOptions) -> Result<Self, TextError> {
        let (name, bytes) = SAMPLES[if kind == TextKind::Plain { 0 } else { 1 }];
        Self::parse(&decode(bytes, name)?, name, kind, options)
    }

    /// From text; `name` stands for the file in errors.
    ///
    /// Of a running text the last lines are held out, the share that `options` says; what is left is cut into windows of `length` tokens, of
    /// which each asks for the token behind each of its own. Of pairs every so-many-th is held out, and those with a
    /// sentence of more than `length` tokens are left out. Vocabularies come from what is trained on alone.
    ///
    /// # Errors
    /// When a line is no pair, and when there is too little to train or to test on.
    pub fn parse(text: &str, name: &str, kind: TextKind, options: TextOptions) -> Result<Self, TextError> {
        match kind {
            TextKind::Plain => Self::windows(text, name, options),
            TextKind::Pairs => Self::pairs(text, name, options),
        }
    }

    fn windows(text: &str, name: &str, options: TextOptions) -> Result<Self, TextError> {
        let TextOptions { level, length, vocabulary, held_out } = options;
        let lines: Vec<&str> = text.lines().collect();
        let held = (lines.len() as f64 * held_out).round() as usize;
        let (train, test) = lines.split_at(lines.len() - held.min(lines.len()));
        let [train, test] = [train, test].map(|lines| stream(lines, level));
        let vocabulary = Vocabulary::of(&[UNKNOWN], train.iter().map(Vec::as_slice), vocabulary);
        let rows = |lines: &[Vec<String>]| {
            let ids: Vec<u32> = lines.iter().flatten().map(|token| vocabulary.id(token)).collect();
            let count = ids.len().saturating_sub(1) / length * length;
            Rows { inputs: ids[..count].to_vec(), labels: ids.iter().skip(1).take(count).copied().collect() }
        };
        let parts = [rows(&train), rows(&test)];
        if parts.iter().any(|rows| rows.inputs.is_empty()) {
            let [train, test] = [train, test].map(|lines| lines.iter().map(Vec::len).sum::<usize>());
            let found =
                format!("{} lines give {train} tokens to train on and {test} to test on", lines.len());
            let needed = format!("each needs at least {}, one window and the token behind it", length + 1);
            return Err(TextError::Short { file: name.into(), found, needed });
        }
        let sides = vec![Side { vocabulary: vocabulary.len(), length }];
        Ok(Self { sides, parts, vocabularies: Arc::new(vec![vocabulary]), level, left_out: 0 })
    }

    fn pairs(text: &str, name: &str, options: TextOptions) -> Result<Self, TextError> {
        let TextOptions { level, length, vocabulary, held_out } = options;
        let mut pairs = Vec::new();
        for (line, number) in text.lines().zip(1..) {
            let [source, target] =
                pair(line).map_err(|problem| TextError::Pair { file: name.into(), line: number, problem })?;
            pairs.push([level.tokens(source), level.tokens(target)]);
        }
        let all = pairs.len();
        pairs.retain(|pair| pair.iter().all(|side| side.len() <= length));
        // As many of each stretch of the file, whatever its order.
        let is_held = |i: usize| ((i + 1) as f64 * held_out).floor() > (i as f64 * held_out).floor();
        let (test, train): (Vec<_>, Vec<_>) = pairs.into_iter().enumerate().partition(|(i, _)| is_held(*i));
        if train.is_empty() || test.is_empty() {
            let found = format!(
                "{all} pairs, {} of them with more than {length} tokens in a sentence, give {} to train on and {} to test on",
                all - train.len() - test.len(),
                train.len(),
                test.len()
            );
            return Err(TextError::Short {
                file: name.into(),
                found,
                needed: "each needs at least one".into(),
            });
        }
        let vocabularies = [0, 1].map(|side| {
            Vocabulary::of(&PAIR_TOKENS, train.iter().map(|(_, pair)| pair[side].as_slice()), vocabulary)
        });
        let longest =
            [0, 1].map(|side| train.iter().chain(&test).map(|(_, pair)| pair[side].len()).max().unwrap_or(0));
        // An end behind the source; a start before the target.
        let sides = [0, 1].map(|i| Side { vocabulary: vocabularies[i].len(), length: longest[i] + 1 });
        let left_out = all - train.len() - test.len();
        let parts = [train, test]
            .map(|pairs| pair_rows(pairs.into_iter().map(|(_, pair)| pair), &vocabularies, sides));
        Ok(Self {
            sides: sides.to_vec(),
            parts,
            vocabularies: Arc::new(vocabularies.to_vec()),
            level,
            left_out,
        })
    }

    /// The sequences of an example.
    pub fn sides(&self) -> &[Side] {
        &self.sides
    }

    /// The tokens of each side.
    pub fn vocabularies(&self) -> &[Vocabulary] {
        &self.vocabularies
    }

    /// Of what they are made.
    pub fn level(&self) -> Level {
        self.level
    }

    /// Pairs that were left out, for a sentence is too long.
    pub fn left_out(&self) -> usize {
        self.left_out
    }

    /// Labels of a part that stand for what is not in the vocabulary.
    pub fn unknown(&self, part: Part) -> usize {
        let unknown = self.vocabularies.last().map_or(0, Vocabulary::unknown);
        self.rows(part).labels.iter().filter(|&&label| label == unknown).count()
    }

    /// What is asked for, as whole sequences: the text of all windows, or each target; and how many tokens at the beginning of each are not
    /// asked for.
    pub fn chains(&self, part: Part) -> (Vec<Vec<u32>>, usize) {
        let rows = self.rows(part);
        let asked =
            |labels: &[u32]| labels.iter().copied().filter(|&label| label != NO_LABEL).collect::<Vec<_>>();
        if self.sides.len() == 1 {
            let text = rows.inputs.iter().take(1).chain(&rows.labels).copied().collect();
            return (vec![text], 1);
        }
        (rows.labels.chunks_exact(self.asked_length()).map(asked).collect(), 0)
    }

    /// Tokens of the source of an example, without its end.
    pub fn source(&self, part: Part, item: usize) -> &[u32] {
        let row = &self.rows(part).inputs[item * self.length()..][..self.sides[0].length];
        row.split(|&token| token == END || token == FILL).next().unwrap_or(row)
    }

    /// Tokens of the target of an example, without its end.
    pub fn target(&self, part: Part, item: usize) -> &[u32] {
        let row = &self.rows(part).labels[item * self.asked_length()..][..self.asked_length()];
        row.split(|&token| token == END || token == NO_LABEL).next().unwrap_or(row)
    }

    /// Tokens of one side as text.
    pub fn text(&self, side: usize, tokens: &[u32]) -> String {
        self.level.text(tokens.iter().map(|&token| self.vocabularies[side].token(token)))
    }

    fn rows(&self, part: Part) -> &Rows {
        &self.parts[if part == Part::Train { 0 } else { 1 }]
    }

    /// Tokens of an example.
    fn length(&self) -> usize {
        self.sides.iter().map(|side| side.length).sum()
    }

    /// Labels of an example.
    fn asked_length(&self) -> usize {
        self.sides.last().map_or(0, |side| side.length)
    }
}

/// The two sides of a line.
fn pair(line: &str) -> Result<[&str; 2], String> {
    let mut sides = line.split('\t').map(str::trim);
    match (sides.next(), sides.next(), sides.count()) {
        (Some(source), Some(target), 0) if !source.is_empty() && !target.is_empty() => Ok([source, target]),
        (Some(""), None, _) => Err("empty".into()),
        (_, None, _) => Err("no tab".into()),
        (_, _, 0) => Err("one side is empty".into()),
        (_, _, more) => Err(format!("{} tabs", more + 1)),
    }
}

fn pair_rows(
    pairs: impl Iterator<Item = [Vec<String>; 2]>,
    vocabularies: &[Vocabulary; 2],
    sides: [Side; 2],
) -> Rows {
    let mut rows = Rows::default();
    for pair in pairs {
        let [source, target] = [0, 1]
            .map(|side| pair[side].iter().map(|token| vocabularies[side].id(token)).collect::<Vec<u32>>());
        let filled = |row: Vec<u32>, fill: u32, length: usize| {
            row.into_iter().chain(std::iter::repeat(fill)).take(length).collect::<Vec<u32>>()
        };
        rows.inputs.extend(filled([&source[..], &[END]].concat(), FILL, sides[0].length));
        rows.inputs.extend(filled([&[START], &target[..]].concat(), FILL, sides[1].length));
        rows.labels.extend(filled([&target[..], &[END]].concat(), NO_LABEL, sides[1].length));
    }
    rows
}

impl Examples for Sequences {
    fn count(&self, part: Part) -> usize {
        self.rows(part).inputs.len() / self.length()
    }

    fn asked(&self, part: Part) -> usize {
        self.rows(part).labels.iter().filter(|&&label| label != NO_LABEL).count()
    }

    fn shape(&self) -> Shape {
        Shape::new(1, 1, self.length(), 1)
    }

    fn words(&self) -> [&'static str; 2] {
        if self.sides.len() == 1 { ["window", "windows"] } else { ["sentence pair", "sentence pairs"] }
    }

    fn is_text(&self) -> bool {
        true
    }

    fn suits(&self, network: &Network) -> Result<(), TrainError> {
        let (outputs, asked) = (network.outputs(), self.sides.last().map_or(0, |side| side.vocabulary));
        if network.sides() == self.sides && outputs == asked {
            return Ok(());
        }
        let text = |sides: &[Side]| {
            let each = sides.iter().map(|side| format!("{} of {} tokens", side.length, side.vocabulary));
            if sides.is_empty() { "images".into() } else { each.collect::<Vec<_>>().join(" and ") }
        };
        Err(TrainError::Sequences { expected: text(network.sides()), found: text(&self.sides), outputs })
    }

    fn batch(
        &self,
        part: Part,
        (items, _): (&[u32], Option<Variation>),
        batch: &mut Tensor,
        labels: &mut Vec<u32>,
    ) {
        let rows = self.rows(part);
        let (length, asked, count) = (self.length(), self.asked_length(), items.len());
        labels.clear();
        labels.resize(asked * count, NO_LABEL);
        for (example, &item) in items.iter().enumerate() {
            let item = item as usize;
            let columns = batch.data_mut().iter_mut().skip(example).step_by(count);
            // Whole numbers below 2^24 are exact.
            columns.zip(&rows.inputs[item * length..][..length]).for_each(|(x, &token)| *x = token as f32);
            let columns = labels.iter_mut().skip(example).step_by(count);
            columns.zip(&rows.labels[item * asked..][..asked]).for_each(|(label, &token)| *label = token);
        }
    }

    fn few(&self, train: usize, test: usize) -> Box<dyn Examples> {
        let mut few = self.clone();
        for (rows, most) in few.parts.iter_mut().zip([train, test]) {
            rows.inputs.truncate(most.saturating_mul(self.length()));
            rows.labels.truncate(most.saturating_mul(self.asked_length()));
        }
        Box::new(few)
    }

    fn hash(&self) -> [u8; 32] {
        let mut hash = Sha256::new();
        let mut number = |x: usize| hash.update((x as u64).to_le_bytes());
        for side in &self.sides {
            number(side.vocabulary);
            number(side.length);
        }
        for rows in &self.parts {
            number(rows.inputs.len());
            rows.inputs.iter().chain(&rows.labels).for_each(|&token| number(token as usize));
        }
        for vocabulary in self.vocabularies.iter() {
            for token in 0..vocabulary.len() as u32 {
                hash.update(vocabulary.token(token));
                hash.update([0]);
            }
        }
        hash.finalize().into()
    }

    /// A trigram, and the longest that is counted.
    fn baselines(&self) -> Vec<Baseline> {
        let vocabulary = self.sides.last().map_or(0, |side| side.vocabulary);
        let [(train, _), (test, first)] = [Part::Train, Part::Test].map(|part| self.chains(part));
        let one = |order| {
            let model = NGram::count(order, vocabulary, train.iter().map(Vec::as_slice));
            let (test_loss, tokens) = model.loss(test.iter().map(Vec::as_slice), first);
            let model = format!("{order}-gram, interpolated Kneser-Ney");
            Baseline { model, tokens, test_loss, perplexity: libm::exp(test_loss) }
        };
        [3, LONGEST].map(one).to_vec()
    }
}

#[cfg(test)]
mod tests;
