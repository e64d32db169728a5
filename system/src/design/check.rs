//! What must hold of a `[system]` section beyond the types of its values.

use mirage_arithmetic::BfpFormat;
use mirage_design::{DataRate, DesignError, Value};

use super::{Dataflow, System, VectorUnit};

impl System {
    /// Checks what the types cannot.
    ///
    /// # Errors
    /// [`DesignError`] at the value that is out of range.
    pub fn check(&self) -> Result<(), DesignError> {
        self.units.within(1, 1 << 16)?;
        self.rows.within(1, 1 << 16)?;
        self.exponent_bits.within(1, 16)?;
        if *self.batch.get() == 0 {
            return Err(self.batch.invalid("must be at least 1"));
        }
        for rate in [&self.clock, &self.converters.adc_rate, &self.converters.tx_rate] {
            if !(1.0..=1e12).contains(&rate.si()) {
                return Err(rate.invalid("must lie between 1 Hz and 1 THz"));
            }
        }
        if self.clock.si().fract() != 0.0 {
            return Err(self.clock.invalid("must be a whole number of hertz"));
        }
        for time in [&self.program_time, &self.pipeline_latency, &self.check_latency] {
            if time.si() > 1.0 {
                return Err(time.invalid("must be at most 1 s"));
            }
        }
        if self.check_latency.si() > self.pipeline_latency.si() {
            return Err(self
                .check_latency
                .invalid("must not be longer than the pipeline latency, of which it is a part"));
        }
        self.check_units_out()?;
        self.check_sram()?;
        self.check_memory()?;
        self.check_vector(&self.vector)?;
        self.check_vector(&self.optimiser)?;
        self.check_controller()?;
        self.area.check()?;
        self.baselines.check()
    }

    fn check_units_out(&self) -> Result<(), DesignError> {
        let out = self.units_out.get();
        for (index, unit) in out.iter().enumerate() {
            if unit >= self.units.get() {
                let last = self.units.get() - 1;
                return Err(self.units_out.invalid(format!("names unit {unit}, but the last one is {last}")));
            }
            if out[..index].contains(unit) {
                return Err(self.units_out.invalid(format!("names unit {unit} twice")));
            }
        }
        if out.len() == *self.units.get() as usize {
            return Err(self.units_out.invalid("leaves no unit in use"));
        }
        Ok(())
    }

    fn check_sram(&self) -> Result<(), DesignError> {
        let sram = &self.sram;
        for bandwidth in [
            &sram.load_bandwidth,
            &sram.stream_bandwidth,
            &sram.accumulate_bandwidth,
            &sram.dma_bandwidth,
            &sram.drain_bandwidth,
        ] {
            carries(bandwidth)?;
        }
        let parts = [&sram.weights, &sram.activations, &sram.gradients, &sram.accumulators];
        let sum: f64 = parts.iter().map(|part| part.si()).sum();
        if sum > sram.capacity.si() {
            let reason = format!("is less than its partitions together, which take {sum} B");
            return Err(sram.capacity.invalid(reason));
        }
        if sram.capacity.si() > 1e15 {
            return Err(sram.capacity.invalid("must be at most 1 PB"));
        }
        if !(0.01..=1.0).contains(&sram.working.si()) {
            return Err(sram.working.invalid("must lie between 1 % and 100 %"));
        }
        sram.banks.within(1, 1 << 16)?;
        sram.ports.within(1, 1 << 10)
    }

