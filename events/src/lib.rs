//! A deterministic discrete-event kernel
