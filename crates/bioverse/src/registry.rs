//! The built-in modalities, one line each. A program of your own adds its modalities to what [`standard`] returns.

use bioverse_core::Registry;

/// Every modality this build carries.
pub fn standard() -> Registry {
    let registry = Registry::new();
    #[cfg(feature = "protein")]
    let registry = registry.with::<bioverse_protein::Protein>();
    #[cfg(feature = "molecule")]
    let registry = registry.with::<bioverse_molecule::Molecule>();
    #[cfg(feature = "single-cell")]
    let registry = registry.with::<bioverse_single_cell::Cell>();
    #[cfg(feature = "text")]
    let registry = registry.with::<bioverse_text::Text>();
    #[cfg(feature = "dna")]
    let registry = registry.with::<bioverse_dna::Dna>();
    registry
}
