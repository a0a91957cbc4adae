//! How probable does the LLM find each label as the answer to one question, for many records? The prompt goes through it once
//! per record; every label is then read behind it from the cache and forgotten again. What the numbers decide is not known
//! here.

use bioverse_core::{Example, Group, Layout, Message, PadSide, Record, Row, Slot, SoftTokens};
use bioverse_nn::generate::Continuation;
use burn::prelude::*;
use burn::tensor::activation::log_softmax;

use crate::{
    Session,
    error::{Error, Result},
    eval::likelihood::Likelihood,
    telemetry::Progress,
};

/// A question about a record with the answers to compare.
pub struct Asked<'a> {
    /// The bundle, open.
    pub session: &'a Session,
    /// Modality of the record.
    pub modality: &'a str,
    /// The user's turn, with one placeholder.
    pub question: &'a str,
    /// The answers, as plain text.
    pub answers: &'a [String],
    /// Records at a time.
    pub batch_size: usize,
}

/// A question as tokens, with the answers that follow it. A tokenizer may join the end of a question with the beginning of
/// an answer; then there is more than one form.
struct Form {
    prompt: Vec<Slot>,
    /// Place among the answers, and tokens with the end of the turn.
    answers: Vec<(usize, Vec<u32>)>,
}

/// The likelihood of every answer for every record, which is given by its soft tokens.
///
/// # Shapes
/// `soft [N, soft_len, d_model]` → N × answers
///
/// # Errors
/// A question without its placeholder, or longer than the LLM reads.
pub fn likelihoods(asked: &Asked<'_>, soft: &Tensor<3>) -> Result<Vec<Vec<Likelihood>>> {
    let forms = asked.forms()?;
    let [n, _, _] = soft.dims();
    let mut found = vec![vec![Likelihood::default(); asked.answers.len()]; n];
    let mut progress = Progress::new("labels", n);
    let mut done = 0;
    while done < n {
        let many = asked.batch_size.clamp(1, n - done);
        let batch = soft.clone().narrow(0, done, many);
        for form in &forms {
            asked.read(form, batch.clone(), &mut found[done..done + many]);
        }
        done += many;
        progress.set(done, "");
    }
    progress.finish("");
    Ok(found)
}

impl Asked<'_> {
    fn forms(&self) -> Result<Vec<Form>> {
        let example = Example {
            messages: vec![Message {
                role: "user".into(),
                content: self.question.into(),
            }],
            records: vec![(self.modality.into(), Record::Null)],
            group: None,
        };
        let room = self.session.model.llm.config().max_position_embeddings;
        let mut forms: Vec<Form> = vec![];
        for (place, answer) in self.answers.iter().enumerate() {
            let prompt = self.session.prompt_with(&example, answer)?;
            let layout = self.session.layout(&[prompt], PadSide::Right)?;
            if layout.width() > room {
                return Err(Error::Input(format!(
                    "the question with the label `{answer}` has {} tokens, but the LLM reads {room} at most; shorten it",
                    layout.width()
                )));
            }
            let row = layout.rows.into_iter().next().unwrap_or_default();
            let (prompt, ids) = divided(&row);
            match forms.iter_mut().find(|form| form.prompt == prompt) {
                Some(form) => form.answers.push((place, ids)),
                None => forms.push(Form {
                    prompt,
                    answers: vec![(place, ids)],
                }),
            }
        }
        Ok(forms)
    }

    /// The answers of one form for one batch of records.
    fn read(&self, form: &Form, soft: Tensor<3>, found: &mut [Vec<Likelihood>]) {
        let Session { model, device, .. } = self.session;
        let layout = self.layout(&form.prompt, &soft);
        let embeds = model.inputs_embeds_with(&layout, vec![SoftTokens { embeds: soft }], device);
        let mask = layout.attention_mask(device);
        let longest = form.answers.iter().map(|(_, ids)| ids.len()).max();
        let (mut reading, next) =
            Continuation::start(&model.llm, embeds, mask, longest.unwrap_or(0));
        let next = log_softmax(next, 1).unsqueeze_dim::<3>(1);
        for (place, ids) in &form.answers {
            let mut sums = vec![0.0; found.len()];
            if let [first, ..] = ids.as_slice() {
                add(&mut sums, next.clone(), &[*first]);
            }
            if let [before @ .., _] = ids.as_slice()
                && !before.is_empty()
            {
                add(
                    &mut sums,
                    log_softmax(reading.look_ahead(before), 2),
                    &ids[1..],
                );
            }
            for (row, sum) in found.iter_mut().zip(sums) {
                row[*place] = Likelihood {
                    log_probability: sum,
                    tokens: ids.len(),
                };
            }
        }
    }

    /// The prompt once for each record of a batch.
    fn layout(&self, prompt: &[Slot], soft: &Tensor<3>) -> Layout {
        let [n, soft_len, _] = soft.dims();
        let row = |record: usize| Row {
            slots: prompt
                .iter()
                .map(|slot| match slot {
                    Slot::Soft { group, index, .. } => Slot::Soft {
                        group: *group,
                        row: record,
                        index: *index,
                    },
                    token => *token,
                })
                .collect(),
            loss: vec![false; prompt.len()],
            starts: vec![],
        };
        Layout {
            rows: (0..n).map(row).collect(),
            groups: vec![Group {
                modality: self.modality.into(),
                records: vec![Record::Null; n],
                soft_len,
            }],
            pad: self.session.tokenizer.pad().unwrap_or(0),
            side: PadSide::Left,
        }
    }
}

/// What stands before the answer, and the answer's tokens.
fn divided(row: &Row) -> (Vec<Slot>, Vec<u32>) {
    let start = row.loss.iter().position(|learnt| *learnt);
    let (prompt, rest) = row.slots.split_at(start.unwrap_or(row.slots.len()));
    let learnt = rest.iter().zip(&row.loss[prompt.len()..]);
    let ids = learnt.take_while(|(_, learnt)| **learnt);
    let ids = ids.filter_map(|(slot, _)| match slot {
        Slot::Token(id) => Some(*id),
        Slot::Soft { .. } => None,
    });
    (prompt.to_vec(), ids.collect())
}

/// Adds to each row's sum the entries of `ids`, one a position.
///
/// # Shapes
/// `log_probabilities [B, T, vocab_size]`, T ids
fn add(sums: &mut [f64], log_probabilities: Tensor<3>, ids: &[u32]) {
    let [batch, width, _] = log_probabilities.dims();
    let values: Vec<i64> = ids.iter().map(|id| i64::from(*id)).collect();
    let index = TensorData::new(values, [1, width, 1]);
    let index = Tensor::<3, Int>::from_data(index, &log_probabilities.device());
    let taken = log_probabilities.gather(2, index.repeat_dim(0, batch));
    let taken: Vec<f64> = taken.into_data().iter::<f64>().collect();
    for (sum, row) in sums.iter_mut().zip(taken.chunks(width.max(1))) {
        *sum += row.iter().sum::<f64>();
    }
}
