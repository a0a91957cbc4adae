//! Models of llama2.c (`.bin`): the first layout, without a magic number, and version 1 (`ak42`), both f32.
//!
//! llama2.c rotates neighbouring pairs of a head, Hugging Face's Llama the two halves; so the rows of the query and key
//! matrices change places, pair (2i, 2i+1) to (i, i + d/2). Everything else is copied.

use std::{
    borrow::Cow,
    fs::File,
    io::{Read, Seek, SeekFrom},
    path::{Path, PathBuf},
};

use bioverse_nn::{
    DecoderConfig,
    weights::{Dtype, Outgoing, StoredDtype},
};

use crate::error::{Error, Result};

/// `ak42`
const MAGIC: u32 = 0x616b_3432;
/// Bytes of the header of version 1.
const HEADER_1: u64 = 256;
/// Bytes of the first header: seven numbers.
const HEADER_0: u64 = 28;
/// No field of a real header is larger; a larger one is no header.
const LARGEST: i32 = 1 << 24;

/// A model whose header agrees with the length of its file.
#[derive(Debug)]
pub struct Model {
    path: PathBuf,
    shape: Shape,
    layout: Layout,
}

/// The header's numbers.
#[derive(Debug, Clone, Copy)]
struct Shape {
    dim: usize,
    hidden_dim: usize,
    layers: usize,
    heads: usize,
    kv_heads: usize,
    vocab: usize,
    positions: usize,
    /// Whether the head shares the token embedding.
    tied: bool,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Layout {
    First,
    One,
}

/// One run of equally shaped matrices in the file: per layer, or single.
struct Block {
    /// Hugging Face name below `model.layers.{i}.`, or the whole name where `layers` is `None`.
    name: &'static str,
    layers: Option<usize>,
    shape: Vec<usize>,
    /// Heads whose rows change places.
    rotated: Option<usize>,
}

impl Model {
    /// Reads the header and compares it with the length of the file.
    pub fn open(path: &Path) -> Result<Self> {
        let here = |error| Error::io(path, error);
        let mut file = File::open(path).map_err(here)?;
        let length = file.metadata().map_err(here)?.len();
        let refuse = |problem: String| Error::Input(format!("{} {problem}", path.display()));
        let mut header = Vec::new();
        let taken = file.by_ref().take(HEADER_1).read_to_end(&mut header);
        taken.map_err(here)?;
        let numbers: Vec<i32> = header
            .as_chunks::<4>()
            .0
            .iter()
            .map(|bytes| i32::from_le_bytes(*bytes))
            .collect();
        let versioned = numbers.first().map(|first| *first as u32) == Some(MAGIC);
        let (layout, shape) = if versioned {
            match numbers.get(1) {
                Some(1) => (Layout::One, Shape::one(&numbers, header.get(36))),
                Some(version) => {
                    return Err(refuse(format!(
                        "is a llama2.c model of version {version}; only f32 models (version 0 and 1) can be converted, so \
                         export it again with `--version 1`"
                    )));
                }
                None => return Err(refuse("ends within its header; fetch it again".into())),
            }
        } else {
            (Layout::First, Shape::first(&numbers))
        };
        let shape = shape.ok_or_else(|| {
            refuse(
                "is neither a llama2.c model nor a PyTorch checkpoint: its first numbers are no sizes of a model".into(),
            )
        })?;
        let model = Self {
            path: path.into(),
            shape,
            layout,
        };
        let expected = model.expected_length();
        if expected != u128::from(length) {
            return Err(refuse(format!(
                "is {length} bytes long, but its header describes a model of {expected}; it is cut short or no llama2.c model"
            )));
        }
        Ok(model)
    }

    /// Rows of the token embedding.
    pub fn vocab_size(&self) -> usize {
        self.shape.vocab
    }

    /// Longest context.
    pub fn max_tokens(&self) -> usize {
        self.shape.positions
    }

    pub(super) fn kind(&self) -> String {
        let version = match self.layout {
            Layout::First => 0,
            Layout::One => 1,
        };
        format!("llama2.c model, version {version}")
    }

    pub(super) fn tensors(&self) -> usize {
        let blocks = self.blocks().into_iter();
        blocks
            .filter(|block| !block.name.is_empty())
            .map(|block| block.layers.unwrap_or(1))
            .sum()
    }

