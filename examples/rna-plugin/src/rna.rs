//! RNA as overlapping triplets. Their fixed random embedding stands where a pretrained encoder would.

use bioverse_core::{BoxError, Hidden, Modality, pad_ids};
use burn::{prelude::*, tensor::TensorData, tensor::module::embedding};
use rand::{Rng, SeedableRng};
use serde::{Deserialize, Serialize};

const D_HIDDEN: usize = 32;

#[derive(Default, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Config {
    seed: u64,
}

/// One row per triplet, `[64, D_HIDDEN]`.
pub struct Rna(Tensor<2>);

impl Modality for Rna {
    const NAME: &'static str = "rna";
    type Config = Config;
    type Input = String;
    type Tokens = Vec<u32>;

    fn load(config: &Config, device: &Device) -> Result<Self, BoxError> {
        let mut rng = rand_chacha::ChaCha8Rng::seed_from_u64(config.seed);
        let rows: Vec<f32> = (0..64 * D_HIDDEN).map(|_| rng.random()).collect();
        let rows = TensorData::new(rows, [64, D_HIDDEN]);
        Ok(Self(Tensor::from_data(rows, device)))
    }

    fn tokenize(&self, input: &String) -> Result<Vec<u32>, BoxError> {
        let base = |c| "ACGU".find(c).ok_or(format!("`{c}` is not a nucleotide"));
        let bases: Vec<usize> = input.chars().map(base).collect::<Result<_, _>>()?;
        if bases.len() < 3 {
            return Err("an RNA record needs 3 nucleotides or more".into());
        }
        let id = |b: &[usize]| (16 * b[0] + 4 * b[1] + b[2]) as u32;
        Ok(bases.windows(3).map(id).collect())
    }

    fn encode(&self, batch: &[Vec<u32>]) -> Result<Hidden, BoxError> {
        let (ids, mask) = pad_ids(batch, 0, &self.0.device());
        let states = embedding(self.0.clone(), ids);
        Ok(Hidden { states, mask })
    }

    fn d_hidden(&self) -> usize {
        D_HIDDEN
    }

    fn token_count(tokens: &Vec<u32>) -> Option<usize> {
        Some(tokens.len())
    }
}

#[test]
fn conforms() {
    let records = ["AUGGCC".into(), "GGG".into()];
    bioverse_core::testing::check::<Rna>(&Config { seed: 7 }, &records);
}
