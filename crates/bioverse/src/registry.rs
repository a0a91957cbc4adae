//! The built-in modalities, one line each. A program of your own adds its modalities to what [`standard`] returns.

use bioverse_core::Registry;

/// Every modality this build carries.
pub fn standard() -> Registry {
    let registry = Registry::new();
    #[cfg(feature = "molecule")]
    let registry = registry.with::<bioverse_molecule::Molecule>();
    registry
}
