//! `run.dir/vectors/<modality>.safetensors`: held-out pairs before and after alignment, for whoever draws them. How they are
//! drawn is unknown here.

use std::path::Path;

use bioverse_core::{Projector, Record};
use burn::module::Module;
use burn::prelude::*;
use safetensors::{Dtype, tensor::TensorView};

use super::target::Target;
use super::train::vectors;
use crate::error::{Error, Result};
use crate::files::{self, write_atomic};

/// Characters of a record that are enough to know it by.
const LONGEST_NAME: usize = 72;

/// Writes `before.bio`, `before.text`, `after.bio`, `after.text`, `[N, d]` each, in the metric that pairs are compared in,
/// and `text_numbers`, `[N]`: equal numbers are equal texts. The file's metadata calls each record by
/// its `names`. Nothing without held-out pairs.
pub(super) fn write(
    run: &Path,
    target: &Target,
    aligned: &Projector,
    device: &Device,
) -> Result<()> {
    let pairs = &target.held_out;
    if pairs.records.is_empty() {
        return Ok(());
    }
    let rows: Vec<usize> = (0..pairs.records.len()).collect();
    let mut tensors = vec![];
    for (when, projector) in [("before", &target.projector), ("after", aligned)] {
        let (bio, text) = vectors(target, &projector.valid(), pairs, &rows, device)?;
        tensors.push((format!("{when}.bio"), Stored::floats(bio)));
        tensors.push((format!("{when}.text"), Stored::floats(text)));
    }
    let numbers = pairs.text_numbers.iter();
    let numbers = Stored {
        dtype: Dtype::I64,
        shape: vec![rows.len()],
        bytes: numbers.flat_map(|n| (*n as i64).to_le_bytes()).collect(),
    };
    tensors.push(("text_numbers".into(), numbers));
    let dir = run.join("vectors");
    std::fs::create_dir_all(&dir).map_err(|error| Error::io(&dir, error))?;
    let file = dir.join(format!("{}.safetensors", target.name));
    let refuse = |error| Error::Run(format!("{}: cannot be written: {error}", file.display()));
    let views: Vec<(&str, TensorView<'_>)> = tensors
        .iter()
        .map(|(name, stored)| Ok((name.as_str(), stored.view().map_err(refuse)?)))
        .collect::<Result<_>>()?;
    let names: Vec<String> = pairs.records.iter().map(name).collect();
    let metadata = [("names".to_owned(), serde_json::json!(names).to_string())];
    let bytes = safetensors::serialize(views, Some(metadata.into())).map_err(refuse)?;
    write_atomic(&file, &bytes)
}

/// Removes the vectors of earlier alignments of these modalities in the same folder.
pub(super) fn forget(run: &Path, modalities: &[String]) -> Result<()> {
    let file = |name: &String| run.join("vectors").join(format!("{name}.safetensors"));
    modalities
        .iter()
        .try_for_each(|name| files::forget(&file(name)))
}

/// What a record is called in a drawing: itself, or its beginning.
fn name(record: &Record) -> String {
    let text = record
        .as_str()
        .map_or_else(|| record.to_string(), str::to_owned);
    match text.char_indices().nth(LONGEST_NAME) {
        Some((end, _)) => format!("{}…", &text[..end]),
        None => text,
    }
}

/// A tensor as it is stored.
struct Stored {
    dtype: Dtype,
    shape: Vec<usize>,
    bytes: Vec<u8>,
}

impl Stored {
    fn floats(x: Tensor<2>) -> Self {
        let shape = x.dims().to_vec();
        let values = x.into_data();
        Self {
            dtype: Dtype::F32,
            shape,
            bytes: values.iter::<f32>().flat_map(f32::to_le_bytes).collect(),
        }
    }

    fn view(&self) -> std::result::Result<TensorView<'_>, safetensors::SafeTensorError> {
        TensorView::new(self.dtype, self.shape.clone(), &self.bytes)
    }
}