    fn check_memory(&self) -> Result<(), DesignError> {
        let memory = &self.memory;
        memory.channels.within(1, 1 << 12)?;
        memory.queue.within(1, 1 << 12)?;
        carries(&memory.bandwidth)?;
        carries(&self.links.bandwidth)?;
        for time in [&memory.latency, &self.links.latency, &self.recalibration.duration] {
            if time.si() > 1.0 {
                return Err(time.invalid("must be at most 1 s"));
            }
        }
        for size in [&memory.burst, &memory.block] {
            if size.si().fract() != 0.0 || !(1.0..=1e9).contains(&size.si()) {
                return Err(size.invalid("must be a whole number of bytes from 1 B to 1 GB"));
            }
        }
        if memory.block.si() % memory.burst.si() != 0.0 {
            return Err(memory.block.invalid("must be a multiple of the burst"));
        }
        let recalibration = &self.recalibration;
        let period = recalibration.period.si();
        if period > 0.0 && period < 10.0 * recalibration.duration.si() {
            return Err(recalibration
                .period
                .invalid("must be at least ten times the duration, or 0 s for never"));
        }
        if period > 0.0 && period < 1e-9 {
            return Err(recalibration.period.invalid("must be at least 1 ns, or 0 s for never"));
        }
        if period > 1e6 {
            return Err(recalibration.period.invalid("must be at most 1e6 s; 0 s is never"));
        }
        Ok(())
    }

    fn check_vector(&self, unit: &VectorUnit) -> Result<(), DesignError> {
        unit.lanes.within(1, 1 << 24)?;
        unit.staging.within(1, 1 << 10)?;
        carries(&unit.bandwidth)?;
        if unit.clock.si().fract() != 0.0 || !(1.0..=1e12).contains(&unit.clock.si()) {
            return Err(unit.clock.invalid("must be a whole number of hertz between 1 Hz and 1 THz"));
        }
        Ok(())
    }

    fn check_controller(&self) -> Result<(), DesignError> {
        let controller = &self.controller;
        controller.open_products.within(1, 16)?;
        controller.prefetch.within(1, 64)?;
        controller.output_queue.within(1, 1 << 10)?;
        if controller.issue_time.si() > 1.0 {
            return Err(controller.issue_time.invalid("must be at most 1 s"));
        }
        Ok(())
    }

    /// [`System::check`], and that the SRAM can keep the units busy with operands of this format: the working part of each
    /// partition holds, for each open product, as many slices of one tile as are prefetched; each unit's accumulators hold
    /// two blocks of one vector. The dataflow is one that photonic units have.
    ///
    /// # Errors
    /// [`DesignError`] at the value that is out of range.
    pub fn check_for(&self, format: BfpFormat) -> Result<(), DesignError> {
        self.check()?;
        if *self.dataflow.get() == Dataflow::Output {
            return Err(self.dataflow.invalid(
                "keeps the results in the unit (DF3), which photonic units cannot: use DF1, DF2, OPT1 or OPT2",
            ));
        }
        let tile = f64::from(*self.rows.get()) * self.group_bytes(format, format.group as u64) as f64;
        self.check_tile(tile, f64::from(*self.rows.get()))
    }

    /// The same for tiles of so many bytes and rows. Both operands may lie in one partition.
    pub(crate) fn check_tile(&self, tile_bytes: f64, rows: f64) -> Result<(), DesignError> {
        let (sram, controller) = (&self.sram, &self.controller);
        let slices = 2.0 * f64::from(*controller.open_products.get()) * f64::from(*controller.prefetch.get());
        let needed = slices * tile_bytes / sram.working.si();
        for partition in [&sram.weights, &sram.activations, &sram.gradients] {
            if partition.si() < needed {
                let reason = format!(
                    "cannot hold {slices} slices of one tile each in its working part, which would take {:.0} B in all; \
                     raise it or lower open_products or prefetch",
                    needed.ceil()
                );
                return Err(partition.invalid(reason));
            }
        }
        let needed = 2.0 * 4.0 * rows * f64::from(self.units_in_use());
        if sram.accumulators.si() < needed {
            let reason = format!("cannot hold two sums for each row of each unit, which take {needed} B");
            return Err(sram.accumulators.invalid(reason));
        }
        Ok(())
    }
}

fn carries(bandwidth: &Value<DataRate>) -> Result<(), DesignError> {
    if bandwidth.si() < 1.0 {
        return Err(bandwidth.invalid("must be at least 1 B/s, or nothing ever arrives"));
    }
    Ok(())
}
