//! Residue number systems, block floating point, the residue channel and the emulated GEMM
