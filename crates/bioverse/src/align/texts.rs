//! Lists of texts → vectors, by a read-out of a frozen LLM. Each distinct text is computed once, and what the cache has is not
//! computed at all: then neither tokenizer nor weights are read. Knows no record.

use std::{cell::OnceCell, collections::BTreeMap, collections::HashMap, path::PathBuf};

use bioverse_nn::{CausalLm, DecoderConfig, Tokenizer, linear::Embedding};
use burn::prelude::*;

use super::readout::Readout;
use crate::bundle::Identity;
use crate::cache::{About, Cache, Key, Shelf, key};
use crate::config::TextSource;
use crate::data::batches::{BUDGET, alike};
use crate::encoders;
use crate::error::{Error, Result};
use crate::interrupt;
use crate::telemetry::Progress;

/// A frozen LLM as a reader of texts.
pub struct Texts {
    llm: PathBuf,
    readout: Readout,
    cache: Cache,
    device: Device,
    tokenizer: OnceCell<Tokenizer>,
    model: OnceCell<Model>,
}

/// As much of the LLM as the read-out needs.
enum Model {
    Embedding(Embedding),
    Whole(Box<CausalLm>),
}

/// A text as it goes through the model.
struct Tokens {
    at: usize,
    ids: Vec<u32>,
}

impl Texts {
    /// Reads nothing yet; `llm` is the folder of the model and its tokenizer.
    pub fn new(llm: PathBuf, readout: Readout, cache: Cache, device: &Device) -> Self {
        Self {
            llm,
            readout,
            cache,
            device: device.clone(),
            tokenizer: OnceCell::new(),
            model: OnceCell::new(),
        }
    }

    /// With the frozen model that was loaded for something else, without adapter.
    pub fn with_model(self, llm: CausalLm) -> Self {
        Self {
            model: OnceCell::from(Model::Whole(Box::new(llm))),
            ..self
        }
    }

    /// One vector per text, in order; `name(i)` is what to call text i in a message.
    ///
    /// # Shapes
    /// N texts → `[N, readout.width(d_model)]`
    ///
    /// # Errors
    /// No text; a text without tokens or, for hidden states, of more tokens than the LLM reads; a layer that the LLM does not
    /// have; files that cannot be read.
    pub fn embed(&self, texts: &[String], name: &dyn Fn(usize) -> String) -> Result<Tensor<2>> {
        if texts.is_empty() {
            return Err(Error::Input("there is no text to embed".into()));
        }
        let mut shelf = self.shelf()?;
        let (mut known, mut missing): (HashMap<Key, Vec<f32>>, Vec<usize>) = Default::default();
        let keys: Vec<Key> = texts.iter().map(|text| key([text.as_bytes()])).collect();
        for (at, key) in keys.iter().enumerate() {
            if known.contains_key(key) {
                continue;
            }
            let row = shelf.get(key);
            if row.is_none() {
                missing.push(at);
            }
            known.insert(
                *key,
                row.map_or_else(Vec::new, |row| row.values().collect()),
            );
        }
        if shelf.is_on() && known.len() > 1 {
            let (had, all) = (known.len() - missing.len(), known.len());
            tracing::info!("texts: {had} of {all} vectors came from the cache");
        }
        self.compute(texts, &missing, name, &mut |at, vector| {
            shelf.put(keys[at], &vector);
            known.insert(keys[at], vector);
        })?;
        shelf.finish();
        let width = known.values().next().map_or(0, Vec::len);
        let values: Vec<f32> = keys
            .iter()
            .flat_map(|key| known[key].iter().copied())
            .collect();
        let data = TensorData::new(values, [texts.len(), width]);
        Ok(Tensor::from_data(data, &self.device))
    }

    /// Vectors of the texts at `missing`, in batches of equal length: no padding, so a vector is the same in any company.
    fn compute(
        &self,
        texts: &[String],
        missing: &[usize],
        name: &dyn Fn(usize) -> String,
        found: &mut dyn FnMut(usize, Vec<f32>),
    ) -> Result<()> {
        if missing.is_empty() {
            return Ok(());
        }
        let mut rows = vec![];
        for at in missing {
            let ids = self.tokens(&texts[*at], || name(*at))?;
            rows.push(Tokens { at: *at, ids });
        }
        rows.sort_by_key(|row| (row.ids.len(), row.at));
        let lengths: Vec<usize> = rows.iter().map(|row| row.ids.len()).collect();
        let mut progress = Progress::new("read texts", rows.len());
        for range in alike(&lengths, BUDGET) {
            if interrupt::requested() {
                let saved = "nothing was trained yet, so run the same command again".into();
                return Err(Error::Interrupted { step: 0, saved });
            }
            let batch = &rows[range.clone()];
            let vectors = self.read(batch)?.into_data().convert::<f32>();
            let values: Vec<f32> = vectors.iter::<f32>().collect();
            for (row, vector) in batch.iter().zip(values.chunks(values.len() / batch.len())) {
                found(row.at, vector.to_vec());
            }
            progress.set(range.end, "");
        }
        progress.finish("");
        Ok(())
    }

