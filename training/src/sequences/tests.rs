use super::*;
use std::io::Write;

const OPTIONS: TextOptions =
    TextOptions { level: Level::Character, length: 4, vocabulary: 100, held_out: 0.25 };

fn parse(text: &str, kind: TextKind, options: TextOptions) -> Result<Sequences, TextError> {
    Sequences::parse(text, "t", kind, options)
}

#[test]
fn windows_ask_for_the_next_token() {
    // Four lines, the last held out; x and y occur but once.
    let data = parse("abba\r\nabxb\nbaab\nabya\n", TextKind::Plain, OPTIONS).unwrap();
    let vocabulary = &data.vocabularies()[0];
    let names: Vec<&str> = (0..vocabulary.len() as u32).map(|id| vocabulary.token(id)).collect();
    // b stands six times, a five times, the end of a line three times.
    assert_eq!(names, ["<unknown>", "b", "a", "\n"]);
    assert_eq!(data.sides(), [Side { vocabulary: 4, length: 4 }]);
    // Fifteen tokens to train on: three windows of four. Five held out: one.
    assert_eq!([Part::Train, Part::Test].map(|part| data.count(part)), [3, 1]);
    assert_eq!(data.parts[0].inputs, [2, 1, 1, 2, 3, 2, 1, 0, 1, 3, 1, 2]);
    assert_eq!(data.parts[0].labels, [1, 1, 2, 3, 2, 1, 0, 1, 3, 1, 2, 2]);
    assert_eq!((data.asked(Part::Train), data.unknown(Part::Train), data.unknown(Part::Test)), (12, 1, 1));
    let (chains, first) = data.chains(Part::Test);
    assert_eq!((chains, first), (vec![vec![2, 1, 0, 2, 3]], 1));
    let (mut batch, mut labels) = (Tensor::zeros(data.shape().with_batch(2)), vec![]);
    data.batch(Part::Train, (&[2, 0], None), &mut batch, &mut labels);
    assert_eq!(batch.data(), [1.0, 2.0, 3.0, 1.0, 1.0, 1.0, 2.0, 2.0]);
    assert_eq!(labels, [3, 1, 1, 1, 2, 2, 2, 3]);
    let few = data.few(2, 9);
    assert_eq!([Part::Train, Part::Test].map(|part| few.count(part)), [2, 1]);
    assert_ne!(few.hash(), Examples::hash(&data));
}

#[test]
fn words_are_lower_case_and_signs_are_words() {
    let words = Level::Word.tokens("“Don’t GO,” 'he' said--3 Times;  Éste");
    assert_eq!(
        words,
        ["“", "don’t", "go", ",", "”", "'", "he", "'", "said", "-", "-", "3", "times", ";", "éste"]
    );
    assert!(Level::Word.tokens(" \t ").is_empty());
    // Of those that occur as often, the first in order; one place is reserved.
    let line: Vec<String> = ["d", "c", "b", "b", "c", "d", "a", "a", "a", "z"].map(String::from).to_vec();
    let vocabulary = Vocabulary::of(&[UNKNOWN], [&line[..]], 4);
    assert_eq!((1..4).map(|id| vocabulary.token(id)).collect::<Vec<_>>(), ["a", "b", "c"]);
    assert_eq!(["a", "d", "z"].map(|token| vocabulary.id(token)), [1, 0, 0]);
}

#[test]
fn pairs_have_starts_and_ends() {
    let text = "a b\tx y\na a\ty\nb\tx x y\nb a\ty x\na b a b a\tx\n";
    let options = TextOptions { level: Level::Word, held_out: 0.5, ..OPTIONS };
    let data = parse(text, TextKind::Pairs, options).unwrap();
    // The last pair is too long; of the others every second one is held out.
    assert_eq!(data.left_out(), 1);
    assert_eq!([Part::Train, Part::Test].map(|part| data.count(part)), [2, 2]);
    // To train on are a b | x y and b | x x y: a occurs but once.
    assert_eq!(data.sides(), [Side { vocabulary: 5, length: 3 }, Side { vocabulary: 6, length: 4 }]);
    assert_eq!(data.parts[0].inputs, [1, 4, 3, 2, 4, 5, 0, 4, 3, 0, 2, 4, 4, 5]);
    assert_eq!(data.parts[0].labels, [4, 5, 3, NO_LABEL, 4, 4, 5, 3]);
    assert_eq!((data.asked(Part::Train), data.unknown(Part::Train)), (7, 0));
    assert_eq!(data.chains(Part::Train), (vec![vec![4, 5, 3], vec![4, 4, 5, 3]], 0));
    assert_eq!((data.source(Part::Train, 0), data.target(Part::Train, 0)), (&[1, 4][..], &[4, 5][..]));
    assert_eq!((data.text(0, &[1, 4]), data.text(1, &[4, 5])), ("<unknown> b".into(), "x y".into()));
}

