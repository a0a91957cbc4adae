//! Rows of data files → examples, one side of the split at a time, every row checked; several sources one after another.
//! What a row says is for `shape` to know; neither chat template nor tokenizer is known here.

#[cfg(test)]
mod tests;

use std::{collections::BTreeMap, path::Path, sync::Arc};

use bioverse_core::{Example, Registry};

pub use super::rows::{read_rows, read_rows_with};
use super::{
    Screen,
    rows::{Object, next_row, no_rows, row_error},
    shape::Shape,
    split,
};
use crate::{
    config::DataSection,
    error::{Error, Result},
};

/// A side of the split.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Split {
    /// Rows to learn from.
    Train,
    /// Rows to measure on.
    Eval,
}

/// One row of a data file.
#[derive(Debug, Clone, PartialEq)]
pub struct Row {
    /// Which source of `data.mixture` it is from; 0 without a mixture.
    pub source: usize,
    /// The file it stands in.
    pub file: Arc<Path>,
    /// Where it stands, from 1: the line of JSONL, the data row of CSV.
    pub number: usize,
    /// What it says.
    pub example: Example,
    /// The whole row, for fields of which an [`Example`] knows nothing (`id`, `kind`, …).
    pub extra: Object,
}

impl Row {
    /// What to call it in a message.
    pub fn name(&self) -> String {
        format!("{} row {}", self.file.display(), self.number)
    }
}

/// Both sides of a split.
#[derive(Debug, Default)]
pub struct Sides {
    /// Rows to learn from.
    pub train: Vec<Row>,
    /// Rows to measure on; none where nothing is held out.
    pub held_out: Vec<Row>,
    /// Of each training row, the number of the group that `data.split_by` kept together.
    pub train_groups: Vec<Option<usize>>,
    /// Of each held-out row.
    pub held_out_groups: Vec<Option<usize>>,
}

impl Sides {
    fn put(&mut self, split: Split, row: Row, group: Option<usize>) {
        let (rows, groups) = match split {
            Split::Train => (&mut self.train, &mut self.train_groups),
            Split::Eval => (&mut self.held_out, &mut self.held_out_groups),
        };
        rows.push(row);
        groups.push(group);
    }
}

/// [`read_split`], examples only.
pub fn read_examples(
    data: &DataSection,
    split: Split,
    modalities: &[&str],
    registry: &Registry,
) -> Result<Vec<Example>> {
    let rows = read_split(data, split, modalities, registry)?;
    Ok(rows.into_iter().map(|row| row.example).collect())
}

/// Reads the rows of one side. `modalities` are the configured modality names (the default for plain pairs is the only
/// one). Every row is checked (placeholders against records); an error names file and row; an empty result is an error.
/// With `data.skip_bad`, bad rows are left out and their number is logged.
pub fn read_split(
    data: &DataSection,
    split: Split,
    modalities: &[&str],
    registry: &Registry,
) -> Result<Vec<Row>> {
    let mut screen = Screen::knowing(registry);
    let rows = read_split_into(data, split, modalities, &mut screen)?;
    screen.finish()?;
    Ok(rows)
}

/// [`read_split`]; with `data.skip_bad`, bad rows go to `screen` with their reasons.
///
/// Sources of `data.mixture` come one after another. A source that holds nothing out gives nothing to measure on, and a
/// file to measure on that several sources have in common is read once.
pub fn read_split_into(
    data: &DataSection,
    split: Split,
    modalities: &[&str],
    screen: &mut Screen,
) -> Result<Vec<Row>> {
    let sides = read_some(data, &[split], modalities, screen)?;
    Ok(match split {
        Split::Train => sides.train,
        Split::Eval => sides.held_out,
    })
}

/// Both sides, each file that is divided here read once; see [`read_split_into`].
pub fn read_sides(data: &DataSection, modalities: &[&str], screen: &mut Screen) -> Result<Sides> {
    match data.holds_out() {
        true => read_some(data, &[Split::Train, Split::Eval], modalities, screen),
        false => read_some(data, &[Split::Train], modalities, screen),
    }
}

/// The sides asked for.
fn read_some(
    data: &DataSection,
    wanted: &[Split],
    modalities: &[&str],
    screen: &mut Screen,
) -> Result<Sides> {
    let sources: Vec<DataSection> = data.sources().into_iter().map(|(data, _)| data).collect();
    if wanted.contains(&Split::Eval) && !sources.iter().any(DataSection::holds_out) {
        return Err(nothing_held_out());
    }
    let mut drawn = drawn(&sources, modalities, screen)?;
    let mut sides = Sides::default();
    for split in wanted {
        for (index, source) in sources.iter().enumerate() {
            if source.split_by.is_some() {
                let limit = source.limit.unwrap_or(usize::MAX);
                let rows = drawn.remove(&(index, *split == Split::Eval));
                for (row, group) in rows.into_iter().flatten().take(limit) {
                    sides.put(*split, row, Some(group));
                }
            } else if *split == Split::Train
                || (source.holds_out() && !again(source, &sources[..index]))
            {
                for row in read_source(index, source, *split, modalities, screen)? {
                    sides.put(*split, row, None);
                }
            }
        }
    }
    Ok(sides)
}

