//! The text of a netlist as a tree of maps, lists and scalars that know their lines. JSON is read as the YAML that it is.

use std::collections::{HashMap, HashSet};

use saphyr_parser::{Event, Parser, ScalarStyle};

use super::error::CircuitError;

/// Nesting beyond which a file is refused.
const DEEPEST: usize = 64;
/// Number of values beyond which a file is refused; aliases count each time they are used.
const MOST: usize = 4_000_000;

/// Length of a key beyond which a file is refused: YAML ends at 1,024 characters, escapes included.
const LONGEST: usize = 160;

/// A value of the tree.
#[derive(Debug, Clone)]
pub(crate) struct Node {
    /// Line in the file, counted from one; 0 when it was not read.
    pub line: usize,
    pub content: Content,
}

#[derive(Debug, Clone)]
pub(crate) enum Content {
    /// A scalar as it stands in the file; `is_text` when it is no number, nothing, true or false, or stands in quotes.
    Scalar {
        text: String,
        is_text: bool,
    },
    List(Vec<Node>),
    Map(Vec<(Key, Node)>),
}

/// A key of a map.
#[derive(Debug, Clone)]
pub(crate) struct Key {
    pub line: usize,
    pub text: String,
}

/// Equal in content; lines do not count, nor how a number is written.
impl PartialEq for Node {
    fn eq(&self, other: &Self) -> bool {
        match (&self.content, &other.content) {
            (Content::List(a), Content::List(b)) => a == b,
            (Content::Map(a), Content::Map(b)) => a == b,
            (Content::Scalar { text: a, is_text: x }, Content::Scalar { text: b, is_text: y }) => {
                x == y
                    && (a == b
                        || self.is_null() && other.is_null()
                        || !x && self.as_number() == other.as_number())
            }
            _ => false,
        }
    }
}

impl PartialEq for Key {
    fn eq(&self, other: &Self) -> bool {
        self.text == other.text
    }
}

impl Node {
    fn of(content: Content) -> Self {
        Self { line: 0, content }
    }

    pub fn text(text: &str) -> Self {
        Self::of(Content::Scalar { text: text.to_owned(), is_text: true })
    }

    pub fn number(x: f64) -> Self {
        Self::of(Content::Scalar { text: number_text(x), is_text: false })
    }

    pub fn list(items: impl IntoIterator<Item = Node>) -> Self {
        Self::of(Content::List(items.into_iter().collect()))
    }

    pub fn map<'a>(entries: impl IntoIterator<Item = (&'a str, Node)>) -> Self {
        let key = |text: &str| Key { line: 0, text: text.to_owned() };
        Self::of(Content::Map(entries.into_iter().map(|(k, v)| (key(k), v)).collect()))
    }

    /// What kind of value it is, for messages.
    pub fn kind(&self) -> &'static str {
        match &self.content {
            Content::List(_) => "a list",
            Content::Map(_) => "a map",
            Content::Scalar { .. } if self.is_null() => "nothing",
            Content::Scalar { .. } if self.as_number().is_some() => "a number",
            Content::Scalar { .. } => "text",
        }
    }

    pub fn error(&self, message: impl Into<String>) -> CircuitError {
        CircuitError::new(message).at_line(self.line)
    }

    fn plain(&self) -> Option<&str> {
        match &self.content {
            Content::Scalar { text, is_text: false } => Some(text),
            _ => None,
        }
    }

    pub fn is_null(&self) -> bool {
        self.plain().is_some_and(|t| matches!(t, "" | "~" | "null" | "Null" | "NULL"))
    }

    pub fn is_bool(&self) -> bool {
        self.plain().is_some_and(|t| matches!(t, "true" | "false" | "True" | "False" | "TRUE" | "FALSE"))
    }

    /// A scalar that was read.
    fn scalar(text: &str, line: usize, quoted: bool) -> Self {
        let mut node = Self { line, content: Content::Scalar { text: text.to_owned(), is_text: false } };
        if quoted || !(node.is_null() || node.is_bool() || node.as_number().is_some()) {
            node.content = Content::Scalar { text: text.to_owned(), is_text: true };
        }
        node
    }

    /// A number as YAML 1.2 has it (its core schema); not text in quotes.
    pub fn as_number(&self) -> Option<f64> {
        let text = self.plain()?;
        let digits = text.trim_start_matches(['+', '-']);
        // Rust also reads `inf`, `nan` and `infinity`, which are words in YAML.
        let numeric =
            digits.starts_with(|c: char| c.is_ascii_digit() || c == '.') && text.len() - digits.len() < 2;
        match digits {
            ".inf" | ".Inf" | ".INF" => Some(f64::INFINITY),
            ".nan" | ".NaN" | ".NAN" => Some(f64::NAN),
            _ => text.parse().ok().filter(|_| numeric),
        }
    }

    pub fn as_text(&self) -> Option<&str> {
        match &self.content {
            Content::Scalar { text, .. } => Some(text),
            _ => None,
        }
    }

    /// The entries of a map; none for nothing at all, as in `connections:` with no value.
    pub fn entries(&self, what: &str) -> Result<&[(Key, Node)], CircuitError> {
        match &self.content {
            Content::Map(entries) => Ok(entries),
            _ if self.is_null() => Ok(&[]),
            _ => Err(self.error(format!("{what} must be a map, not {}", self.kind()))),
        }
    }

    /// The items of a list; none for nothing at all.
    pub fn items(&self, what: &str) -> Result<&[Node], CircuitError> {
        match &self.content {
            Content::List(items) => Ok(items),
            _ if self.is_null() => Ok(&[]),
            _ => Err(self.error(format!("{what} must be a list, not {}", self.kind()))),
        }
    }

    /// The value of a key of a map.
    pub fn get(&self, key: &str) -> Option<&Node> {
        match &self.content {
            Content::Map(entries) => entries.iter().find(|(k, _)| k.text == key).map(|(_, v)| v),
            _ => None,
        }
    }

    /// Reads YAML or JSON.
    pub fn read(text: &str) -> Result<Node, CircuitError> {
        Reader { open: Vec::new(), anchors: HashMap::new(), count: 0, root: None }.read(text)
    }

    fn size(&self) -> usize {
        1 + match &self.content {
            Content::Scalar { .. } => 0,
            Content::List(items) => items.iter().map(Node::size).sum(),
            Content::Map(entries) => entries.iter().map(|(_, v)| v.size()).sum(),
        }
    }
}

