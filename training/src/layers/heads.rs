//! Channels and places of all examples, taken apart into the small matrices of heads, and put together again.

use crate::tensor::Shape;

/// How a value of `heads x width` channels, with a place in each column and the example last, falls into blocks: one for each
/// example and head, example by example, of `width x length` numbers.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Heads {
    pub heads: usize,
    /// Channels of a head.
    pub width: usize,
    /// Places of an example.
    pub length: usize,
    pub batch: usize,
}

/// How the numbers of a block lie.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Order {
    /// Channel by channel.
    Channels,
    /// Place by place.
    Places,
}

impl Heads {
    /// Those of a value of this shape.
    pub fn of(shape: Shape, heads: usize) -> Self {
        Self { heads, width: shape.channels / heads, length: shape.height * shape.width, batch: shape.batch }
    }

    /// Blocks.
    pub fn count(self) -> usize {
        self.heads * self.batch
    }

    /// Numbers of a block.
    pub fn size(self) -> usize {
        self.width * self.length
    }

    /// Numbers in all.
    pub fn len(self) -> usize {
        self.count() * self.size()
    }

    /// Takes a value apart, into blocks that lie channel by channel.
    pub fn apart(self, value: &[f32], blocks: &mut [f32]) {
        self.rows(Order::Channels, |row, start, stride| {
            let row = &value[row..row + self.batch];
            row.iter().enumerate().for_each(|(example, &x)| blocks[start + example * stride] = x);
        });
    }

    /// Puts blocks together.
    pub fn together(self, blocks: &[f32], order: Order, value: &mut [f32]) {
        self.rows(order, |row, start, stride| {
            let row = &mut value[row..row + self.batch];
            row.iter_mut().enumerate().for_each(|(example, x)| *x = blocks[start + example * stride]);
        });
    }

    /// For each channel and place: where its numbers of all examples begin in the value, where that of the first example is in the
    /// blocks, and how far that of the next is.
    fn rows(self, order: Order, mut each: impl FnMut(usize, usize, usize)) {
        let stride = self.heads * self.size();
        for channel in 0..self.heads * self.width {
            let (head, inner) = (channel / self.width, channel % self.width);
            for place in 0..self.length {
                let at = match order {
                    Order::Channels => inner * self.length + place,
                    Order::Places => place * self.width + inner,
                };
                each((channel * self.length + place) * self.batch, head * self.size() + at, stride);
            }
        }
    }
}
