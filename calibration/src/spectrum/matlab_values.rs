//! Level 5 MAT-files: arrays, structures and cells, packed or not.
//!
//! After "MAT-File Format", The MathWorks (chapter on the Level 5 format): a header of 128 bytes, then data elements, each
//! with a tag of type and size, padded to eight bytes; small elements pack type, size and data into eight bytes; compressed
//! elements hold one element as a zlib stream.

use std::io::Read;

/// Bytes that compressed elements of one file may unpack to.
const MOST: u64 = 1 << 28;
/// Structures within structures.
const DEEPEST: usize = 16;
/// Fields of a structure and elements of an array of structures.
const ELEMENTS: usize = 1 << 16;

const MATRIX: u32 = 14;
const COMPRESSED: u32 = 15;

/// A value of a MAT-file, as far as spectra need it.
#[derive(Debug, Clone, PartialEq)]
pub(super) enum Value {
    /// An array of real numbers, column after column.
    Numbers(Vec<f64>),
    /// Fields of a structure (of its first element, if it is an array).
    Fields(Vec<(String, Value)>),
    /// Anything else, by its name.
    Other(&'static str),
}

/// Named variables of a file behind its header of 128 bytes; `big` is its byte order.
pub(super) fn variables(bytes: &[u8], big: bool) -> Result<Vec<(String, Value)>, String> {
    let mut left = MOST;
    let mut all = Vec::new();
    let mut input = Input { bytes, big, deep: 0 };
    while !input.bytes.is_empty() {
        input.element(&mut left, &mut all)?;
    }
    Ok(all)
}

#[derive(Clone, Copy)]
struct Input<'b> {
    bytes: &'b [u8],
    big: bool,
    deep: usize,
}

/// A tagged piece of data.
struct Element<'b> {
    kind: u32,
    data: &'b [u8],
}

impl<'b> Input<'b> {
    fn word(&self, at: usize) -> Option<u32> {
        let four: [u8; 4] = self.bytes.get(at..at + 4)?.try_into().ok()?;
        Some(if self.big { u32::from_be_bytes(four) } else { u32::from_le_bytes(four) })
    }

    /// Takes the next element off the input.
    fn next(&mut self) -> Result<Element<'b>, String> {
        let short = || "the file ends within a data element: it is cut off or damaged".to_owned();
        let first = self.word(0).ok_or_else(short)?;
        let (kind, start, size): (u32, usize, usize) = match first >> 16 {
            0 => (first, 8, self.word(4).ok_or_else(short)? as usize),
            small => (first & 0xffff, 4, small as usize),
        };
        if start == 4 && size > 4 {
            return Err(format!("a small data element of {size} bytes: the file is damaged"));
        }
        let end = start.checked_add(size).ok_or_else(short)?;
        let data = self.bytes.get(start..end).ok_or_else(short)?;
        // Compressed elements are not padded; a missing padding at the very end is forgiven.
        let padded = if kind == COMPRESSED { end } else { end.next_multiple_of(8) };
        self.bytes = self.bytes.get(padded..).unwrap_or(&[]);
        Ok(Element { kind, data })
    }

    /// Reads an element of the top level into `all`.
    fn element(&mut self, left: &mut u64, all: &mut Vec<(String, Value)>) -> Result<(), String> {
        let element = self.next()?;
        match element.kind {
            MATRIX => all.push(self.within(element.data).matrix()?),
            COMPRESSED => {
                let mut unpacked = Vec::new();
                let mut stream = flate2::read::ZlibDecoder::new(element.data).take(*left);
                let size = stream.read_to_end(&mut unpacked);
                let size = size.map_err(|e| format!("a compressed element cannot be unpacked: {e}"))?;
                *left -= size as u64;
                if *left == 0 {
                    return Err(format!("the compressed elements hold more than {} MB", MOST >> 20));
                }
                let mut inner = Input { bytes: &unpacked, ..*self };
                let element = inner.next()?;
                if element.kind == MATRIX {
                    all.push(inner.within(element.data).matrix()?);
                }
            }
            // Other elements at the top level hold nothing that has a name.
            _ => {}
        }
        Ok(())
    }

    fn within<'d>(&self, data: &'d [u8]) -> Input<'d> {
        Input { bytes: data, big: self.big, deep: self.deep + 1 }
    }

    /// Name and value of an array, from the inside of its element.
    fn matrix(mut self) -> Result<(String, Value), String> {
        if self.deep > DEEPEST {
            return Err(format!("structures within structures deeper than {DEEPEST}"));
        }
        if self.bytes.is_empty() {
            return Ok((String::new(), Value::Numbers(Vec::new())));
        }
        let flags = self.next()?;
        let class = self.within(flags.data).word(0).ok_or("an array without flags: the file is damaged")?;
        let complex = class & 0x0800 != 0;
        let dimensions = self.next()?;
        let name = self.next()?;
        let name = String::from_utf8_lossy(name.data).trim_end_matches('\0').to_owned();
        let value = match class & 0xff {
            1 => Value::Other("a cell array"),
            2 => self.structure(dimensions.data)?,
            3 => Value::Other("an object"),
            4 => Value::Other("text"),
            5 => Value::Other("a sparse matrix"),
            6..=15 if complex => Value::Other("an array of complex numbers"),
            6..=15 => {
                let data = self.next()?;
                Value::Numbers(self.numbers(&data)?)
            }
            _ => Value::Other("an array of an unknown class"),
        };
        Ok((name, value))
    }

    /// Fields of a structure, of its first element.
    fn structure(&mut self, dimensions: &[u8]) -> Result<Value, String> {
        let sizes = dimensions.chunks_exact(4).enumerate().map(|(i, _)| self.within(dimensions).word(4 * i));
        let count = sizes.map(|s| s.unwrap_or(0) as usize).try_fold(1, usize::checked_mul);
        if count == Some(0) {
            return Ok(Value::Fields(Vec::new()));
        }
        let length = self.next()?;
        let length = self.within(length.data).word(0).unwrap_or(0) as usize;
        let names = self.next()?;
        if length == 0 || names.data.len() / length > ELEMENTS {
            return Err("a structure with damaged names of its fields".into());
        }
        let mut fields = Vec::new();
        for name in names.data.chunks_exact(length) {
            let end = name.iter().position(|b| *b == 0).unwrap_or(length);
            let element = self.next()?;
            if element.kind != MATRIX {
                return Err("a field of a structure that is no array: the file is damaged".into());
            }
            let (_, value) = self.within(element.data).matrix()?;
            fields.push((String::from_utf8_lossy(&name[..end]).into_owned(), value));
        }
        Ok(Value::Fields(fields))
    }

    /// Numbers of any type that MATLAB stores them in.
    fn numbers(&self, element: &Element<'_>) -> Result<Vec<f64>, String> {
        let big = self.big;
        macro_rules! all {
            ($type:ty) => {{
                let each = element.data.chunks_exact(size_of::<$type>()).filter_map(|c| c.try_into().ok());
                each.map(|c| if big { <$type>::from_be_bytes(c) } else { <$type>::from_le_bytes(c) } as f64)
                    .collect()
            }};
        }
        Ok(match element.kind {
            1 => all!(i8),
            2 => all!(u8),
            3 => all!(i16),
            4 => all!(u16),
            5 => all!(i32),
            6 => all!(u32),
            7 => all!(f32),
            9 => all!(f64),
            12 => all!(i64),
            13 => all!(u64),
            other => return Err(format!("numbers stored as type {other}, which the format does not have")),
        })
    }
}
