//! What pre-training asks of chemistry beyond the molecule plugin: other spellings of a molecule, and its scaffold.
//! Tokens and models are not known here.

use chematic::smiles::{
    RdkitSmilesParams, parse, rdkit_murcko_scaffold, rdkit_random_smiles, rdkit_smiles,
};

/// Another spelling of the same molecule; `seed` decides which.
pub(super) fn randomized(smiles: &str, seed: u32) -> Option<String> {
    let molecule = parse(smiles).ok()?;
    rdkit_random_smiles(&molecule, 1, seed.max(1), &RdkitSmilesParams::default())
        .ok()?
        .pop()
}

/// The Murcko scaffold of the largest part, without stereochemistry; `None` without rings.
pub(super) fn scaffold(smiles: &str) -> Option<String> {
    let largest = smiles.split('.').max_by_key(|part| part.len())?;
    let flat = RdkitSmilesParams {
        isomeric: false,
        ..RdkitSmilesParams::default()
    };
    let flat = rdkit_smiles(&parse(largest).ok()?, &flat).ok()?;
    let scaffold = rdkit_murcko_scaffold(&parse(&flat).ok()?).ok()?;
    (!scaffold.is_empty()).then_some(scaffold)
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, clippy::expect_used)]
    use super::*;
    use bioverse_molecule::canonical;

    #[test]
    fn spellings_differ_and_mean_the_same() {
        let name = canonical("CC(=O)OC1=CC=CC=C1C(=O)O").unwrap();
        let mut spellings = std::collections::BTreeSet::new();
        for seed in 1..20 {
            let other = randomized(&name, seed).unwrap();
            assert_eq!(canonical(&other).unwrap(), name);
            spellings.insert(other);
        }
        assert!(spellings.len() > 5, "{spellings:?}");
        assert_eq!(randomized(&name, 7), randomized(&name, 7));
    }

    #[test]
    fn scaffolds_ignore_salts_and_stereo() {
        let name = canonical("[Na+].OC(=O)[C@H](N)CC1=CC=CC=C1").unwrap();
        assert_eq!(scaffold(&name).unwrap(), "c1ccccc1");
        assert_eq!(scaffold("CCO"), None);
        assert_eq!(scaffold("no molecule"), None);
    }
}
