use core::arch::asm;

/// The first serial port.
pub struct Serial;

const PORT: u16 = 0x3f8;

impl Serial {
    /// 115,200 baud, 8 bits, no interrupts.
    pub fn begin() {
        for (register, value) in [(1, 0), (3, 0x83), (0, 1), (1, 0), (3, 0x03), (2, 0x01)] {
            output(PORT + register, value);
        }
    }

    pub fn write(bytes: &[u8]) {
        for &byte in bytes {
            wait(0x20);
            output(PORT, byte);
        }
    }

    /// Waits until all has been sent.
    pub fn flush() {
        wait(0x40);
    }
}

/// Until the port says that it can take a byte, or has sent all.
fn wait(status: u8) {
    loop {
        let now: u8;
        // SAFETY: reads the state of the serial port.
        unsafe { asm!("in al, dx", in("dx") PORT + 5, out("al") now) };
        if now & status != 0 {
            return;
        }
    }
}

fn output(port: u16, value: u8) {
    // SAFETY: a register of the serial port.
    unsafe { asm!("out dx, al", in("dx") port, in("al") value) };
}

impl core::fmt::Write for Serial {
    fn write_str(&mut self, text: &str) -> core::fmt::Result {
        Self::write(text.as_bytes());
        Ok(())
    }
}
