//! Suite `describe`.

use super::bench::Bench;
use super::findings::Findings;
use crate::error::{Error, Result};

/// Runs the suite.
pub fn run(_bench: &Bench<'_>) -> Result<Vec<Findings>> {
    Err(Error::Run("the suite `describe` is being built".into()))
}
