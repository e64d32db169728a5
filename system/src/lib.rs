//! Workloads, the chip as discrete events, energy accounts
