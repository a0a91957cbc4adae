//! What a molecule is made of, as numbers: targets from which a small encoder learns chemistry. They depend on the
//! molecule alone, not on how it is written, and on no model.

use chematic::{core::Molecule, fp::morgan_fp_counts, perception::find_sssr};

use crate::smiles::{self, SmilesError};

/// Bins of the folded fingerprint.
const BINS: usize = 512;
/// Bonds from the centre of a circular environment (2 = ECFP4).
const RADIUS: u32 = 2;
/// Length of [`descriptors`].
pub const DESCRIPTOR_LEN: usize = BINS + 5;

/// `ln(1 + count)` of, in this order: circular environments of radius 0 to 2 folded into 512 bins; heavy atoms; hetero
/// atoms (neither carbon nor hydrogen); rings; aromatic rings; net charges without regard to sign.
pub fn descriptors(smiles: &str) -> Result<Vec<f32>, SmilesError> {
    let molecule = smiles::molecule(smiles)?;
    let mut counts = environments(&molecule);
    counts.extend(composition(&molecule));
    Ok(counts
        .into_iter()
        .map(|count| (count as f32).ln_1p())
        .collect())
}

/// The circular environments of radius 0 to 2 that occur in a molecule, as hashes: substructures around every atom (Rogers &
/// Hahn 2010, doi 10.1021/ci100050t). They depend on the molecule alone, not on how it is written.
pub fn substructures(smiles: &str) -> Result<Vec<u64>, SmilesError> {
    Ok(environment_counts(smiles)?
        .into_iter()
        .map(|(hash, _)| hash)
        .collect())
}

/// The same with how often each occurs, in order of the hashes.
pub fn environment_counts(smiles: &str) -> Result<Vec<(u64, usize)>, SmilesError> {
    let molecule = smiles::molecule(smiles)?;
    let counts = morgan_fp_counts(&molecule, RADIUS).into_iter();
    let mut counts: Vec<(u64, usize)> = counts.map(|(hash, n)| (hash, n as usize)).collect();
    counts.sort_unstable();
    Ok(counts)
}

fn environments(molecule: &Molecule) -> Vec<usize> {
    let mut bins = vec![0; BINS];
    for (hash, count) in morgan_fp_counts(molecule, RADIUS) {
        // The upper half takes part, so that a bin does not hang on the last few bits of the hash alone.
        bins[((hash ^ (hash >> 32)) % BINS as u64) as usize] += count as usize;
    }
    bins
}

fn composition(molecule: &Molecule) -> [usize; DESCRIPTOR_LEN - BINS] {
    let elements = || {
        molecule
            .atoms()
            .map(|(_, atom)| atom.element.atomic_number())
    };
    let rings = find_sssr(molecule);
    let aromatic = rings
        .rings()
        .iter()
        .filter(|ring| ring.iter().all(|&atom| molecule.atom(atom).aromatic));
    [
        elements().filter(|&z| z != 1).count(),
        elements().filter(|&z| z != 1 && z != 6).count(),
        rings.ring_count(),
        aromatic.count(),
        molecule
            .atoms()
            .map(|(_, atom)| usize::from(atom.charge.unsigned_abs()))
            .sum(),
    ]
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, clippy::expect_used)]

    use super::*;

    /// The counts behind the last descriptors.
    fn composition_of(smiles: &str) -> Vec<i32> {
        descriptors(smiles).unwrap()[BINS..]
            .iter()
            .map(|x| x.exp_m1().round() as i32)
            .collect()
    }

    fn cosine(a: &str, b: &str) -> f32 {
        let (a, b) = (descriptors(a).unwrap(), descriptors(b).unwrap());
        let dot = |a: &[f32], b: &[f32]| a.iter().zip(b).map(|(a, b)| a * b).sum::<f32>();
        dot(&a, &b) / (dot(&a, &a) * dot(&b, &b)).sqrt()
    }

    #[test]
    fn composition_in_the_documented_order() {
        for (smiles, wanted) in [
            ("CCO", [3, 1, 0, 0, 0]),
            ("CC(=O)Oc1ccccc1C(=O)O", [13, 4, 1, 1, 0]),
            ("C1CC2=CC=CC=C2C1", [9, 0, 2, 1, 0]),
            ("CN1C=NC2=C1C(=O)N(C(=O)N2C)C", [14, 6, 2, 2, 0]),
            ("[Na+].[Cl-]", [2, 2, 0, 0, 2]),
        ] {
            assert_eq!(composition_of(smiles), wanted, "{smiles}");
        }
    }

    #[test]
    fn every_atom_counts_once_per_radius() {
        for (smiles, atoms) in [("C", 1), ("CCO", 3), ("c1ccccc1", 6)] {
            let bins: f32 = descriptors(smiles).unwrap()[..BINS]
                .iter()
                .map(|x| x.exp_m1())
                .sum();
            assert!((bins - (3 * atoms) as f32).abs() < 1e-3, "{smiles}: {bins}");
        }
    }

    #[test]
    fn descriptors_do_not_depend_on_how_a_molecule_is_written() {
        let (a, b) = (
            descriptors("OC(=O)C1=CC=CC=C1OC(C)=O").unwrap(),
            descriptors("CC(=O)Oc1ccccc1C(=O)O").unwrap(),
        );
        assert_eq!((a.len(), &a), (DESCRIPTOR_LEN, &b));
    }

    #[test]
    fn substructures_do_not_depend_on_how_a_molecule_is_written() {
        let of = |smiles: &str| {
            let mut found = substructures(smiles).unwrap();
            found.sort_unstable();
            found
        };
        assert_eq!(of("OC(=O)C1=CC=CC=C1OC(C)=O"), of("CC(=O)Oc1ccccc1C(=O)O"));
        assert_eq!(of("C").len(), 3, "one environment of each radius");
        assert!(substructures("C1CC").is_err());
    }

    #[test]
    fn like_molecules_are_closer() {
        assert!(cosine("CCCCO", "CCCCCO") > cosine("CCCCO", "c1ccc2ncccc2c1") + 0.2);
        assert!(descriptors("C1CC").is_err());
    }
}
