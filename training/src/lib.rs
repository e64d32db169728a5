//! Neural networks trained with every product on the emulated hardware
