//! A bundle opened for use: LLM with adapter, tokenizer, encoders, projectors. It trains nothing and writes nothing.

mod conversation;
mod reply;

use std::collections::BTreeMap;
use std::ops::ControlFlow;
use std::path::Path;

use bioverse_core::{BoxError, Example, Layout, PadSide, Prompt, Record, Registry, Segment};
use bioverse_nn::generate::{before_stop, generate_while};
use bioverse_nn::{CausalLm, GenerationConfig, Tokenizer};
use burn::prelude::*;

use crate::align::{Prompted, space::TextMetric, texts::Texts};
use crate::bundle::Bundle;
use crate::cache::Cache;
use crate::config::{BioSource, TextSource};
use crate::data::EncodedStore;
use crate::encoders::EncoderSource;
use crate::error::{Error, Result};
use crate::model::Bioverse;
use crate::telemetry::Progress;

pub use conversation::prompt_of;
pub use reply::{End, Reply};

/// Everything needed to answer.
pub struct Session {
    /// The bundle.
    pub bundle: Bundle,
    /// Model and projectors.
    pub model: Bioverse,
    /// Tokenizer of the LLM.
    pub tokenizer: Tokenizer,
    /// Encoders by modality, each loaded when a record needs it.
    pub encoders: BTreeMap<String, EncoderSource>,
    /// Device.
    pub device: Device,
    cache: Cache,
}

impl Session {
    /// Verifies hashes and loads everything. The adapter is folded into the LLM.
    pub fn open(bundle: &Path, registry: &Registry, device: &Device) -> Result<Self> {
        let bundle = Bundle::open(bundle)?;
        let cache = bundle.cache();
        bundle.verify(registry, &cache)?;
        let folder = bundle.manifest.llm.folder()?;
        let mut llm = CausalLm::load(&folder, device)?;
        if let Some(adapter) = bundle.adapter_dir() {
            llm = llm.load_adapter(&adapter, device)?.merge_lora();
        }
        let tokenizer = Tokenizer::load(&folder)?;
        let mut encoders = BTreeMap::new();
        for (name, entry) in &bundle.manifest.modalities {
            encoders.insert(
                name.clone(),
                EncoderSource::new(registry, name, &entry.table(), device),
            );
        }
        let projectors = bundle.space(device)?.into_projectors();
        Ok(Self {
            model: Bioverse::new(llm, projectors),
            bundle,
            tokenizer,
            encoders,
            device: device.clone(),
            cache,
        })
    }

    /// Answers a batch of conversations (the last message being the user's; trailing assistant turns are dropped).
    /// Conversations of similar length are answered together, `batch_size` at a time; answers come in the order given.
    ///
    /// Without `eos_token_id` in `config`, an answer ends where the LLM's own configuration says.
    pub fn answer(
        &self,
        examples: &[Example],
        config: &GenerationConfig,
        batch_size: usize,
    ) -> Result<Vec<String>> {
        let encoded = self.encode_examples(examples)?;
        self.answer_encoded(examples, &encoded, config, batch_size)
    }

    /// As [`answer`](Self::answer) with records encoded before, so that the same ones can be asked about more than once.
    pub fn answer_encoded(
        &self,
        examples: &[Example],
        encoded: &BTreeMap<String, EncodedStore>,
        config: &GenerationConfig,
        batch_size: usize,
    ) -> Result<Vec<String>> {
        let config = self.with_eos(config);
        let mut prompts = vec![];
        for (index, example) in examples.iter().enumerate() {
            let prompt = self.prompt(example)?;
            let width = self.width(&prompt)?;
            prompts.push((width, index, prompt));
        }
        prompts.sort_by_key(|(width, index, _)| (*width, *index));
        let mut answers = vec![String::new(); examples.len()];
        let mut progress = Progress::new("answer", examples.len());
        for (number, batch) in prompts.chunks(batch_size.max(1)).enumerate() {
            let batch_prompts: Vec<Prompt> = batch.iter().map(|(.., p)| p.clone()).collect();
            let layout = self.layout(&batch_prompts, PadSide::Left)?;
            let on_token = &mut |_, _| ControlFlow::Continue(());
            let rows = self.go_on(&layout, encoded, &config, on_token)?;
            for ((_, index, _), ids) in batch.iter().zip(rows) {
                answers[*index] = self.text(&ids, &config).trim().into();
            }
            progress.set(number * batch_size.max(1) + batch.len(), "");
        }
        progress.finish("");
        Ok(answers)
    }

