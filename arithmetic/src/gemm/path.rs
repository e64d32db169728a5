use super::tile::{self, Tile};

/// The instructions that the fast path is made of. Results are the same bits with each.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum CpuPath {
    /// What every processor has.
    Portable,
    /// AVX2 and FMA.
    Avx2,
    /// AVX-512 (F, BW) with VNNI, besides AVX2 and FMA.
    Avx512,
}

impl CpuPath {
    /// All of them, the widest vectors last.
    pub const ALL: [Self; 3] = [Self::Portable, Self::Avx2, Self::Avx512];

    /// Whether this processor has the instructions.
    pub fn available(self) -> bool {
        #[cfg(target_arch = "x86_64")]
        {
            let avx2 = || is_x86_feature_detected!("avx2") && is_x86_feature_detected!("fma");
            let avx512 = || is_x86_feature_detected!("avx512f") && is_x86_feature_detected!("avx512bw");
            match self {
                Self::Portable => true,
                Self::Avx2 => avx2(),
                Self::Avx512 => avx2() && avx512() && is_x86_feature_detected!("avx512vnni"),
            }
        }
        #[cfg(not(target_arch = "x86_64"))]
        {
            self == Self::Portable
        }
    }

    /// That with the widest vectors of those that this processor has.
    pub fn best() -> Self {
        Self::ALL.into_iter().rfind(|path| path.available()).unwrap_or(Self::Portable)
    }

    /// Rows of A that a tile forms at once.
    pub(super) fn rows(self) -> usize {
        match self {
            Self::Portable => 1,
            #[cfg(target_arch = "x86_64")]
            Self::Avx2 => super::avx2::ROWS,
            #[cfg(target_arch = "x86_64")]
            Self::Avx512 => super::avx512::ROWS,
            #[cfg(not(target_arch = "x86_64"))]
            Self::Avx2 | Self::Avx512 => 1,
        }
    }

    pub(super) fn tile(self) -> Tile {
        match self {
            Self::Portable => tile::portable,
            #[cfg(target_arch = "x86_64")]
            Self::Avx2 => super::avx2::tile,
            #[cfg(target_arch = "x86_64")]
            Self::Avx512 => super::avx512::tile,
            #[cfg(not(target_arch = "x86_64"))]
            Self::Avx2 | Self::Avx512 => tile::portable,
        }
    }
}

impl std::fmt::Display for CpuPath {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.pad(match self {
            Self::Portable => "portable",
            Self::Avx2 => "avx2",
            Self::Avx512 => "avx512",
        })
    }
}
