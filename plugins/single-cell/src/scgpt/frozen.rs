//! scGPT as it is used: the transformer with what cells need to become its tokens. Names of genes are unknown here.

use bioverse_core::{BoxError, Hidden, pad_ids};
use burn::{prelude::*, tensor::TensorData};

use super::{ClsValue, Preprocessing, ScGptEncoder, ScGptVocabulary, Tokens};
use crate::genes::Vocabulary;
use crate::{Config, Values};

/// Most tokens of a cell for scGPT unless the user says otherwise: what its authors' `embed_data` takes.
const MAX_LENGTH: usize = 1200;

/// scGPT with what its tokens need.
#[derive(Debug)]
pub struct ScGpt {
    encoder: ScGptEncoder,
    /// How many of the last hidden states are joined.
    hidden_layers: usize,
    preprocessing: Preprocessing,
    pad: u32,
    device: Device,
}

impl ScGpt {
    pub(crate) fn load(config: &Config, device: &Device) -> Result<(Self, Vocabulary), BoxError> {
        let encoder = ScGptEncoder::load(&config.path, device)?;
        let vocabulary = ScGptVocabulary::load(&config.path, encoder.rows())?;
        let own = encoder.config();
        let preprocessing = Preprocessing {
            cls: vocabulary.cls,
            cls_value: match config.cls_value {
                ClsValue::Pad => own.pad_value,
                ClsValue::Zero => 0.0,
            },
            n_bins: config.n_bins.unwrap_or(own.n_bins),
            max_length: config
                .max_length
                .unwrap_or(own.max_seq_len.clamp(2, MAX_LENGTH)),
        };
        if preprocessing.max_length < 2 {
            return Err(
                "`max_length` leaves no room for a gene beside <cls>; it is 2 or more".into(),
            );
        }
        if preprocessing.n_bins < 2 {
            return Err("`n_bins` is less than 2; one bin is that of zero".into());
        }
        let most = own.nlayers + 1;
        let hidden_layers = config.hidden_layers.unwrap_or(1);
        if hidden_layers == 0 || hidden_layers > most {
            return Err(format!(
                "`hidden_layers` is {hidden_layers}; this model has 1 to {most} hidden states to join, its embeddings among them"
            )
            .into());
        }
        let scgpt = Self {
            hidden_layers,
            encoder,
            preprocessing,
            pad: vocabulary.pad,
            device: device.clone(),
        };
        Ok((scgpt, vocabulary.genes))
    }

    /// The transformer.
    pub fn encoder(&self) -> &ScGptEncoder {
        &self.encoder
    }

    /// How cells become tokens.
    pub fn preprocessing(&self) -> &Preprocessing {
        &self.preprocessing
    }

    /// Tokens of a cell from the ids of its genes and their values, without the logarithm where one was taken; `whole` says
    /// whether all values were whole numbers.
    pub(crate) fn tokens(&self, ids: &[u32], values: &[f64], kind: Values, whole: bool) -> Tokens {
        let given = values.iter().map(|value| *value as f32);
        let expression = match kind {
            Values::Auto if !whole => given.collect(),
            Values::Auto | Values::Counts => {
                self.preprocessing.expression(&given.collect::<Vec<_>>())
            }
            Values::Log1p => values.iter().map(|value| value.ln_1p() as f32).collect(),
        };
        self.preprocessing.tokens(ids, &expression)
    }

    /// Pads cells: ids `[B, T]`, values `[B, T]`, mask `[B, T]` (true = token).
    pub fn padded(&self, batch: &[Tokens]) -> (Tensor<2, Int>, Tensor<2>, Tensor<2, Bool>) {
        let rows: Vec<Vec<u32>> = batch.iter().map(|cell| cell.input_ids.clone()).collect();
        let (ids, mask) = pad_ids(&rows, self.pad, &self.device);
        let [_, width] = ids.dims();
        let pad_value = self.encoder.config().pad_value;
        let row = |cell: &Tokens| {
            let mut values = cell.values.clone();
            values.resize(width, pad_value);
            values
        };
        let values: Vec<f32> = batch.iter().flat_map(row).collect();
        let values = TensorData::new(values, [batch.len(), width]);
        (ids, Tensor::from_data(values, &self.device), mask)
    }

    pub(crate) fn hidden(&self, batch: &[Tokens]) -> Hidden {
        let (ids, values, mask) = self.padded(batch);
        let states = match self.hidden_layers {
            1 => self.encoder.forward(ids, values, mask.clone()),
            count => {
                let mut states = self.encoder.hidden_states(ids, values, mask.clone());
                Tensor::cat(states.split_off(states.len() - count), 2)
            }
        };
        Hidden { states, mask }
    }

    /// Width of the states: `embsize` times the joined layers.
    pub(crate) fn d_hidden(&self) -> usize {
        self.encoder.config().embsize * self.hidden_layers
    }
}
