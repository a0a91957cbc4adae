//! What the records of a masked run are written in: atoms of SMILES, residues, pieces of words. It turns a record into tokens and
//! into the numbers that its mean state has to tell; how these are learnt is unknown here.

use std::ops::Range;
use std::path::Path;

use rand::Rng;
use serde_json::json;
use tokenizers::Tokenizer;

use super::config::{PretrainConfig, Records};
use super::corpus::Passage;
use super::vocabulary;
use super::words::{BAG_LEN, bag};
use crate::error::{Error, Result};
use crate::files::write_atomic;

/// The vocabulary of ESM-2 in the order of its ids.
const ESM: [&str; 33] = [
    "<cls>", "<pad>", "<eos>", "<unk>", "L", "A", "G", "V", "S", "E", "R", "T", "I", "D", "P", "K",
    "Q", "N", "F", "Y", "M", "H", "W", "C", "X", "B", "U", "Z", "O", ".", "-", "<null_1>",
    "<mask>",
];
/// The twenty amino acids in it.
const AMINO_ACIDS: Range<u32> = 4..24;

/// A record ready for training.
#[derive(Debug, Clone)]
pub(super) struct Sample {
    /// The record.
    pub text: String,
    /// With the special tokens at both ends; whole, even where the encoder reads less.
    pub ids: Vec<u32>,
    /// What its mean state has to tell; what is not known is no number.
    pub targets: Vec<f32>,
    /// How often an epoch shows it.
    pub repeat: usize,
}

/// Ids with a part of their own.
#[derive(Debug, Clone)]
pub(super) struct Specials {
    /// Fills rows up.
    pub pad: u32,
    /// Stands for a token to predict.
    pub mask: u32,
    /// Tokens that may stand in for others.
    pub ordinary: Range<u32>,
}

/// What records are written in.
#[derive(Debug, Clone)]
pub(super) enum Alphabet {
    /// Atoms, bonds, branches and ring closures.
    Smiles(Tokenizer),
    /// ESM-2's residues.
    Residues,
    /// WordPiece.
    Words(Tokenizer),
}

impl Alphabet {
    /// Learnt from the records to train on, where there is anything to learn.
    pub(super) fn learn(config: &PretrainConfig, records: &[&str]) -> Result<Self> {
        let section = &config.tokenizer;
        Ok(match config.masked.records {
            Records::Molecule => Self::Smiles(vocabulary::molecules(records, section)?),
            Records::Protein => Self::Residues,
            Records::Text => Self::Words(vocabulary::word_pieces(records, section)?),
        })
    }

    /// Rows of the embedding table.
    pub(super) fn len(&self) -> usize {
        match self {
            Self::Smiles(tokenizer) | Self::Words(tokenizer) => tokenizer.get_vocab_size(true),
            Self::Residues => ESM.len(),
        }
    }

    /// Ids with a part of their own.
    pub(super) fn specials(&self) -> Specials {
        let (pad, mask, first) = match self {
            Self::Smiles(_) => (1, 4, 5),
            Self::Words(_) => (0, 4, 5),
            Self::Residues => {
                return Specials {
                    pad: 1,
                    mask: 32,
                    ordinary: AMINO_ACIDS,
                };
            }
        };
        Specials {
            pad,
            mask,
            ordinary: first..self.len() as u32,
        }
    }

    /// Keys of `config.json` that follow from the alphabet.
    pub(super) fn keys(&self) -> Vec<(&'static str, u32)> {
        match self {
            Self::Smiles(_) => vec![
                ("pad_token_id", 1),
                ("bos_token_id", 0),
                ("eos_token_id", 2),
            ],
            Self::Residues => vec![("pad_token_id", 1), ("mask_token_id", 32)],
            Self::Words(_) => vec![("pad_token_id", 0)],
        }
    }

    /// Length of [`Sample::targets`].
    pub(super) fn target_len(&self) -> usize {
        match self {
            Self::Smiles(_) => smiles_len(),
            Self::Residues => composition_len() + BAG_LEN,
            Self::Words(_) => BAG_LEN,
        }
    }

