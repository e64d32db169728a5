//! Measurements in, device parameters out
