//! The tensors of a PEFT folder by the module they belong to, however PEFT, or whoever wrote the file, spelled the keys.
//!
//! Knows no model: a path here is what the file says, and whether there is such a module is for others to find out.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use crate::error::{Error, Result};
use crate::lora::Rank;
use crate::weights::Weights;

const FILES: [&str; 2] = ["adapter_model.safetensors", "adapter_model.bin"];
/// What PEFT puts before every module path.
pub(super) const PREFIX: &str = "base_model.model.";

/// The file, opened and sorted.
#[derive(Debug)]
pub(super) struct AdapterTensors {
    pub(super) weights: Weights,
    file: PathBuf,
    /// Low-rank pairs by module path.
    pub(super) pairs: BTreeMap<String, Pair>,
    /// Whole parameters: name in the model → key in the file.
    pub(super) whole: BTreeMap<String, Whole>,
}

/// The keys of the two thin matrices of one module.
#[derive(Debug, Default)]
pub(super) struct Pair {
    a: Option<String>,
    b: Option<String>,
    /// On a table of vectors: `A [r, rows]`, `B [d, r]`.
    pub(super) of_embedding: bool,
}

/// A parameter stored in full.
#[derive(Debug)]
pub(super) struct Whole {
    pub(super) key: String,
    /// A copy of the model's own parameter beside an adapter on it, rather than a trained one.
    pub(super) base_layer: bool,
}

/// The two matrices as stored, row-major: for a linear layer `A [r, d_in]` and `B [d_out, r]`.
pub(super) struct Thin {
    pub(super) a: Vec<f32>,
    pub(super) b: Vec<f32>,
}

/// What a key says.
enum Key {
    Half {
        path: String,
        second: bool,
        of_embedding: bool,
        adapter: Option<String>,
    },
    Whole {
        name: String,
        base_layer: bool,
    },
    /// The untrained copy that PEFT keeps of a module stored whole.
    Untrained,
}

impl AdapterTensors {
    /// Reads the header of `dir/adapter_model.safetensors` or `dir/adapter_model.bin`.
    pub(super) fn open(dir: &Path) -> Result<Self> {
        let file = FILES
            .iter()
            .map(|name| dir.join(name))
            .find(|file| file.is_file());
        let Some(file) = file else {
            let [safe, pickle] = FILES;
            let problem = format!("holds neither {safe} nor {pickle}; is it a PEFT adapter?");
            return Err(Error::format(dir, problem));
        };
        let mut tensors = Self {
            weights: Weights::open_file(&file)?,
            file,
            pairs: BTreeMap::new(),
            whole: BTreeMap::new(),
        };
        let keys: Vec<String> = tensors
            .weights
            .names()
            .into_iter()
            .map(str::to_owned)
            .collect();
        let mut adapters = BTreeMap::new();
        for key in keys {
            let read = read_key(&key).map_err(|problem| tensors.error(&key, problem))?;
            if let Key::Half { adapter, .. } = &read {
                adapters.insert(adapter.clone(), key.clone());
            }
            tensors.sort(key, read)?;
        }
        match adapters.into_values().nth(1) {
            Some(key) => Err(tensors.error(
                &key,
                "belongs to a second adapter in the same file; save one at a time".to_owned(),
            )),
            None => Ok(tensors),
        }
    }

    fn sort(&mut self, key: String, read: Key) -> Result<()> {
        let twice = match read {
            Key::Untrained => None,
            Key::Half {
                path,
                second,
                of_embedding,
                ..
            } => {
                let pair = self.pairs.entry(path).or_default();
                pair.of_embedding = of_embedding;
                let slot = if second { &mut pair.b } else { &mut pair.a };
                slot.replace(key.clone())
            }
            Key::Whole { name, base_layer } => {
                let whole = Whole {
                    key: key.clone(),
                    base_layer,
                };
                self.whole.insert(name, whole).map(|other| other.key)
            }
        };
        match twice {
            Some(other) => Err(self.error(&key, format!("means the same tensor as `{other}`"))),
            None => Ok(()),
        }
    }