    /// Encodings of every record that the questions hold, by modality; each distinct one goes through its encoder once.
    pub fn encode_examples(&self, examples: &[Example]) -> Result<BTreeMap<String, EncodedStore>> {
        let prompts: Vec<Prompt> = examples
            .iter()
            .map(|example| self.prompt(example))
            .collect::<Result<_>>()?;
        self.encode_all(prompts.iter())
    }

    /// The same LLM as it was before any training here: without adapter and without projectors, so it is asked in words only.
    pub fn base(&self) -> Result<Self> {
        Ok(Self {
            model: Bioverse::new(self.frozen_llm()?, vec![]),
            bundle: self.bundle.clone(),
            tokenizer: self.tokenizer.clone(),
            encoders: BTreeMap::new(),
            device: self.device.clone(),
            cache: self.cache.clone(),
        })
    }

    /// Vectors of records for retrieval, before the text metric, by the read-out that the modality was aligned with; `name(i)`
    /// is what to call record i in a message.
    ///
    /// # Shapes
    /// N records → `[N, width of the read-out]`
    pub fn embed_records(
        &self,
        modality: &str,
        records: &[Record],
        name: &dyn Fn(usize) -> String,
    ) -> Result<Tensor<2>> {
        let store = self.encode_named(modality, records, name)?;
        let readout = self.bundle.readout(modality)?;
        let projector = self.model.projector(modality)?;
        if readout.records == BioSource::SoftTokens {
            return Ok(readout.soft(projector, store.get(records, &self.device)?));
        }
        let llm = self.frozen_llm()?;
        let mut config = self.bundle.config()?;
        // The bundle may have been written again by a run that asked something else.
        let entry = self.bundle.manifest.modalities.get(modality);
        config.data.question = entry
            .and_then(|entry| entry.question.clone())
            .unwrap_or(config.data.question);
        config.finetune.max_length = llm.config().max_position_embeddings;
        let prompted = Prompted {
            config: &config,
            llm,
            tokenizer: &self.tokenizer,
            modality,
            projector,
            readout,
        };
        prompted.embed(&store, records, name, &self.device)
    }

    /// What the frozen encoder says about records, one vector each: the mean of its states as the projector pools them.
    ///
    /// # Shapes
    /// N records → `[N, d_hidden]`
    pub fn encoder_vectors(
        &self,
        modality: &str,
        records: &[Record],
        name: &dyn Fn(usize) -> String,
    ) -> Result<Tensor<2>> {
        let store = self.encode_named(modality, records, name)?;
        store.means(records, &self.device)
    }

    /// The LLM that stage 1 aligned to: that of the session, or without its adapter.
    fn frozen_llm(&self) -> Result<CausalLm> {
        match self.bundle.adapter_dir() {
            None => Ok(self.model.llm.clone()),
            Some(_) => Ok(CausalLm::load(
                &self.bundle.manifest.llm.folder()?,
                &self.device,
            )?),
        }
    }

    /// Vectors of texts, before the text metric, by the same read-out. They are those of the LLM without adapter: that is
    /// what stage 1 put records beside.
    ///
    /// # Shapes
    /// N texts → `[N, width of the read-out]`
    pub fn embed_texts(
        &self,
        modality: &str,
        texts: &[String],
        name: &dyn Fn(usize) -> String,
    ) -> Result<Tensor<2>> {
        let readout = self.bundle.readout(modality)?;
        let folder = self.bundle.manifest.llm.folder()?;
        let reader = Texts::new(folder, readout, self.cache.clone(), &self.device);
        // An adapter leaves input embeddings as they are.
        let same =
            self.bundle.adapter_dir().is_none() || readout.source == TextSource::InputEmbeddings;
        let reader = match same {
            true => reader.with_model(self.model.llm.clone()),
            false => reader,
        };
        reader.embed(texts, name)
    }

    /// The metric both are compared in.
    pub fn text_metric(&self, modality: &str) -> Result<TextMetric> {
        self.bundle.text_metric(modality, &self.device)
    }

    /// A conversation up to where the assistant begins to speak.
    pub(crate) fn prompt(&self, example: &Example) -> Result<Prompt> {
        let names: Vec<&str> = self.model.names().iter().map(String::as_str).collect();
        // A modality that is registered but not aligned deserves the name of the command, not "unknown".
        for (name, _) in &example.records {
            self.model.projector(name)?;
        }
        prompt_of(&self.tokenizer, example, &names, false)
    }