/// Rows with the numbers of their groups, by source and whether they are held out.
type DrawnRows = BTreeMap<(usize, bool), Vec<(Row, usize)>>;

/// The rows of all sources with `data.split_by`, divided. They are drawn together: what is alike in two sources stays
/// together.
fn drawn(sources: &[DataSection], modalities: &[&str], screen: &mut Screen) -> Result<DrawnRows> {
    let mut rows = vec![];
    for (index, source) in sources.iter().enumerate() {
        if source.split_by.is_some() {
            let whole = DataSection {
                limit: None,
                ..source.clone()
            };
            rows.extend(read_source(
                index,
                &whole,
                Split::Train,
                modalities,
                screen,
            )?);
        }
    }
    let mut divided = DrawnRows::new();
    if rows.is_empty() {
        return Ok(divided);
    }
    let drawn = split::draw(&rows, sources, screen.registry())?;
    for ((row, held_out), group) in rows.into_iter().zip(drawn.held_out).zip(drawn.group) {
        let side = divided.entry((row.source, held_out)).or_default();
        side.push((row, group));
    }
    Ok(divided)
}

/// Whether an earlier source reads the same file to measure on in the same way.
fn again(source: &DataSection, earlier: &[DataSection]) -> bool {
    let reading = |data: &DataSection| {
        let fields = (data.input_field.clone(), data.text_field.clone());
        (data.eval.clone(), data.modality.clone(), fields)
    };
    source.eval.is_some()
        && earlier
            .iter()
            .any(|other| reading(other) == reading(source))
}

/// One side of the `index`-th source.
fn read_source(
    index: usize,
    data: &DataSection,
    split: Split,
    modalities: &[&str],
    screen: &mut Screen,
) -> Result<Vec<Row>> {
    let path: Arc<Path> = file(data, split).into();
    let mut source = bioverse_formats::open(&path, &data.options())?;
    let shape = Shape::of(data, source.format(), modalities)?;
    let (mut rows, mut read) = (vec![], 0);
    let before = screen.rejected().count();
    while data.limit.is_none_or(|limit| rows.len() < limit) {
        let rejects = data.skip_bad.then(|| screen.rejected());
        let Some((number, mut object)) = next_row(&mut source, rejects)? else {
            break;
        };
        read += 1;
        let example = shape.on_side(data, split, &mut object, modalities);
        let example = example.and_then(|example| match &example {
            Some(found) => screen.check(found).map(|()| example),
            None => Ok(example),
        });
        match example {
            Ok(None) => {}
            Ok(Some(example)) => rows.push(Row {
                source: index,
                file: path.clone(),
                number,
                example,
                extra: object,
            }),
            Err(problem) if data.skip_bad => screen.reject(&path, number, &problem, &object)?,
            Err(problem) => return Err(row_error(&path, number, problem)),
        }
    }
    let bad = screen.rejected().count() - before;
    match rows.is_empty() {
        true if bad > 0 => Err(Error::Input(format!(
            "{}: no row is left, for {bad} are bad; leave `data.skip_bad` out to see what is wrong",
            path.display()
        ))),
        true if read == 0 => Err(no_rows(&path)),
        true => Err(nothing_left(data, split, &path)),
        false => Ok(rows),
    }
}

/// The file of a source that holds one side.
fn file(data: &DataSection, split: Split) -> &Path {
    match (split, &data.eval) {
        (Split::Eval, Some(eval)) => eval,
        _ => &data.train,
    }
}

fn nothing_held_out() -> Error {
    Error::Input(
        "there are no rows to measure on: give a file as `data.eval`, the field that names the split as \
         `data.split_field`, or how to draw one as `data.split_by`"
            .into(),
    )
}

fn nothing_left(data: &DataSection, split: Split, path: &Path) -> Error {
    let field = data.split_field.as_deref().unwrap_or_default();
    let (wanted, key) = match split {
        Split::Train => (&data.train_split, "data.train_split"),
        Split::Eval => (&data.eval_split, "data.eval_split"),
    };
    Error::Input(format!(
        "{}: no row has `{field}` = `{wanted}`; set `{key}` to a value that occurs",
        path.display()
    ))
}
