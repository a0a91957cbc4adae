//! Records of a bundle as its LLM sees them, for bundles that were aligned by the LLM's states at soft tokens. Nothing is
//! trained here.

use bioverse_core::{Message, Projector, Record};
use bioverse_nn::{CausalLm, Tokenizer};
use burn::prelude::*;

use super::conversations;
use super::pairs::Pairs;
use super::reader::Reader;
use super::readout::Readout;
use crate::config::{Objective, RunConfig};
use crate::data::EncodedStore;
use crate::error::Result;

/// Questions read at once.
const BATCH: usize = 32;

/// A modality of a bundle with what its records are read by.
pub(crate) struct Prompted<'a> {
    /// With the question of the run that aligned it, which stands around each record.
    pub config: &'a RunConfig,
    /// Without adapter, outside autodiff.
    pub llm: CausalLm,
    pub tokenizer: &'a Tokenizer,
    pub modality: &'a str,
    pub projector: &'a Projector,
    pub readout: Readout,
}

impl Prompted<'_> {
    /// The states at the soft tokens of each record, asked about with `data.question`; `name(i)` is what to call record i.
    ///
    /// # Shapes
    /// N records → `[N, width of the read-out]`
    ///
    /// # Errors
    /// A record that was not encoded; a question without room for its record.
    pub fn embed(
        &self,
        encoded: &EncodedStore,
        records: &[Record],
        name: &dyn Fn(usize) -> String,
        device: &Device,
    ) -> Result<Tensor<2>> {
        let placeholder = format!("<{}>", self.modality);
        let question = Message {
            role: "user".into(),
            content: self.config.data.question.replacen("{}", &placeholder, 1),
        };
        let count = records.len();
        let pairs = Pairs {
            records: records.to_vec(),
            texts: vec![String::new(); count],
            rows: (0..count).map(name).collect(),
            labels: vec![None; count],
            groups: vec![None; count],
            weights: vec![1.0; count],
            messages: vec![vec![question]; count],
        };
        // Whatever was minimised: here a question is read, and nothing is predicted.
        let mut config = self.config.clone();
        config.align.objective = Objective::InfoNce;
        let (models, modality) = (
            (&self.llm, self.tokenizer),
            (self.modality, self.projector.soft_len()),
        );
        let rows = conversations::lay_out(&config, models, modality, &pairs)?;
        let reader = Reader::new(self.llm.clone(), self.readout)?;
        let all: Vec<usize> = (0..count).collect();
        let read = |batch: &[usize]| reader.vectors(self.projector, encoded, &rows, batch, device);
        let vectors: Vec<Tensor<2>> = all.chunks(BATCH).map(read).collect::<Result<_>>()?;
        Ok(Tensor::cat(vectors, 0))
    }
}