    pub(super) fn parameters(&self) -> usize {
        let blocks = self.blocks().into_iter();
        blocks
            .filter(|block| !block.name.is_empty())
            .map(|block| block.layers.unwrap_or(1) * block.shape.iter().product::<usize>())
            .sum()
    }

    /// Header and all numbers, four bytes each.
    fn expected_length(&self) -> u128 {
        let values = self.blocks().into_iter().map(|block| {
            let per_layer: u128 = block.shape.iter().map(|n| *n as u128).product();
            per_layer * block.layers.unwrap_or(1) as u128
        });
        u128::from(self.header_length()) + 4 * values.sum::<u128>()
    }

    fn header_length(&self) -> u64 {
        match self.layout {
            Layout::First => HEADER_0,
            Layout::One => HEADER_1,
        }
    }

    /// Everything in the file, in its order; a block without a name is passed over.
    fn blocks(&self) -> Vec<Block> {
        let s = &self.shape;
        let (head, kv) = (s.dim / s.heads, s.dim / s.heads * s.kv_heads);
        let layers = |name, shape: &[usize]| Block {
            name,
            layers: Some(s.layers),
            shape: shape.to_vec(),
            rotated: None,
        };
        let single = |name, shape: &[usize]| Block {
            name,
            layers: None,
            shape: shape.to_vec(),
            rotated: None,
        };
        let rotated = |block: Block, heads| Block {
            rotated: Some(heads),
            ..block
        };
        let embedding = single("model.embed_tokens.weight", &[s.vocab, s.dim]);
        let attention_norm = layers("input_layernorm.weight", &[s.dim]);
        let ffn_norm = layers("post_attention_layernorm.weight", &[s.dim]);
        let norm = single("model.norm.weight", &[s.dim]);
        let attention = [
            rotated(layers("self_attn.q_proj.weight", &[s.dim, s.dim]), s.heads),
            rotated(layers("self_attn.k_proj.weight", &[kv, s.dim]), s.kv_heads),
            layers("self_attn.v_proj.weight", &[kv, s.dim]),
            layers("self_attn.o_proj.weight", &[s.dim, s.dim]),
        ];
        let mlp = [
            layers("mlp.gate_proj.weight", &[s.hidden_dim, s.dim]),
            layers("mlp.down_proj.weight", &[s.dim, s.hidden_dim]),
            layers("mlp.up_proj.weight", &[s.hidden_dim, s.dim]),
        ];
        let mut blocks = vec![];
        match self.layout {
            Layout::First => {
                blocks.extend([embedding, attention_norm]);
                blocks.extend(attention);
                blocks.push(ffn_norm);
                blocks.extend(mlp);
                // After the norm come tables of cosines and sines that follow from the sizes.
                blocks.extend([norm, single("", &[s.positions, head])]);
            }
            Layout::One => {
                blocks.extend([attention_norm, ffn_norm, norm, embedding]);
                blocks.extend(attention);
                blocks.extend(mlp);
            }
        }
        if !s.tied {
            blocks.push(single("lm_head.weight", &[s.vocab, s.dim]));
        }
        blocks
    }

    /// Writes `config.json`, `generation_config.json` and `model.safetensors`, one tensor at a time.
    pub(super) fn write(&self, dir: &Path, dtype: StoredDtype) -> Result<()> {
        super::write_tensors(dir, &self.outgoing(), Some(dtype))?;
        Ok(self.config().save(dir, dtype)?)
    }

    /// The tensors under their new names, read when they are written.
    fn outgoing(&self) -> Vec<Outgoing<'_>> {
        let mut tensors = vec![];
        let mut offset = self.header_length();
        for block in self.blocks() {
            let bytes = 4 * block.shape.iter().product::<usize>();
            for layer in 0..block.layers.unwrap_or(1) {
                let name = match block.layers {
                    Some(_) => format!("model.layers.{layer}.{}", block.name),
                    None => block.name.to_owned(),
                };
                let (at, rotated) = (offset, block.rotated);
                offset += bytes as u64;
                if !block.name.is_empty() {
                    let read = move || self.read(at, bytes, rotated).map(Cow::Owned);
                    tensors.push(Outgoing::new(name, Dtype::F32, block.shape.clone(), read));
                }
            }
        }
        tensors
    }

