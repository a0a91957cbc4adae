//! SMILES strings: checked for syntax, valence and aromaticity, and brought into canonical form. Tokens and encoders
//! are unknown here.

use chematic::{
    core::Molecule,
    smiles::{RdkitSmilesError, canonical_smiles, parse, rdkit_canonical_smiles},
};

/// A string that is no molecule.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("`{smiles}` is not a valid SMILES string: {why}")]
pub struct SmilesError {
    /// The string as given; the beginning of a long one.
    pub smiles: String,
    /// What is wrong with it.
    pub why: String,
}

/// The canonical form, the one that RDKit writes: the same for every way of writing a molecule.
///
/// # Errors
/// Unparsable text, an atom with too many bonds, an aromatic ring without alternating bonds.
pub fn canonical(smiles: &str) -> Result<String, SmilesError> {
    let invalid = |why: String| invalid(smiles, &why);
    let molecule = parse(smiles.trim()).map_err(|e| invalid(e.to_string()))?;
    match rdkit_canonical_smiles(&molecule) {
        Ok(canonical) => Ok(canonical),
        Err(RdkitSmilesError::Sanitization(why)) => Err(invalid(why)),
        // Sound, but outside of what that form is defined for: a form that is canonical among such molecules.
        Err(RdkitSmilesError::Unsupported(_)) => Ok(canonical_smiles(&molecule)),
    }
}

/// The graph of the canonical form, so that aromaticity does not depend on how the molecule was written.
pub(crate) fn molecule(smiles: &str) -> Result<Molecule, SmilesError> {
    let canonical = canonical(smiles)?;
    parse(&canonical).map_err(|e| invalid(smiles, &e.to_string()))
}

fn invalid(smiles: &str, why: &str) -> SmilesError {
    SmilesError {
        smiles: shortened(smiles, 80),
        why: shortened(why, 200),
    }
}

/// The first characters of a text that may be a whole file.
fn shortened(text: &str, most: usize) -> String {
    match text.char_indices().nth(most) {
        None => text.into(),
        Some((at, _)) => format!("{}…", text.get(..at).unwrap_or_default()),
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, clippy::expect_used)]

    use super::*;

    #[test]
    fn every_way_of_writing_a_molecule_has_one_canonical_form() {
        for ways in [
            &["CCO", "OCC", "C(O)C", "[CH3][CH2][OH]", " CCO "][..],
            &["c1ccccc1", "C1=CC=CC=C1", "C1C=CC=CC=1"],
            &["CC(=O)Oc1ccccc1C(=O)O", "OC(=O)C1=CC=CC=C1OC(C)=O"],
            &["C[C@H](N)C(=O)O", "N[C@@H](C)C(O)=O", "OC(=O)[C@H](C)N"],
            &["F/C=C/F", "F\\C=C\\F"],
            &["[Na+].[Cl-]", "[Cl-].[Na+]"],
        ] {
            let forms: Vec<_> = ways
                .iter()
                .map(|smiles| canonical(smiles).unwrap())
                .collect();
            assert!(
                forms.iter().all(|form| *form == forms[0]),
                "{ways:?} became {forms:?}"
            );
            assert_eq!(
                canonical(&forms[0]).unwrap(),
                forms[0],
                "a canonical form is its own"
            );
        }
    }

    #[test]
    fn different_molecules_stay_different() {
        for (a, b) in [
            ("C[C@@H](N)C(=O)O", "C[C@H](N)C(=O)O"),
            ("F/C=C/F", "F/C=C\\F"),
            ("CCO", "CC[O-]"),
        ] {
            assert_ne!(canonical(a).unwrap(), canonical(b).unwrap());
        }
    }

    #[test]
    fn the_form_is_the_one_public_encoders_were_trained_on() {
        assert_eq!(
            canonical("OC(=O)C1=CC=CC=C1OC(C)=O").unwrap(),
            "CC(=O)Oc1ccccc1C(=O)O"
        );
        assert_eq!(
            canonical("CN1C=NC2=C1C(=O)N(C(=O)N2C)C").unwrap(),
            "Cn1c(=O)c2c(ncn2C)n(C)c1=O"
        );
    }

    #[test]
    fn what_is_no_molecule_is_refused_with_the_reason() {
        for (bad, why) in [
            ("", "empty"),
            ("C1CC", "ring closure"),
            ("C(C", "parenthes"),
            ("CQ", "character"),
            ("[Xx]", "element"),
            ("ethanol", "character"),
            ("C(C)(C)(C)(C)C", "valence"),
            ("F(C)C", "valence"),
            ("c1cccc1", "kekulize"),
        ] {
            let error = canonical(bad).unwrap_err();
            assert!(
                error
                    .to_string()
                    .starts_with(&format!("`{bad}` is not a valid SMILES string: "))
            );
            assert!(
                error.why.to_lowercase().contains(why),
                "{bad}: {}",
                error.why
            );
        }
    }
}
