//! Records beside the texts of labels in the aligned space: typing that needs no pass through the LLM.

use bioverse_core::Record;

use super::labels::Label;
use super::measure::Said;
use super::ontology::Ontology;
use super::rows::Labelled;
use crate::{
    Session,
    error::Result,
    eval::{findings::Role, likelihood::shares, linear::Matrix},
};

/// What cosines are divided by before they become shares; the temperature that CLIP begins with (Radford et al. 2021).
const TEMPERATURE: f64 = 0.07;

/// Vectors of the measured records in the bundle's metric, and what they are nearest to.
pub struct Aligned {
    /// One row per record, of length one.
    pub records: Matrix,
    /// As a method.
    pub said: Said,
}

/// Cosines between records and labels. The vector of a label is the mean direction of its texts: its answer, its names, and
/// its definition where an ontology has one.
pub fn run(
    session: &Session,
    modality: &str,
    eval: &[Labelled],
    labels: &[Label],
    ontology: Option<&Ontology>,
) -> Result<Aligned> {
    let records: Vec<Record> = eval.iter().map(|row| row.record.clone()).collect();
    let metric = session.text_metric(modality)?;
    let name = |i: usize| format!("`{}`", eval[i].id);
    let records = metric.apply(session.embed_records(modality, &records, &name)?);
    let records = Matrix::from_tensor(records).normalized();
    let (mut texts, mut owners) = (vec![], vec![]);
    for (at, label) in labels.iter().enumerate() {
        let definition = ontology.and_then(|ontology| ontology.definition(label));
        let own = [
            label.answer.as_str(),
            label.names.last().unwrap_or(&label.name),
        ];
        for text in own.into_iter().chain(definition) {
            texts.push(text.to_owned());
            owners.push(at);
        }
    }
    let name = |i: usize| format!("the label `{}`", labels[owners[i]].name);
    let found = metric.apply(session.embed_texts(modality, &texts, &name)?);
    let found = Matrix::from_tensor(found).normalized();
    let mut means = Matrix::zeros(labels.len(), found.cols);
    for (row, owner) in owners.iter().enumerate() {
        let mean = &mut means.data[owner * found.cols..(owner + 1) * found.cols];
        mean.iter_mut()
            .zip(found.row(row))
            .for_each(|(m, x)| *m += x);
    }
    let cosines = records.times_transposed(&means.normalized());
    let row = |i: usize| {
        let row = cosines.row(i).iter();
        shares(&row.map(|x| f64::from(*x) / TEMPERATURE).collect::<Vec<_>>())
    };
    let all = (0..cosines.rows).map(row).collect();
    Ok(Aligned {
        records,
        said: Said::by_shares("similarity", Role::Model, all),
    })
}
