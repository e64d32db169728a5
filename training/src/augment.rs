//! Training images, varied a little each time they are seen.

use rand::Rng;

use crate::draws::{Domain, generator};
use crate::tensor::Shape;

/// How training images are varied: cut out of a frame of black pixels at a random place, and mirrored (as He et al., CVPR
/// 2016, section 4.2, do, with a frame of 4). Test images never are.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Augment {
    /// Width of the frame in pixels; 0 leaves images where they are.
    pub frame: u32,
    /// Whether every second image, at random, has left and right changed.
    pub flip: bool,
}

/// The variations of one epoch; each image's depend on the seed, the epoch and the image's index alone.
#[derive(Debug, Clone, Copy)]
pub struct Variation {
    pub(crate) augment: Augment,
    pub(crate) seed: u64,
    pub(crate) epoch: u32,
}

/// What happens to one image.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Change {
    /// Rows that it moves down, and columns that it moves to the right.
    down: i64,
    right: i64,
    flip: bool,
}

impl Augment {
    /// The variations of an epoch, if there are any.
    pub(crate) fn variation(self, seed: u64, epoch: u32) -> Option<Variation> {
        (self != Self::default()).then_some(Variation { augment: self, seed, epoch })
    }
}

impl Variation {
    pub(crate) fn of(&self, image: u32) -> Change {
        let mut draws = generator(self.seed, Domain::Augment, [self.epoch.into(), image.into()]);
        let Augment { frame, flip } = self.augment;
        // Evenly among 2 frame + 1 places; the bias of the multiplication is below 2^-31.
        let mut place = || {
            let places = 2 * u128::from(frame) + 1;
            ((u128::from(draws.next_u64()) * places) >> 64) as i64 - i64::from(frame)
        };
        let (down, right) = (place(), place());
        Change { down, right, flip: flip && draws.next_u64() >> 63 == 1 }
    }
}

impl Change {
    /// Writes the changed `image` to `out`, channel by channel; what comes from outside is black, 0.
    pub fn apply(self, image: &[u8], shape: Shape, out: &mut [u8]) {
        let (height, width) = (shape.height as i64, shape.width as i64);
        let planes = out.chunks_exact_mut(shape.height * shape.width);
        for (out, image) in planes.zip(image.chunks_exact(shape.height * shape.width)) {
            for (row, line) in (0..).zip(out.chunks_exact_mut(shape.width)) {
                let from = row - self.down;
                line.fill(0);
                if !(0..height).contains(&from) {
                    continue;
                }
                let from = &image[(from * width) as usize..][..shape.width];
                let (start, end) = (self.right.clamp(0, width), (width + self.right).clamp(0, width));
                let source =
                    &from[(start - self.right).clamp(0, width) as usize..][..(end - start).max(0) as usize];
                line[start as usize..end.max(start) as usize].copy_from_slice(source);
                if self.flip {
                    line.reverse();
                }
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const SHAPE: Shape = Shape::new(2, 3, 4, 1);

    fn image() -> Vec<u8> {
        (1..=24).collect()
    }

    /// The definition, pixel by pixel.
    fn plain(change: Change, image: &[u8]) -> Vec<u8> {
        let at = |c: i64, r: i64, s: i64| {
            let s = if change.flip { 3 - s } else { s };
            let (r, s) = (r - change.down, s - change.right);
            let inside = (0..3).contains(&r) && (0..4).contains(&s);
            if inside { image[((c * 3 + r) * 4 + s) as usize] } else { 0 }
        };
        (0..24).map(|i| at(i / 12, i / 4 % 3, i % 4)).collect()
    }

    #[test]
    fn images_move_and_flip() {
        for (down, right) in (-5..=5).flat_map(|down| (-5..=5).map(move |right| (down, right))) {
            for flip in [false, true] {
                let change = Change { down, right, flip };
                let mut out = vec![77; 24];
                change.apply(&image(), SHAPE, &mut out);
                assert_eq!(out, plain(change, &image()), "{change:?}");
            }
        }
    }

    #[test]
    fn changes_are_seeded_and_even() {
        let augment = Augment { frame: 4, flip: true };
        let of = |seed, epoch, image| augment.variation(seed, epoch).unwrap().of(image);
        assert_eq!(of(1, 2, 3), of(1, 2, 3));
        let mut counts = std::collections::BTreeMap::new();
        let images = 162 * 500;
        for image in 0..images {
            let Change { down, right, flip } = of(1, 2, image);
            *counts.entry((down, right, flip)).or_insert(0_u32) += 1;
        }
        // 9 x 9 places, mirrored or not: 500 each. Chi-squared with 161 degrees of freedom: mean 161, deviation 18.
        assert_eq!(counts.len(), 162);
        let chi: f64 = counts.values().map(|&n| (f64::from(n) - 500.0).powi(2) / 500.0).sum();
        assert!((71.0..251.0).contains(&chi), "{chi}");
        let differ = |a: &dyn Fn(u32) -> Change| (0..1000).filter(|&i| a(i) != of(1, 2, i)).count();
        assert!(differ(&|i| of(2, 2, i)) > 900 && differ(&|i| of(1, 3, i)) > 900);
        assert!(Augment::default().variation(1, 1).is_none());
    }
}