#[test]
fn wrong_files_are_refused_with_what_was_expected() {
    let root = tempfile::tempdir().unwrap();
    let open = |path: &Path, kind| Sequences::open(path, kind, OPTIONS).unwrap_err().to_string();
    let missing = root.path().join("none");
    let error = open(&missing, TextKind::Plain);
    assert!(
        error.contains("no such file or folder") && error.contains(".txt") && error.contains("gutenberg"),
        "{error}"
    );
    let error = open(root.path(), TextKind::Pairs);
    assert!(
        error.contains("holds no such file") && error.contains(".tsv") && error.contains("without --data"),
        "{error}"
    );
    let write = |name: &str, bytes: &[u8]| std::fs::write(root.path().join(name), bytes).unwrap();
    write("b.txt", b"good\nba\xff\n");
    let error = open(root.path(), TextKind::Plain);
    assert!(error.contains("b.txt, line 2: not UTF-8"), "{error}");
    write("a.txt.gz", b"\x1f\x8bno");
    let error = open(root.path(), TextKind::Plain);
    assert!(
        error.contains("more than one") && error.contains("a.txt.gz, ") && error.contains("b.txt"),
        "{error}"
    );
    let error = open(&root.path().join("a.txt.gz"), TextKind::Plain);
    assert!(error.contains("cannot be read"), "{error}");
    write("b.txt", b"one line\n");
    let error = open(&root.path().join("b.txt"), TextKind::Plain);
    assert!(error.contains("1 lines give 9 tokens") && error.contains("at least 5"), "{error}");
    for (text, says) in [
        ("a\tb\nc\n", "line 2: no tab"),
        ("a\tb\n\n", "line 2: empty"),
        ("a\t\n", "line 1: one side is empty"),
        ("a\tb\tc\td\n", "line 1: 3 tabs"),
        ("abcde\tb\na\tabcde\nab\tab\n", "3 pairs, 2 of them with more than 4 tokens"),
    ] {
        let error = parse(text, TextKind::Pairs, OPTIONS).unwrap_err().to_string();
        assert!(error.contains(says), "{error}");
    }
}

#[test]
fn zipped_text_and_the_mark_of_its_order_are_read() {
    let root = tempfile::tempdir().unwrap();
    let text = "abba\nabab\nbaab\nabba\n";
    let mut zipped = flate2::write::GzEncoder::new(vec![], flate2::Compression::default());
    zipped.write_all(format!("\u{feff}{text}").as_bytes()).unwrap();
    let path = root.path().join("t.txt.gz");
    std::fs::write(&path, zipped.finish().unwrap()).unwrap();
    let plain = parse(text, TextKind::Plain, OPTIONS).unwrap();
    for place in [root.path(), &path] {
        assert_eq!(Sequences::open(place, TextKind::Plain, OPTIONS).unwrap().parts, plain.parts);
    }
}

#[test]
fn the_samples_are_what_they_should_be() {
    let options = TextOptions { length: 64, held_out: 0.1, vocabulary: 4096, ..OPTIONS };
    let text = Sequences::sample(TextKind::Plain, options).unwrap();
    // 9,000 lines, 900 of them held out.
    assert_eq!([Part::Train, Part::Test].map(|part| text.count(part)), [1_909_492 / 64, 117_839 / 64]);
    assert_eq!((text.sides()[0].vocabulary, text.unknown(Part::Test)), (81, 0));
    let options = TextOptions { level: Level::Word, length: 24, ..options };
    let pairs = Sequences::sample(TextKind::Pairs, options).unwrap();
    assert_eq!(pairs.count(Part::Train) + pairs.count(Part::Test) + pairs.left_out(), 6593);
    assert_eq!(
        pairs.text(0, pairs.source(Part::Train, 1)),
        "god said , “ let there be light , ” and there was light ."
    );
}