    /// The matrices of the module at `path`, checked against the sizes that `rank` and the module give.
    pub(super) fn thin(&self, path: &str, rank: Rank, [d_in, d_out]: [usize; 2]) -> Result<Thin> {
        let missing = |part| {
            let key = format!("{PREFIX}{path}.{part}.weight");
            self.error(
                &key,
                "is missing, though the adapter targets its module".to_owned(),
            )
        };
        let pair = self.pairs.get(path).ok_or_else(|| missing("lora_A"))?;
        let a = pair.a.as_ref().ok_or_else(|| missing("lora_A"))?;
        let b = pair.b.as_ref().ok_or_else(|| missing("lora_B"))?;
        Ok(Thin {
            a: self.weights.values(a, &[rank.r, d_in])?,
            b: self.weights.values(b, &[d_out, rank.r])?,
        })
    }

    /// Whether a trained parameter of the module at `path`, or an adapter on it, is in the file.
    pub(super) fn changes(&self, path: &str) -> bool {
        let name = format!("{path}.weight");
        let whole = self.whole.get(&name).is_some_and(|whole| !whole.base_layer);
        whole || self.pairs.contains_key(path)
    }

    /// An error about the key of a module path that nothing in the model answers to.
    pub(super) fn homeless(&self, path: &str) -> Error {
        let key = self
            .pairs
            .get(path)
            .and_then(|pair| pair.a.as_ref().or(pair.b.as_ref()));
        let key = key.or_else(|| self.whole.get(path).map(|whole| &whole.key));
        let key = key.map_or(path, String::as_str);
        let problem = format!(
            "belongs to no module that {} targets in this model",
            super::file::CONFIG
        );
        self.error(key, problem)
    }

    fn error(&self, key: &str, problem: String) -> Error {
        Error::Tensor {
            path: self.file.clone(),
            name: key.to_owned(),
            problem,
        }
    }
}

/// Takes a key apart: `base_model.model.<path>.lora_A[.<adapter>].weight` and its relatives.
fn read_key(key: &str) -> Result<Key, String> {
    let rest = key.strip_prefix(PREFIX).unwrap_or(key);
    let segments: Vec<&str> = rest.split('.').collect();
    let is_half = |segment: &&str| segment.starts_with("lora_");
    let Some(at) = segments.iter().position(is_half) else {
        return Ok(whole(&segments));
    };
    let (path, tail) = segments.split_at(at);
    let (second, of_embedding) = match tail.first().copied() {
        Some("lora_A") => (false, false),
        Some("lora_B") => (true, false),
        Some("lora_embedding_A") => (false, true),
        Some("lora_embedding_B") => (true, true),
        Some("lora_magnitude_vector") => {
            return Err("belongs to DoRA, which is not supported".to_owned());
        }
        _ => return Err("is a part of LoRA that is not known here".to_owned()),
    };
    let adapter = match tail.get(1..).unwrap_or_default() {
        [] | ["weight"] => None,
        [name] | [name, "weight"] if *name != "bias" => Some((*name).to_owned()),
        _ => return Err("is a part of LoRA that is not supported (`lora_bias`?)".to_owned()),
    };
    Ok(Key::Half {
        path: path.join("."),
        second,
        of_embedding,
        adapter,
    })
}

fn whole(segments: &[&str]) -> Key {
    if segments.contains(&"original_module") {
        return Key::Untrained;
    }
    let mut name = Vec::new();
    let mut rest = segments.iter().copied().peekable();
    let mut base_layer = false;
    while let Some(segment) = rest.next() {
        match segment {
            "base_layer" => base_layer = true,
            "modules_to_save" => {
                // An adapter's name follows, unless the parameter's own does.
                rest.next_if(|next| !matches!(*next, "weight" | "bias"));
            }
            other => name.push(other),
        }
    }
    Key::Whole {
        name: name.join("."),
        base_layer,
    }
}
