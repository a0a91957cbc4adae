//! A question with the answer that was given, laid out once: what the answer's log-probability is when soft tokens are other
//! ones. Why they are other ones is unknown.

use bioverse_core::{Example, Layout, PadSide, Record, Slot, SoftTokens};
use burn::{prelude::*, tensor::TensorData};

use crate::Session;
use crate::error::{Error, Result};
use crate::model::Bioverse;

/// Variants that go through the LLM together.
pub(super) const TOGETHER: usize = 16;

/// A question with its answer.
pub(super) struct Asked<'s> {
    pub session: &'s Session,
    /// One row: the question as it was laid out for the answer, and the answer's ids behind it.
    pub layout: Layout,
    /// Soft tokens of the row, group by group: `[records, soft_len, d_model]`.
    pub soft: Vec<Tensor<3>>,
    ids: Vec<u32>,
}

/// Where a record stands.
pub(super) struct Place<'a> {
    pub modality: &'a str,
    pub record: &'a Record,
    pub group: usize,
    pub row: usize,
}

impl<'s> Asked<'s> {
    pub fn new(session: &'s Session, example: &Example, ids: &[u32]) -> Result<Self> {
        let prompt = session.prompt(example)?;
        let mut layout = session.layout(std::slice::from_ref(&prompt), PadSide::Left)?;
        if layout.groups.is_empty() {
            return Err(Error::Input(
                "the conversation has no record, so there is nothing to explain; attach one".into(),
            ));
        }
        if ids.is_empty() {
            return Err(Error::Input(
                "the answer has no token, so there is nothing to explain".into(),
            ));
        }
        for row in &mut layout.rows {
            row.slots.extend(ids.iter().copied().map(Slot::Token));
            row.loss.resize(row.slots.len(), true);
        }
        let encoded = session.encode_all([&prompt].into_iter())?;
        let soft = session
            .model
            .soft_tokens(&layout, &encoded, &session.device)?;
        Ok(Self {
            session,
            layout,
            soft: soft.into_iter().map(|soft| soft.embeds).collect(),
            ids: ids.to_vec(),
        })
    }

    pub fn model(&self) -> &'s Bioverse {
        &self.session.model
    }

    /// Every record of the row.
    pub fn places(&self) -> impl Iterator<Item = Place<'_>> {
        let groups = self.layout.groups.iter().enumerate();
        groups.flat_map(|(group, of)| {
            let records = of.records.iter().enumerate();
            records.map(move |(row, record)| Place {
                modality: &of.modality,
                record,
                group,
                row,
            })
        })
    }

    /// The soft tokens of one record, `[1, soft_len, d_model]`.
    pub fn soft_of(&self, place: &Place<'_>) -> Tensor<3> {
        self.soft[place.group].clone().narrow(0, place.row, 1)
    }

    /// The answer as text, trimmed.
    pub fn answer(&self) -> Result<String> {
        Ok(self.session.tokenizer.decode(&self.ids)?.trim().to_owned())
    }

    /// The answer's log-probability in nats, everything being as it was.
    pub fn whole(&self) -> Result<f64> {
        let sums = self.sums(vec![self.embeds(self.soft.clone())]);
        sums.first().copied().filter(|sum| sum.is_finite()).ok_or_else(|| {
            Error::Run("the answer has no finite log-probability; the weights hold values that are no numbers".into())
        })
    }

    /// The answer's log-probability with other soft tokens for one record, one value for each of N variants.
    ///
    /// # Shapes
    /// `variants [N, soft_len, d_model]`
    pub fn with(&self, place: &Place<'_>, variants: &Tensor<3>) -> Vec<f64> {
        let [count, ..] = variants.dims();
        let mut found = Vec::with_capacity(count);
        for first in (0..count).step_by(TOGETHER) {
            let some = first..count.min(first + TOGETHER);
            let embeds = some.map(|variant| {
                let mut soft = self.soft.clone();
                let group = &mut soft[place.group];
                let [_, length, width] = group.dims();
                let at = [place.row..place.row + 1, 0..length, 0..width];
                *group = group
                    .clone()
                    .slice_assign(at, variants.clone().narrow(0, variant, 1));
                self.embeds(soft)
            });
            found.extend(self.sums(embeds.collect()));
        }
        found
    }

    /// `[1, T, d_model]`
    fn embeds(&self, soft: Vec<Tensor<3>>) -> Tensor<3> {
        let soft = soft.into_iter().map(|embeds| SoftTokens { embeds });
        let device = &self.session.device;
        self.model()
            .inputs_embeds_with(&self.layout, soft.collect(), device)
    }

    /// One sum of log-probabilities for each row; all rows are equally long, so nothing is padded.
    fn sums(&self, rows: Vec<Tensor<3>>) -> Vec<f64> {
        let (count, width) = (rows.len(), self.layout.width());
        let mask = TensorData::new(vec![true; count * width], [count, width]);
        let mask = Tensor::from_data(mask, &self.session.device);
        let hidden = self.model().llm.forward(Tensor::cat(rows, 0), mask, None);
        let own = self.layout.targets();
        let targets = (0..count).flat_map(|row| {
            let shift = row * width;
            own.iter().map(move |(at, id)| (at + shift, *id))
        });
        let targets: Vec<(usize, u32)> = targets.collect();
        let scores = self.model().scores_at(hidden, &targets);
        let sum = |row: &[crate::model::Score]| -row.iter().map(|score| score.loss).sum::<f64>();
        scores.chunks(own.len().max(1)).map(sum).collect()
    }
}
