//! Refuses files whose messages lie in one another too deeply: the parser goes down by recursion.

/// Deeper than any graph has it: bodies of loops in bodies of loops, sequences of sequences.
const DEEPEST: u32 = 24;

/// The messages of ONNX that can hold one of their own kind.
#[derive(Clone, Copy)]
enum Message {
    Model,
    Training,
    Function,
    Graph,
    Node,
    Attribute,
    Value,
    Type,
    Element,
}

impl Message {
    /// What the field with this number holds, if it can lead back to the same message.
    fn field(self, number: u64) -> Option<Self> {
        match (self, number) {
            (Self::Model, 7) | (Self::Training, 1 | 2) | (Self::Attribute, 6 | 11) => Some(Self::Graph),
            (Self::Model, 20) => Some(Self::Training),
            (Self::Model, 25) => Some(Self::Function),
            (Self::Graph, 1) | (Self::Function, 7) => Some(Self::Node),
            (Self::Graph, 11..=13) | (Self::Function, 12) => Some(Self::Value),
            (Self::Node, 5) | (Self::Function, 11) => Some(Self::Attribute),
            (Self::Attribute, 14 | 15) | (Self::Value, 2) | (Self::Element, 1 | 2) => Some(Self::Type),
            (Self::Type, 4 | 5 | 9) => Some(Self::Element),
            _ => None,
        }
    }
}

/// Whether a file is nested deeper than any graph is. What is no protocol buffer is left to the parser, which says so.
pub(super) fn too_deep(bytes: &[u8]) -> bool {
    let mut open = vec![(Message::Model, bytes, 0)];
    while let Some((message, mut rest, depth)) = open.pop() {
        if depth > DEEPEST {
            return true;
        }
        while let Some((number, body)) = next(&mut rest) {
            if let (Some(inner), Some(body)) = (message.field(number), body) {
                open.push((inner, body, depth + 1));
            }
        }
    }
    false
}

/// The next field: its number, and its bytes if it has a length; `None` at the end or where the form is broken.
fn next<'a>(rest: &mut &'a [u8]) -> Option<(u64, Option<&'a [u8]>)> {
    let tag = varint(rest)?;
    let length = match tag & 7 {
        0 => return varint(rest).map(|_| (tag >> 3, None)),
        1 => 8,
        2 => usize::try_from(varint(rest)?).ok()?,
        5 => 4,
        _ => return None,
    };
    let (body, after) = rest.split_at_checked(length)?;
    *rest = after;
    Some((tag >> 3, (tag & 7 == 2).then_some(body)))
}

fn varint(rest: &mut &[u8]) -> Option<u64> {
    let mut value = 0u64;
    for shift in (0..70).step_by(7) {
        let (&byte, after) = rest.split_first()?;
        *rest = after;
        value |= u64::from(byte & 0x7f).checked_shl(shift).unwrap_or(0);
        if byte & 0x80 == 0 {
            return Some(value);
        }
    }
    None
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A message with one field.
    fn wrap(number: u8, body: &[u8]) -> Vec<u8> {
        let mut bytes = vec![number << 3 | 2];
        let mut length = body.len();
        while length >= 0x80 {
            bytes.push(length as u8 | 0x80);
            length >>= 7;
        }
        bytes.push(length as u8);
        bytes.extend(body);
        bytes
    }

    #[test]
    fn graphs_in_graphs_in_graphs_are_refused() {
        let nest = |levels: usize| {
            let inner = (0..levels).fold(Vec::new(), |graph, _| wrap(1, &wrap(5, &wrap(6, &graph))));
            wrap(7, &inner)
        };
        assert!(!too_deep(&nest(3)));
        assert!(too_deep(&nest(20_000)));
        assert!(!too_deep(b"not a protocol buffer"));
    }
}