    /// The ids of a text. Input embeddings are those of the words alone; an LLM that runs reads what it was trained to read,
    /// with the special tokens that its tokenizer puts around a text.
    fn tokens(&self, text: &str, name: impl Fn() -> String) -> Result<Vec<u32>> {
        let tokenizer = self.tokenizer()?;
        let (ids, room) = match self.readout.source {
            TextSource::InputEmbeddings => (tokenizer.encode(text)?, usize::MAX),
            TextSource::HiddenStates => {
                let room = self.config()?.max_position_embeddings;
                (tokenizer.encode_with_special(text)?, room)
            }
        };
        if text.is_empty() || ids.is_empty() {
            return Err(Error::Input(format!(
                "{}: the text is empty, so the LLM has nothing to read; remove the row or give it a text",
                name()
            )));
        }
        if ids.len() > room {
            return Err(Error::Input(format!(
                "{}: the text has {} tokens, but the LLM reads {room} at most; shorten it, or set `align.text_from` to \
                 \"input-embeddings\"",
                name(),
                ids.len()
            )));
        }
        Ok(ids)
    }

    /// Texts of equal length → `[B, width]`.
    fn read(&self, batch: &[Tokens]) -> Result<Tensor<2>> {
        let shape = [batch.len(), batch.first().map_or(0, |row| row.ids.len())];
        let ids: Vec<i64> = batch
            .iter()
            .flat_map(|row| row.ids.iter().map(|id| i64::from(*id)))
            .collect();
        let ids = Tensor::<2, Int>::from_data(TensorData::new(ids, shape), &self.device);
        let mask = TensorData::new(vec![true; shape[0] * shape[1]], shape);
        let mask = Tensor::<2, Bool>::from_data(mask, &self.device);
        let states = match (self.model()?, self.readout.source) {
            (Model::Embedding(embedding), _) => embedding.forward(ids),
            (Model::Whole(llm), source) => states(llm, ids, &mask, source, &self.readout)?,
        };
        Ok(self.readout.pool(states, mask))
    }

    fn tokenizer(&self) -> Result<&Tokenizer> {
        loaded(&self.tokenizer, || Ok(Tokenizer::load(&self.llm)?))
    }

    fn config(&self) -> Result<DecoderConfig> {
        Ok(DecoderConfig::load(&self.llm)?)
    }

    fn model(&self) -> Result<&Model> {
        loaded(&self.model, || {
            Ok(match self.readout.source {
                TextSource::InputEmbeddings => {
                    Model::Embedding(CausalLm::load_embedding(&self.llm, &self.device)?)
                }
                TextSource::HiddenStates => {
                    Model::Whole(Box::new(CausalLm::load(&self.llm, &self.device)?))
                }
            })
        })
    }

    /// Where vectors of this LLM, tokenizer and read-out are kept.
    fn shelf(&self) -> Result<Shelf> {
        if !self.cache.is_on() {
            return Ok(Shelf::none());
        }
        let mut identity = BTreeMap::new();
        for (part, of) in [
            ("llm", Identity::of_llm(&self.llm, &self.cache)?),
            ("tokenizer", Identity::of_tokenizer(&self.llm, &self.cache)?),
        ] {
            let hashes = of.files.into_iter();
            identity.extend(hashes.map(|(file, sha256)| (format!("{part} {file}"), sha256)));
        }
        // What stands for a record has no part in what a text is.
        let Readout {
            source,
            layer,
            pool,
            ..
        } = self.readout;
        identity.insert("readout".into(), format!("{source:?} {layer} {pool:?}"));
        encoders::program(&mut identity, &self.device, &self.cache)?;
        Ok(self.cache.shelf(&About {
            kind: "texts".into(),
            name: "texts".into(),
            model: format!("{} ({})", self.llm.display(), self.readout.label()),
            identity,
        }))
    }
}

fn states(
    llm: &CausalLm,
    ids: Tensor<2, Int>,
    mask: &Tensor<2, Bool>,
    source: TextSource,
    readout: &Readout,
) -> Result<Tensor<3>> {
    let embeds = llm.embed(ids);
    Ok(match source {
        TextSource::InputEmbeddings => embeds,
        TextSource::HiddenStates => {
            let index = readout.index(llm.config().num_hidden_layers)?;
            llm.hidden_state(embeds, mask.clone(), index)
        }
    })
}

/// `OnceCell::get_or_init` for what can fail.
fn loaded<T>(cell: &OnceCell<T>, load: impl FnOnce() -> Result<T>) -> Result<&T> {
    if cell.get().is_none() {
        let _ = cell.set(load()?);
    }
    cell.get()
        .ok_or_else(|| Error::Run("a model was not loaded; this is an error of bioverse".into()))
}
