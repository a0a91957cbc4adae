//! Bemis–Murcko scaffolds: what is left of a molecule without its side chains. Tokens and encoders are unknown here.

use chematic::{
    chem::{murcko_scaffold, remove_stereo},
    smiles::{canonical_smiles, rdkit_canonical_smiles},
};

use crate::smiles::{self, SmilesError};

/// The rings of a molecule and what links them, with the atoms that are doubly bonded to either (Bemis & Murcko 1996, doi
/// 10.1021/jm9602928, as RDKit cuts it), in canonical form and without stereochemistry, so that enantiomers share one.
/// Empty for a molecule without a ring.
///
/// ```
/// use bioverse_molecule::scaffold::scaffold;
///
/// assert_eq!(scaffold("CC(=O)Oc1ccccc1C(=O)O")?, "c1ccccc1");
/// assert_eq!(scaffold("CCCCO")?, "");
/// # Ok::<(), bioverse_molecule::SmilesError>(())
/// ```
///
/// # Errors
/// A string that is no molecule.
pub fn scaffold(smiles: &str) -> Result<String, SmilesError> {
    let scaffold = remove_stereo(&murcko_scaffold(&smiles::molecule(smiles)?));
    // A scaffold that is no molecule of its own (an atom lost a neighbour it needs) has a form that is its own all the same.
    Ok(rdkit_canonical_smiles(&scaffold).unwrap_or_else(|_| canonical_smiles(&scaffold)))
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, clippy::expect_used)]

    use super::*;

    #[test]
    fn side_chains_go_and_rings_stay() {
        // Written with RDKit 2026.09.1, `MurckoScaffoldSmiles`.
        for (smiles, expected) in [
            ("OC(=O)C1=CC=CC=C1OC(C)=O", "c1ccccc1"),
            (
                "CN1C=NC2=C1C(=O)N(C(=O)N2C)C",
                "O=c1[nH]c(=O)c2[nH]cnc2[nH]1",
            ),
            ("CC(C)Cc1ccc(cc1)C(C)C(=O)O", "c1ccccc1"),
            ("O=C(Nc1ccccc1)c1ccccc1Cl", "O=C(Nc1ccccc1)c1ccccc1"),
            ("CCCCO", ""),
            ("[Na+].[Cl-]", ""),
        ] {
            assert_eq!(scaffold(smiles).unwrap(), expected, "{smiles}");
        }
    }

    #[test]
    fn enantiomers_and_ways_of_writing_share_one() {
        let of = |smiles: &str| scaffold(smiles).unwrap();
        assert_eq!(of("C[C@H]1CCCO1"), of("C[C@@H]1CCCO1"));
        assert_eq!(of("C1=CC=CC=C1O"), of("Oc1ccccc1"));
        assert!(scaffold("C1CC").is_err());
    }
}
