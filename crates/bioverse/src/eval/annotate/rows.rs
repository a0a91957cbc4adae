//! Records with a label, of the side that is measured and of the side that baselines learn from. A label is a column of the
//! rows, or, of instruction rows, what is answered to questions of a kind that asks for one.

use std::collections::BTreeMap;

use bioverse_core::Record;
use serde_json::Value;

use crate::{
    Bundle,
    config::{DataSection, Objective, RunConfig, suggest},
    data::{Row, Split, shape::within},
    error::{Error, Result},
    eval::{Bench, rows as named},
};

/// Kinds of instruction rows whose answer is a label, the first that occurs counts.
pub const KINDS: [&str; 6] = [
    "cell_type",
    "ec_class",
    "class",
    "family",
    "label",
    "annotate",
];

/// A record with its label.
#[derive(Debug, Clone)]
pub struct Labelled {
    /// As in [`rows::Row`](crate::eval::rows::Row).
    pub id: String,
    /// The record.
    pub record: Record,
    /// Its label as the file has it.
    pub label: String,
    /// What else is said about it in words.
    pub fields: BTreeMap<String, String>,
}

/// Both sides.
#[derive(Debug, Default)]
pub struct Sides {
    /// Rows to measure on.
    pub eval: Vec<Labelled>,
    /// Rows to learn from; none where the bundle's data has no labels.
    pub train: Vec<Labelled>,
    /// What the reader should know.
    pub notes: Vec<String>,
}

/// The data sections that a bundle was made from: its own, and that of the bundle it was tuned from.
pub fn sections(bundle: &Bundle) -> Result<Vec<DataSection>> {
    let config: RunConfig = bundle.config()?;
    let from = Bundle::open(&config.finetune.from)
        .ok()
        .filter(|from| from.dir != bundle.dir);
    let before = from.and_then(|from| from.config().ok());
    let sections = std::iter::once(config.data).chain(before.map(|config| config.data));
    Ok(sections.collect())
}

/// The data whose questions a bundle learnt to answer: none where stage 1 only compared records with texts.
pub fn tuned_with(bundle: &Bundle) -> Result<Option<DataSection>> {
    let config: RunConfig = bundle.config()?;
    let learnt_answers = !config.finetune.from.as_os_str().is_empty()
        || config.align.objective == Objective::Autoregressive;
    Ok(learnt_answers.then_some(config.data))
}

/// A source of labelled rows.
#[derive(Clone)]
struct Source {
    /// The section with all its sources.
    whole: DataSection,
    /// Which of them.
    index: usize,
    label_field: Option<String>,
}

/// Reads both sides for a modality.
///
/// # Errors
/// Neither the request nor the bundle names labels; a column that is not there; rows that cannot be read.
pub fn read(bench: &Bench<'_>, modality: &str) -> Result<Sides> {
    let sections = sections(&bench.session.bundle)?;
    let own = sources(&sections, modality, &bench.plan.modalities);
    let reader = Reader { bench, modality };
    let mut sides = Sides::default();
    let learn = match &bench.request.data {
        Some(data) => {
            let given = reader.given(data)?;
            sides.eval = reader.side(&given, Split::Eval)?;
            match data.eval {
                None => vec![given],
                Some(_) => own,
            }
        }
        None => {
            let (source, rows) = reader.first(&own, Split::Eval)?;
            sides.eval = rows;
            vec![source]
        }
    };
    match reader.first(&learn, Split::Train) {
        Ok((_, rows)) => sides.train = rows,
        Err(error) => sides.notes.push(format!(
            "Nothing with a label could be learnt from, so baselines that learn are left out: {error}"
        )),
    }
    let limit = bench.request.limit.unwrap_or(usize::MAX);
    sides.eval.truncate(limit);
    Ok(sides)
}

/// The sources that may have labels for a modality: those that name a column first, then instruction rows.
fn sources(sections: &[DataSection], modality: &str, known: &[String]) -> Vec<Source> {
    let alone = known.len() == 1;
    let about = |source: &DataSection| match &source.modality {
        Some(name) => name == modality,
        None => alone || source.text_field.is_none(),
    };
    let all = sections.iter().flat_map(|section| {
        let sources = section.sources().into_iter().enumerate();
        let here = sources.filter(|(_, (source, _))| about(source));
        here.map(|(index, (source, _))| (section, index, source))
            .collect::<Vec<_>>()
    });
    let (columns, others): (Vec<_>, Vec<_>) =
        all.partition(|(.., source)| source.label_field.is_some());
    let asked = others
        .into_iter()
        .filter(|(.., source)| source.text_field.is_none());
    let chosen = columns.into_iter().chain(asked);
    chosen
        .map(|(section, index, source)| Source {
            whole: section.clone(),
            index,
            label_field: source.label_field,
        })
        .collect()
}