    /// A record with its tokens and targets; nothing where it cannot be read, or is a molecule longer than `max_length`.
    pub(super) fn sample(&self, passage: &Passage, max_length: usize) -> Option<Sample> {
        let text = passage.text.as_str();
        let about = passage.about.as_deref();
        let ids = self.ids(text).ok()?;
        let targets = match self {
            Self::Smiles(_) if ids.len() > max_length => return None,
            Self::Smiles(_) => descriptors(text)?,
            Self::Residues => {
                let mut targets = composition(text);
                targets.extend(known(about.map(bag)));
                targets
            }
            Self::Words(_) => known(Some(bag(text))),
        };
        (ids.len() > 3).then(|| Sample {
            text: text.into(),
            ids,
            targets,
            repeat: passage.repeat,
        })
    }

    /// A sample as it is seen when nothing is drawn: its first `max_length` tokens.
    pub(super) fn plain(&self, sample: &Sample, max_length: usize) -> (Vec<u32>, Vec<f32>) {
        self.window(sample, 0, max_length)
    }

    /// A sample as one visit sees it: another spelling of a molecule, a window of a long protein or text.
    pub(super) fn visit(
        &self,
        sample: &Sample,
        randomized: f64,
        max_length: usize,
        rng: &mut impl Rng,
    ) -> (Vec<u32>, Vec<f32>) {
        if let Self::Smiles(_) = self {
            let other = rng.random_bool(randomized).then(|| rng.random());
            let ids = other
                .and_then(|seed| spelled(&sample.text, seed))
                .and_then(|smiles| self.ids(&smiles).ok())
                .filter(|ids| ids.len() <= max_length);
            return (
                ids.unwrap_or_else(|| sample.ids.clone()),
                sample.targets.clone(),
            );
        }
        let spare = sample.ids.len().saturating_sub(max_length);
        self.window(sample, rng.random_range(0..=spare), max_length)
    }

    /// `max_length` tokens, the special ones at both ends included, from the inner token `start` on. What residues consist of is
    /// counted in the window.
    fn window(&self, sample: &Sample, start: usize, max_length: usize) -> (Vec<u32>, Vec<f32>) {
        let (ids, targets) = (&sample.ids, &sample.targets);
        let [first, inner @ .., last] = ids.as_slice() else {
            return (ids.clone(), targets.clone());
        };
        let end = inner.len().min(start + max_length.saturating_sub(2));
        let mut cut = vec![*first];
        cut.extend(&inner[start.min(end)..end]);
        cut.push(*last);
        let mut targets = targets.clone();
        if let (Self::Residues, Some(part)) = (self, sample.text.get(start..end)) {
            let counted = composition(part);
            targets.splice(..counted.len(), counted);
        }
        (cut, targets)
    }

    fn ids(&self, text: &str) -> Result<Vec<u32>> {
        match self {
            Self::Smiles(tokenizer) | Self::Words(tokenizer) => vocabulary::ids(tokenizer, text),
            Self::Residues => Ok(residue_ids(text)),
        }
    }

    /// The tokenizer's files.
    pub(super) fn write(&self, dir: &Path, max_length: usize) -> Result<()> {
        match self {
            Self::Smiles(tokenizer) => {
                vocabulary::write(dir, tokenizer, &vocabulary::molecule_config(max_length))
            }
            Self::Words(tokenizer) => {
                vocabulary::write(dir, tokenizer, &vocabulary::word_config(max_length))
            }
            Self::Residues => {
                let config = json!({
                    "tokenizer_class": "EsmTokenizer", "model_max_length": max_length,
                    "cls_token": "<cls>", "eos_token": "<eos>", "pad_token": "<pad>",
                    "unk_token": "<unk>", "mask_token": "<mask>",
                });
                let config = serde_json::to_vec_pretty(&config)
                    .map_err(|error| Error::Run(format!("tokenizer_config.json: {error}")))?;
                write_atomic(&dir.join("tokenizer_config.json"), &config)?;
                write_atomic(&dir.join("vocab.txt"), (ESM.join("\n") + "\n").as_bytes())
            }
        }
    }
}