/// A number that readers of YAML 1.1 take for a number as well: an exponent needs a point before it, and a sign.
fn number_text(x: f64) -> String {
    let text = format!("{x:?}");
    match text.split_once('e') {
        None => text,
        Some((mantissa, exponent)) => {
            let point = if mantissa.contains('.') { "" } else { ".0" };
            let sign = if exponent.starts_with('-') { "" } else { "+" };
            format!("{mantissa}{point}e{sign}{exponent}")
        }
    }
}

/// A list or map that is being read.
struct Open {
    node: Node,
    key: Option<Key>,
    keys: HashSet<String>,
    anchor: usize,
}

fn too_many(line: usize) -> CircuitError {
    CircuitError::new(format!("more than {MOST} values")).at_line(line)
}

struct Reader {
    open: Vec<Open>,
    /// Anchored values with their sizes.
    anchors: HashMap<usize, (Node, usize)>,
    count: usize,
    root: Option<Node>,
}

impl Reader {
    fn read(mut self, text: &str) -> Result<Node, CircuitError> {
        // Events of a whole file, one after the other; the parser itself does not recurse.
        for event in Parser::new_from_str(text) {
            let (event, span) = event.map_err(|e| {
                CircuitError::new(format!("not YAML: {}", e.info())).at_line(e.marker().line())
            })?;
            self.take(event, span.start.line())?;
        }
        self.root.ok_or_else(|| CircuitError::new("the file is empty"))
    }

    fn take(&mut self, event: Event<'_>, line: usize) -> Result<(), CircuitError> {
        let tag = match &event {
            Event::Scalar(_, _, _, tag) | Event::SequenceStart(_, tag) | Event::MappingStart(_, tag) => {
                tag.as_ref()
            }
            _ => None,
        };
        let kind = tag.map(|t| if t.is_yaml_core_schema() { t.suffix.as_str() } else { "" });
        if let Some(tag) = tag.filter(|_| !matches!(kind, Some("str" | "map" | "seq"))) {
            let message =
                format!("the tag {}{} is not understood: write plain values", tag.handle, tag.suffix);
            return Err(CircuitError::new(message).at_line(line));
        }
        let is_str = kind == Some("str");
        match event {
            Event::Scalar(text, style, anchor, _) => {
                self.put(Node::scalar(&text, line, is_str || style != ScalarStyle::Plain), anchor)
            }
            Event::SequenceStart(anchor, _) => self.start(Content::List(Vec::new()), line, anchor),
            Event::MappingStart(anchor, _) => self.start(Content::Map(Vec::new()), line, anchor),
            Event::SequenceEnd | Event::MappingEnd => match self.open.pop() {
                Some(done) => self.put(done.node, done.anchor),
                None => Ok(()),
            },
            Event::Alias(anchor) => {
                let unknown = || CircuitError::new("an alias within its own anchor").at_line(line);
                let (node, size) = self.anchors.get(&anchor).ok_or_else(unknown)?;
                self.count += size;
                if self.count > MOST {
                    return Err(too_many(line));
                }
                let node = node.clone();
                self.put(node, 0)
            }
            Event::DocumentStart(_) if self.root.is_some() => {
                Err(CircuitError::new("a second document begins here: a netlist is one document")
                    .at_line(line))
            }
            _ => Ok(()),
        }
    }