    /// One matrix; `open` has compared the length of the file with what the header claims.
    fn read(&self, at: u64, length: usize, rotated: Option<usize>) -> bioverse_nn::Result<Vec<u8>> {
        let here = |error| bioverse_nn::Error::io(&self.path, error);
        let mut file = File::open(&self.path).map_err(here)?;
        file.seek(SeekFrom::Start(at)).map_err(here)?;
        let mut bytes = vec![0; length];
        file.read_exact(&mut bytes).map_err(here)?;
        Ok(match rotated {
            Some(heads) => halves(&bytes, heads, 4 * self.shape.dim),
            None => bytes,
        })
    }

    fn config(&self) -> DecoderConfig {
        let s = &self.shape;
        DecoderConfig {
            model_type: "llama".into(),
            hidden_size: s.dim,
            intermediate_size: s.hidden_dim,
            num_hidden_layers: s.layers,
            num_attention_heads: s.heads,
            num_key_value_heads: s.kv_heads,
            head_dim: s.dim / s.heads,
            vocab_size: s.vocab,
            max_position_embeddings: s.positions,
            tie_word_embeddings: s.tied,
            sliding_windows: vec![None; s.layers],
            bos_token_id: Some(1),
            // llama2.c stops at the start of the next document; a document ends with either of the two.
            eos_token_id: vec![2, 1],
            pad_token_id: None,
            ..DecoderConfig::default()
        }
    }
}

impl Shape {
    /// `dim, hidden_dim, n_layers, n_heads, n_kv_heads, vocab_size, seq_len`; a negative vocabulary has a head of its own.
    fn first(numbers: &[i32]) -> Option<Self> {
        let vocab = *numbers.get(5)?;
        Self::checked(numbers.get(..7)?, vocab.unsigned_abs(), vocab > 0)
    }

    /// After magic and version the same numbers, then one byte that says whether the head is shared.
    fn one(numbers: &[i32], shared: Option<&u8>) -> Option<Self> {
        let numbers = numbers.get(2..9)?;
        Self::checked(numbers, numbers[5].unsigned_abs(), *shared? != 0)
    }

    fn checked(numbers: &[i32], vocab: u32, tied: bool) -> Option<Self> {
        let size = |i: usize| {
            let size = numbers.get(i).filter(|n| (1..=LARGEST).contains(*n))?;
            usize::try_from(*size).ok()
        };
        let shape = Self {
            dim: size(0)?,
            hidden_dim: size(1)?,
            layers: size(2)?,
            heads: size(3)?,
            kv_heads: size(4)?,
            vocab: usize::try_from(vocab)
                .ok()
                .filter(|n| (1..=LARGEST as usize).contains(n))?,
            positions: size(6)?,
            tied,
        };
        let whole = shape.dim.is_multiple_of(shape.heads)
            && (shape.dim / shape.heads).is_multiple_of(2)
            && shape.heads.is_multiple_of(shape.kv_heads);
        // A model of a billion layers is no model, and its length could not be computed.
        (whole && shape.layers <= 4096).then_some(shape)
    }
}

/// `[heads * head, width]`: in each head the even rows, then the odd ones.
fn halves<T: Copy>(values: &[T], heads: usize, width: usize) -> Vec<T> {
    let head = values.len() / width / heads;
    let row = |row: usize| values.get(row * width..(row + 1) * width);
    (0..heads)
        .flat_map(|h| {
            let (even, odd) = ((0..head).step_by(2), (1..head).step_by(2));
            even.chain(odd).map(move |i| h * head + i)
        })
        .flat_map(|i| row(i).unwrap_or_default().iter().copied())
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pairs_become_halves_in_each_head() {
        // Two heads of four rows, one number wide.
        let values = [0., 1., 2., 3., 10., 11., 12., 13.];
        assert_eq!(halves(&values, 2, 1), [0., 2., 1., 3., 10., 12., 11., 13.]);
    }

    #[test]
    fn sizes_that_make_no_model_are_none() {
        let good = [8, 16, 2, 2, 1, 32, 64];
        assert!(Shape::first(&good).is_some_and(|shape| shape.tied));
        let untied = [8, 16, 2, 2, 1, -32, 64];
        assert!(Shape::first(&untied).is_some_and(|shape| !shape.tied && shape.vocab == 32));
        for (at, bad) in [
            (0, 0),
            (0, 9),
            (1, -1),
            (2, i32::MAX),
            (3, 3),
            (4, 4),
            (5, 0),
            (5, i32::MIN),
            (6, 0),
        ] {
            let mut numbers = good;
            numbers[at] = bad;
            assert!(Shape::first(&numbers).is_none(), "{numbers:?}");
        }
        assert!(Shape::first(&good[..6]).is_none());
    }
}
