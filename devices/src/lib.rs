//! Photonic devices, units and their characterisation as residue channels
