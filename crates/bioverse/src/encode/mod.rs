//! Records of a file → one vector each, in a file: streamed, resumable, in the order of the input.
//!
//! Rows are read in windows. Within a window records are sorted by length and encoded in batches of like length; then they
//! are brought back into the order of the file, and the window is written to a work folder beside the output as one chunk.
//! When all are there, the chunks become the output. So memory is bounded by a window, and a run that was killed goes on
//! behind the last whole chunk.
//!
//! | module | what it holds |
//! |---|---|
//! | `input` | rows as records with ids: which field is which |
//! | `window` | what is encoded at a time |
//! | `maker` | encoder, pooling, projector |
//! | `partial` | the work folder |
//! | `assemble` | chunks → output |
//!
//! What the records are is unknown here.

mod assemble;
mod input;
mod maker;
mod partial;
mod request;
#[cfg(test)]
mod tests;
mod window;

use std::path::PathBuf;

use bioverse_core::Registry;
use tracing::info;

pub use maker::Pool;
pub use request::Request;

use crate::{
    error::{Error, Result},
    interrupt,
    telemetry::Progress,
};

use input::Input;
use maker::Maker;
use partial::Partial;
use window::Windows;

/// What a run made.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Done {
    /// The file.
    pub output: PathBuf,
    /// What is in it, such as `embeddings [64, 48]`.
    pub shape: String,
    /// Records left out, and the file that says why.
    pub rejected: Option<(usize, PathBuf)>,
    /// What the encoder has to say about the records.
    pub summary: Option<String>,
}

/// Encodes a file.
///
/// # Errors
/// Anything wrong with the request, before anything is written. A bad record, by file and row, unless bad ones are to be
/// skipped; then there must be a good one. [`Error::Interrupted`] after Ctrl-C. In all these cases the chunks that are whole
/// stay, and the same request goes on from them.
pub fn run(request: &Request, registry: &Registry) -> Result<Done> {
    interrupt::install();
    let container = request.container()?;
    let maker = Maker::load(request, registry)?;
    let input = Input::open(request)?;
    input.say_guess();
    let fingerprint = request.fingerprint(registry, &maker)?;
    let mut partial = Partial::open(&request.output, &fingerprint, request.force)?;
    let filled = fill(request, &maker, input, &mut partial);
    let finished = filled.and_then(|()| assemble::finish(request, &container, &maker, &partial));
    if finished.is_ok() || partial.is_empty() {
        partial.remove();
    }
    Ok(Done {
        summary: maker.summary(),
        ..finished?
    })
}

/// Encodes what is not there yet, window by window.
fn fill(request: &Request, maker: &Maker, mut input: Input, partial: &mut Partial) -> Result<()> {
    if let Some(bad) = partial.rejected().filter(|_| !request.skip_bad) {
        return Err(request.at(bad.row, &bad.reason));
    }
    let total = total(request, &input, maker, partial)?;
    input.skip(partial.rows())?;
    let mut progress = Progress::new(&format!("encode {}", request.modality), total);
    if partial.rows() > 0 {
        info!("{} of {total} rows were done before", partial.rows());
        progress.set(partial.rows(), "");
    }
    let budget = request.budget(maker.width(), maker.is_varying());
    let mut windows = Windows::new(input, budget);
    while let Some(window) = windows.next()? {
        let before = partial.rows();
        let mut advance = |done: usize| {
            progress.set(before + done, "");
            match interrupt::requested() {
                true => Err(interrupted(partial, total)),
                false => Ok(()),
            }
        };
        let chunk = window.encode(maker, request, &mut advance)?;
        partial.push(&chunk)?;
    }
    progress.finish("");
    Ok(())
}

/// What a run would do, after a look at the first rows; nothing is encoded and nothing written.
pub fn dry_run(request: &Request, registry: &Registry) -> Result<String> {
    request.container()?;
    let maker = Maker::load(request, registry)?;
    let mut input = Input::open(request)?;
    let mut text = format!("{}\n{}\n", input.describe(), maker.describe());
    let rows = input.len_hint();
    let rows = rows.map_or_else(|| "the".into(), |rows| format!("{rows}"));
    text += &format!(
        "would write {} from {rows} rows\n",
        request.output.display()
    );
    for _ in 0..3 {
        let Some(item) = input.next_item()? else {
            break;
        };
        text += &item.describe(&maker);
    }
    Ok(text)
}

/// How many rows there are. Formats that do not say so are read once to count them, and then all records are checked on the
/// way: what is wrong with the last one is better known before the first is encoded.
fn total(request: &Request, input: &Input, maker: &Maker, partial: &mut Partial) -> Result<usize> {
    if let Some(total) = input.len_hint().or(partial.total()) {
        return Ok(total);
    }
    let mut rows = 0;
    let budget = request.budget(maker.width(), false);
    let mut windows = Windows::new(Input::open(request)?, budget);
    while let Some(window) = windows.next()? {
        rows += window.len();
        if !request.skip_bad {
            window.check(maker, request)?;
        }
        if interrupt::requested() {
            return Err(interrupted(partial, rows));
        }
    }
    match rows {
        0 => Err(request.no_rows()),
        _ => partial.set_total(rows),
    }
}

fn interrupted(partial: &Partial, total: usize) -> Error {
    let (done, dir) = (partial.rows(), partial.dir().display());
    Error::Interrupted {
        step: done,
        saved: format!(
            "{done} of {total} rows are done and kept in {dir}; run the same command again to go on from there"
        ),
    }
}