    fn start(&mut self, content: Content, line: usize, anchor: usize) -> Result<(), CircuitError> {
        if self.open.len() >= DEEPEST {
            return Err(CircuitError::new(format!("nested more than {DEEPEST} deep")).at_line(line));
        }
        self.open.push(Open { node: Node { line, content }, key: None, keys: HashSet::new(), anchor });
        Ok(())
    }

    /// Puts a whole value where it belongs.
    fn put(&mut self, node: Node, anchor: usize) -> Result<(), CircuitError> {
        self.count += 1;
        if self.count > MOST {
            return Err(too_many(node.line));
        }
        if anchor > 0 {
            let size = node.size();
            self.anchors.insert(anchor, (node.clone(), size));
        }
        let Some(parent) = self.open.last_mut() else {
            self.root = Some(node);
            return Ok(());
        };
        match &mut parent.node.content {
            Content::List(items) => items.push(node),
            Content::Map(entries) => match parent.key.take() {
                Some(key) => entries.push((key, node)),
                None => {
                    let Some(text) = node.as_text().map(str::to_owned) else {
                        return Err(node.error(format!("a key must be text, not {}", node.kind())));
                    };
                    if text.chars().count() > LONGEST {
                        return Err(node.error(format!("a name of more than {LONGEST} characters")));
                    }
                    if !parent.keys.insert(text.clone()) {
                        return Err(node.error(format!("`{text}` stands here for the second time")));
                    }
                    parent.key = Some(Key { line: node.line, text });
                }
            },
            Content::Scalar { .. } => {}
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn scalars_are_what_yaml_says() {
        let root =
            Node::read("a: 1e-3\nb: '2'\nc: .5\nd: nan\ne: -.inf\nf: 12 um\ng:\nh: true\ni: --1\n").unwrap();
        let number = |k: &str| root.get(k).unwrap().as_number();
        assert_eq!((number("a"), number("b"), number("c")), (Some(1e-3), None, Some(0.5)));
        assert_eq!((number("d"), number("e"), number("f")), (None, Some(f64::INFINITY), None));
        assert_eq!(number("i"), None);
        assert!(root.get("g").unwrap().is_null() && root.get("h").unwrap().is_bool());
        assert_eq!(root.get("h").unwrap().line, 8);
    }

    #[test]
    fn what_is_no_plain_tree_is_refused_with_its_line() {
        let problem = |text: &str| Node::read(text).unwrap_err().to_string();
        assert!(problem("a: 1\nb: 2\na: 3\n").starts_with("line 3: `a` stands here for the second time"));
        assert!(
            problem("a: !!python/tuple [1]\n").contains("line 1: the tag")
                || problem("a: !x 1").contains("tag")
        );
        assert!(problem("a: 1\n---\nb: 1\n").contains("second document"));
        assert!(problem("a: [1, 2\n").contains("not YAML"));
        assert!(problem("").contains("empty"));
        assert!(problem(&"[".repeat(100)).contains("deep"));
        assert!(problem("? [a]\n: 1\n").contains("a key must be text"));
    }

    #[test]
    fn aliases_are_copies_and_cannot_explode() {
        let root = Node::read("a: &x {length: 1}\nb: *x\n").unwrap();
        assert_eq!(root.get("a"), root.get("b"));
        let mut text = "a0: &a0 [1, 1, 1, 1, 1, 1, 1, 1, 1, 1]\n".to_owned();
        for i in 1..12 {
            let aliases = vec![format!("*a{}", i - 1); 10].join(", ");
            text.push_str(&format!("a{i}: &a{i} [{aliases}]\n"));
        }
        assert!(Node::read(&text).unwrap_err().to_string().contains("more than"));
    }

    #[test]
    fn json_is_read_as_yaml() {
        let text = "{\n\t\"a\": {\"b,c\": [1.5, \"x\\u00e9\", null, true]}\n}";
        let root = Node::read(text).unwrap();
        let items = root.get("a").unwrap().get("b,c").unwrap().items("x").unwrap();
        assert_eq!((items[0].as_number(), items[1].as_text()), (Some(1.5), Some("xé")));
        assert!(items[2].is_null() && items[3].is_bool());
    }
}