    /// The same conversation with `answer` as what the assistant says, which alone is to be predicted.
    pub(crate) fn prompt_with(&self, example: &Example, answer: &str) -> Result<Prompt> {
        let names: Vec<&str> = self.model.names().iter().map(String::as_str).collect();
        conversation::prompt_with(&self.tokenizer, example, answer, &names)
    }

    /// How many tokens a prompt is, soft tokens included.
    pub(crate) fn width(&self, prompt: &Prompt) -> Result<usize> {
        let layout = self.layout(std::slice::from_ref(prompt), PadSide::Left)?;
        Ok(layout.width())
    }

    /// Where every token of some prompts goes.
    pub(crate) fn layout(&self, prompts: &[Prompt], side: PadSide) -> Result<Layout> {
        let tokenize = |texts: &[&str]| self.tokenizer.encode_run(texts).map_err(BoxError::from);
        let soft_len = |name: &str| self.soft_len(name);
        let pad = self.tokenizer.pad().unwrap_or(0);
        Ok(Layout::of_runs(prompts, pad, side, tokenize, soft_len)?)
    }

    fn soft_len(&self, modality: &str) -> bioverse_core::Result<usize> {
        let projector = self.model.projector(modality);
        projector
            .map(|projector| projector.soft_len())
            .map_err(|error| bioverse_core::Error::Space(error.to_string()))
    }

    pub(crate) fn encode(&self, modality: &str, records: &[Record]) -> Result<EncodedStore> {
        self.encode_named(modality, records, &|index| format!("record {}", index + 1))
    }

    fn encode_named(
        &self,
        modality: &str,
        records: &[Record],
        name: &dyn Fn(usize) -> String,
    ) -> Result<EncodedStore> {
        let projector = self.model.projector(modality)?;
        let encoder = self
            .encoders
            .get(modality)
            .ok_or_else(|| Error::Input(format!("this bundle has no `{modality}` encoder")))?;
        let recipe = projector.config();
        let store = EncodedStore::open(encoder, recipe, &self.cache, records, name)?;
        store.check(modality, projector)?;
        Ok(store)
    }

    /// Encodings of every record that the prompts hold, by modality.
    pub(crate) fn encode_all<'a>(
        &self,
        prompts: impl Iterator<Item = &'a Prompt>,
    ) -> Result<BTreeMap<String, EncodedStore>> {
        let mut records: BTreeMap<String, Vec<Record>> = BTreeMap::new();
        for segment in prompts.flat_map(|prompt| &prompt.segments) {
            if let Segment::Soft { modality, record } = segment {
                let of = records.entry(modality.clone()).or_default();
                of.push(record.clone());
            }
        }
        let stores = records.into_iter().map(|(modality, records)| {
            let store = self.encode(&modality, &records)?;
            Ok((modality, store))
        });
        stores.collect()
    }

    /// New ids of one batch.
    fn go_on(
        &self,
        layout: &Layout,
        encoded: &BTreeMap<String, EncodedStore>,
        config: &GenerationConfig,
        on_token: &mut dyn FnMut(usize, u32) -> ControlFlow<()>,
    ) -> Result<Vec<Vec<u32>>> {
        let room = self.model.llm.config().max_position_embeddings;
        if layout.width() >= room {
            return Err(Error::Input(format!(
                "a prompt has {} tokens, but the LLM reads {room} at most; shorten the conversation",
                layout.width()
            )));
        }
        let embeds = self.model.inputs_embeds(layout, encoded, &self.device)?;
        let mask = layout.attention_mask(&self.device);
        let decode = |ids: &[u32]| self.tokenizer.decode(ids).unwrap_or_default();
        let llm = &self.model.llm;
        Ok(generate_while(
            llm, embeds, mask, config, &decode, on_token,
        )?)
    }

    /// New ids as text: special tokens dropped, cut off at a stop string.
    fn text(&self, ids: &[u32], config: &GenerationConfig) -> String {
        let text = self.tokenizer.decode(ids).unwrap_or_default();
        before_stop(&text, &config.stop).to_string()
    }

    fn with_eos(&self, config: &GenerationConfig) -> GenerationConfig {
        let mut config = config.clone();
        if config.eos_token_id.is_empty() {
            config.eos_token_id = eos_ids(&self.tokenizer, &self.model.llm);
        }
        config
    }
}

/// Every id that ends a text: those of the LLM's configuration and the tokenizer's eos.
pub fn eos_ids(tokenizer: &Tokenizer, llm: &CausalLm) -> Vec<u32> {
    let mut ids = llm.config().eos_token_id.clone();
    ids.extend(tokenizer.eos());
    ids.sort_unstable();
    ids.dedup();
    ids
}
