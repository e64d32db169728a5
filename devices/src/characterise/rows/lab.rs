//! MDPUs of a sampled chip before anything is trimmed, on the bench, and their error rates as they are set.

use super::{SampledChips, judge};
use crate::error::DeviceError;
use crate::unit::lab::{Lab, RawMdpu};
use crate::unit::rates::Operating;
use crate::unit::readout::wrap;
use crate::unit::sampled::SampledMdpu;

impl<'a> SampledChips<'a> {
    /// MDPU `index` (in the order of [`SampledChips::seats`]) of chip `chip` on the bench, as it was made.
    ///
    /// It lies on the same maps as the MDPU of that number which [`SampledChips::rates`] looks at, without what trimming is taken
    /// to do there.
    ///
    /// # Errors
    /// A number that the chip has not.
    pub fn lab(&self, chip: u32, index: usize) -> Result<Lab<'_>, DeviceError> {
        self.lab_again(chip, index, 0)
    }

    /// The same MDPU of the same chip with other noise: what repeats of a trimming scatter by. Repeat 0 is [`SampledChips::lab`].
    ///
    /// # Errors
    /// A number that the chip has not.
    pub fn lab_again(&self, chip: u32, index: usize, repeat: u32) -> Result<Lab<'_>, DeviceError> {
        let seats = self.seats();
        let seat = *seats.get(index).ok_or_else(|| {
            DeviceError::Question(format!(
                "dot-product unit {index} of a chip of {}, counted from zero",
                seats.len()
            ))
        })?;
        let (unit, largest, _) = &self.units[seat.modulus];
        let paths = || {
            let maps = self.maps.as_ref()?;
            Some(maps.untouched(self.draw_chip(chip).maps.as_ref()?, unit.site()?, self.begins(seat)?))
        };
        let mut rng = self.stream(chip, index as u64);
        let raw = RawMdpu::sample(unit, paths().as_ref(), &mut rng);
        let operating = Operating::new(unit, *largest, self.setting.laser_power);
        let key = (self.setting.seed, [u64::from(repeat) << 32 | u64::from(chip), index as u64]);
        Ok(Lab::new(operating, &self.setting.operands[seat.modulus], raw, key))
    }

    /// Error rate of MDPU `index` as it is set on the bench, and its relative standard error; as [`SampledChips::rates`]. Above a
    /// tenth it is a few per cent off: the weights of the operand vectors sum to one on average.
    pub fn rate_of(&self, index: usize, lab: &Lab<'_>) -> (f64, f64) {
        let modulus = index % self.units.len().max(1);
        let (unit, largest, vectors) = &self.units[modulus];
        let operating = Operating::new(unit, *largest, self.setting.laser_power);
        let set = SampledMdpu::new(unit, &self.setting.operands[modulus], &lab.in_use());
        let read = |group, previous: &[usize]| {
            let mut read = set.read(group, previous);
            read.deviation = wrap(read.deviation);
            read
        };
        let reads: Vec<_> = vectors.reads.iter().map(|(group, previous)| read(group, previous)).collect();
        let row = judge(&operating, &reads, &|index| read(&vectors.reads[index].0, &[]), vectors);
        (row.offsets.iter().sum::<f64>() / f64::from(unit.modulus()), row.error)
    }
}