/// `<cls>`, one id per letter, `<eos>`.
fn residue_ids(text: &str) -> Vec<u32> {
    let id = |letter: char| {
        let mut buffer = [0; 4];
        let letter: &str = letter.encode_utf8(&mut buffer);
        ESM.iter().position(|token| *token == letter).unwrap_or(3) as u32
    };
    let inner = text.chars().map(id);
    std::iter::once(0).chain(inner).chain([2]).collect()
}

/// Words, or as many unknown numbers.
fn known(bins: Option<Vec<f32>>) -> Vec<f32> {
    match bins {
        Some(bins) if !bins.is_empty() => bins,
        _ => vec![f32::NAN; BAG_LEN],
    }
}

#[cfg(feature = "molecule")]
fn smiles_len() -> usize {
    bioverse_molecule::DESCRIPTOR_LEN
}
#[cfg(feature = "molecule")]
fn descriptors(smiles: &str) -> Option<Vec<f32>> {
    bioverse_molecule::descriptors(smiles).ok()
}
#[cfg(feature = "molecule")]
fn spelled(smiles: &str, seed: u32) -> Option<String> {
    super::smiles::randomized(smiles, seed)
}
#[cfg(not(feature = "molecule"))]
fn smiles_len() -> usize {
    0
}
#[cfg(not(feature = "molecule"))]
fn descriptors(_: &str) -> Option<Vec<f32>> {
    None
}
#[cfg(not(feature = "molecule"))]
fn spelled(_: &str, _: u32) -> Option<String> {
    None
}

#[cfg(feature = "protein")]
fn composition_len() -> usize {
    bioverse_protein::COMPOSITION_LEN
}
#[cfg(feature = "protein")]
fn composition(residues: &str) -> Vec<f32> {
    bioverse_protein::composition(residues)
}
#[cfg(not(feature = "protein"))]
fn composition_len() -> usize {
    0
}
#[cfg(not(feature = "protein"))]
fn composition(_: &str) -> Vec<f32> {
    vec![]
}

#[cfg(all(test, feature = "protein"))]
mod tests {
    #![allow(clippy::unwrap_used, clippy::expect_used)]
    use super::super::corpus::step_rng;
    use super::*;

    #[test]
    fn a_long_protein_is_seen_through_windows_that_describe_themselves() {
        let sequence = "MKTAYIAKQRQISFVKSHFSRQ";
        let passage = Passage {
            text: sequence.into(),
            about: None,
            repeat: 1,
        };
        let sample = Alphabet::Residues.sample(&passage, 10).unwrap();
        assert_eq!(
            (sample.ids.len(), sample.ids[0], sample.ids[23]),
            (24, 0, 2)
        );
        let mut rng = step_rng(1, 0);
        for _ in 0..20 {
            let (ids, targets) = Alphabet::Residues.visit(&sample, 0.0, 10, &mut rng);
            assert_eq!((ids.len(), ids[0], ids[9]), (10, 0, 2));
            let inner: String = ids[1..9].iter().map(|id| ESM[*id as usize]).collect();
            assert!(sequence.contains(&inner), "{inner}");
            assert_eq!(targets[..composition_len()], composition(&inner));
            assert!(targets[composition_len()..].iter().all(|x| x.is_nan()));
        }
    }

    #[test]
    fn the_files_are_those_of_an_esm_tokenizer() {
        let dir = tempfile::tempdir().unwrap();
        Alphabet::Residues.write(dir.path(), 64).unwrap();
        let read = bioverse_nn::Tokenizer::load(dir.path()).unwrap();
        let ids = read.encode_with_special("MKTAYIAKQRX").unwrap();
        assert_eq!(ids, residue_ids("MKTAYIAKQRX"));
        assert_eq!(read.id("<mask>"), Some(Alphabet::Residues.specials().mask));
    }
}