struct Reader<'a> {
    bench: &'a Bench<'a>,
    modality: &'a str,
}

impl Reader<'_> {
    /// A file of the request.
    fn given(&self, data: &DataSection) -> Result<Source> {
        if data.label_field.is_none() && data.text_field.is_some() {
            return Err(Error::Input(format!(
                "{}: `annotate` compares labels, so name the column that holds them with --label-field",
                data.train.display()
            )));
        }
        Ok(Source {
            whole: DataSection {
                modality: Some(self.modality.into()),
                ..data.clone()
            },
            index: 0,
            label_field: data.label_field.clone(),
        })
    }

    /// The rows of the first source that has some with labels.
    fn first(&self, sources: &[Source], split: Split) -> Result<(Source, Vec<Labelled>)> {
        let mut why = None;
        for source in sources {
            match self.side(source, split) {
                Ok(rows) => return Ok((source.clone(), rows)),
                Err(error @ Error::Interrupted { .. }) => return Err(error),
                Err(error) => why = why.or(Some(error)),
            }
        }
        Err(why.unwrap_or_else(|| self.no_labels()))
    }

    fn no_labels(&self) -> Error {
        Error::Input(format!(
            "the bundle {} does not say where `{}` records have labels; name a file and its column with --data FILE \
             --label-field COLUMN",
            self.bench.session.bundle.dir.display(),
            self.modality
        ))
    }

    /// One side of a source.
    fn side(&self, source: &Source, split: Split) -> Result<Vec<Labelled>> {
        let sources = source.whole.sources();
        // Sources that are divided by likeness are divided together, so they have to be read together.
        let together = sources.iter().any(|(data, _)| data.split_by.is_some());
        let one = sources
            .get(source.index)
            .map_or(&source.whole, |(data, _)| data);
        let data = if together { &source.whole } else { one };
        let rows = self.bench.read(data, split)?;
        let rows: Vec<Row> = rows
            .into_iter()
            .filter(|row| !together || row.source == source.index)
            .collect();
        let kind = kind(&rows, source.label_field.as_deref());
        let labelled: Vec<Labelled> = rows
            .iter()
            .filter_map(|row| self.labelled(row, source.label_field.as_deref(), &kind))
            .collect();
        match labelled.is_empty() {
            true => Err(self.nothing(one, &rows, source)),
            false => Ok(labelled),
        }
    }

    fn labelled(&self, row: &Row, field: Option<&str>, kind: &Option<String>) -> Option<Labelled> {
        let [(modality, record)] = row.example.records.as_slice() else {
            return None;
        };
        let label = match field {
            Some(field) => words(within(&row.extra, field)?)?,
            None if Some(&named::kind_of(&row.extra)) == kind.as_ref() => row.example.answer(),
            None => return None,
        };
        let fields = row.extra.iter();
        let fields = fields.filter_map(|(name, value)| Some((name.clone(), words(value)?)));
        (modality == self.modality).then(|| Labelled {
            id: named::id_of(row.number, &row.extra),
            record: record.clone(),
            label: label.trim().to_owned(),
            fields: fields.collect(),
        })
    }

    fn nothing(&self, data: &DataSection, rows: &[Row], source: &Source) -> Error {
        let fields = rows.first().map(|row| row.extra.keys());
        let fields: Vec<&str> = fields.into_iter().flatten().map(String::as_str).collect();
        let wanted = match &source.label_field {
            Some(field) => format!("no row has a label in `{field}`"),
            None => format!("no question of a kind ({}) asks for one", KINDS.join(", ")),
        };
        Error::Input(format!(
            "{} has no `{}` record with a label: {wanted}; name the column with --label-field (there are: {})",
            data.train.display(),
            self.modality,
            suggest::quoted(&fields)
        ))
    }
}

/// The kind of instruction rows that asks for labels.
pub fn kind(rows: &[Row], field: Option<&str>) -> Option<String> {
    let wanted = field.into_iter().chain(KINDS);
    let mut wanted = wanted.map(str::to_owned);
    wanted.find(|kind| rows.iter().any(|row| named::kind_of(&row.extra) == *kind))
}

fn words(value: &Value) -> Option<String> {
    let text = match value {
        Value::String(text) => text.clone(),
        Value::Number(number) => number.to_string(),
        _ => return None,
    };
    (!text.trim().is_empty()).then_some(text)
}
