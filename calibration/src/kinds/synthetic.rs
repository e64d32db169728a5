//! Known truths with realistic noise.
