//! Randomness that depends on (seed, counter) and on nothing else, so that a resumed run draws what it would have drawn.

use bioverse_core::splitmix;
use burn::module::{Module, ModuleVisitor, Param};
use burn::prelude::*;

/// A seed for the `counter`-th use of `seed`: splitmix64 of both, so that neighbours have nothing in common.
pub fn mix(seed: u64, counter: u64) -> u64 {
    let word = seed
        .wrapping_add(0x9e37_79b9_7f4a_7c15)
        .wrapping_add(counter.wrapping_mul(0xd134_2543_de82_ef95));
    splitmix::mix(word)
}

/// A seed for something that has a name (a modality, a stage).
pub fn mix_name(seed: u64, name: &str) -> u64 {
    name.bytes()
        .fold(seed, |seed, byte| mix(seed, u64::from(byte)))
}

/// Builds a module with the device's generator seeded. Burn draws parameters when they are first read; they are read here,
/// so that nothing that happens in between can change them.
pub fn seeded<M: Module, E>(
    device: &Device,
    seed: u64,
    init: impl FnOnce() -> Result<M, E>,
) -> Result<M, E> {
    device.seed(seed);
    let module = init()?;
    module.visit(&mut Touch);
    Ok(module)
}

struct Touch;

impl ModuleVisitor for Touch {
    fn visit_float<const D: usize>(&mut self, param: &Param<Tensor<D>>) {
        let _ = param.val();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn neighbouring_counters_give_unrelated_seeds() {
        let seeds: std::collections::BTreeSet<u64> = (0..1000).map(|n| mix(7, n)).collect();
        assert_eq!(seeds.len(), 1000);
        let flipped = (mix(7, 1) ^ mix(7, 2)).count_ones();
        assert!((12..52).contains(&flipped), "{flipped} bits differ");
        assert_ne!(mix(1, 2), mix(2, 1));
        assert_ne!(mix_name(1, "dna"), mix_name(1, "rna"));
    }
}
