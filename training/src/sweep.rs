//! x
use mirage_design::DesignError;
/// x
#[derive(Debug, Clone, serde::Deserialize)]
pub struct SweepSection {}
impl SweepSection {
    /// x
    pub fn check(&self) -> Result<(), DesignError> {
        Ok(())
    }
}
