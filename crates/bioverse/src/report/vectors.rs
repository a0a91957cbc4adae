//! `vectors/<modality>.safetensors` of a run: what stage 1 compared, before and after training. Nothing is drawn here.

use std::path::{Path, PathBuf};

use safetensors::{Dtype, SafeTensors};

use crate::error::{Error, Result};

/// Held-out pairs of one modality at one moment.
#[derive(Debug, Clone, PartialEq)]
pub struct Pairs {
    /// Of the records, `[N, d]`.
    pub records: Vec<Vec<f32>>,
    /// Of their texts, `[N, d]`.
    pub texts: Vec<Vec<f32>>,
}

/// The vectors of one modality.
#[derive(Debug, Clone)]
pub struct Vectors {
    /// Name of the modality.
    pub modality: String,
    /// With the projector as it began.
    pub before: Option<Pairs>,
    /// With the trained one.
    pub after: Option<Pairs>,
    /// Which text each pair has: equal numbers are one text.
    pub text_numbers: Vec<i64>,
    /// What the rows are called, where the file says so.
    pub names: Vec<String>,
}

/// All files of `dir`, by name; none where there is no such folder.
pub fn read_all(dir: &Path) -> Result<Vec<Vectors>> {
    let Ok(entries) = std::fs::read_dir(dir) else {
        return Ok(vec![]);
    };
    let files = entries.filter_map(|entry| Some(entry.ok()?.path()));
    let mut files: Vec<PathBuf> = files
        .filter(|file| file.extension().is_some_and(|e| e == "safetensors"))
        .collect();
    files.sort();
    files.iter().map(|file| read(file)).collect()
}

fn read(file: &Path) -> Result<Vectors> {
    let broken = |problem: &str| {
        Error::Input(format!(
            "{}: {problem}; remove the file, or run stage 1 again, which writes it",
            file.display()
        ))
    };
    let bytes = std::fs::read(file).map_err(|error| Error::io(file, error))?;
    let tensors = SafeTensors::deserialize(&bytes).map_err(|error| broken(&error.to_string()))?;
    let pairs = |moment: &str| -> Result<Option<Pairs>> {
        let side =
            |side: &str| matrix(&tensors, &format!("{moment}.{side}")).map_err(|e| broken(&e));
        match (side("bio")?, side("text")?) {
            (Some(records), Some(texts)) if records.len() == texts.len() => {
                Ok(Some(Pairs { records, texts }))
            }
            (None, None) => Ok(None),
            _ => Err(broken(&format!(
                "`{moment}.bio` and `{moment}.text` are not of equal length"
            ))),
        }
    };
    let (before, after) = (pairs("before")?, pairs("after")?);
    let n = after
        .as_ref()
        .or(before.as_ref())
        .map_or(0, |pairs| pairs.records.len());
    let numbers = integers(&tensors, "text_numbers").map_err(|e| broken(&e))?;
    let text_numbers = numbers.unwrap_or_else(|| (0..n as i64).collect());
    let equal = |pairs: &Option<Pairs>| pairs.as_ref().is_none_or(|pairs| pairs.records.len() == n);
    if text_numbers.len() != n || !equal(&before) || !equal(&after) {
        return Err(broken("its tensors do not hold equally many pairs"));
    }
    Ok(Vectors {
        modality: file
            .file_stem()
            .unwrap_or_default()
            .to_string_lossy()
            .into_owned(),
        before,
        after,
        text_numbers,
        names: names(&bytes, n),
    })
}

/// The rows of an f32 matrix of finite numbers.
fn matrix(tensors: &SafeTensors<'_>, name: &str) -> Result<Option<Vec<Vec<f32>>>, String> {
    let Ok(view) = tensors.tensor(name) else {
        return Ok(None);
    };
    let width = match (view.dtype(), view.shape()) {
        (Dtype::F32, [_, width]) if *width > 0 => *width,
        _ => return Err(format!("`{name}` is no f32 matrix")),
    };
    let (words, _) = view.data().as_chunks::<4>();
    let values: Vec<f32> = words.iter().map(|word| f32::from_le_bytes(*word)).collect();
    if !values.iter().all(|value| value.is_finite()) {
        return Err(format!("`{name}` holds values that are no numbers"));
    }
    Ok(Some(values.chunks(width).map(<[f32]>::to_vec).collect()))
}

fn integers(tensors: &SafeTensors<'_>, name: &str) -> Result<Option<Vec<i64>>, String> {
    let Ok(view) = tensors.tensor(name) else {
        return Ok(None);
    };
    if view.dtype() != Dtype::I64 {
        return Err(format!("`{name}` is not i64"));
    }
    let (words, _) = view.data().as_chunks::<8>();
    Ok(Some(
        words.iter().map(|word| i64::from_le_bytes(*word)).collect(),
    ))
}

/// Row names from the file's metadata, `names` as a JSON list; empty unless there is one for each row.
fn names(bytes: &[u8], n: usize) -> Vec<String> {
    let Ok((_, header)) = SafeTensors::read_metadata(bytes) else {
        return vec![];
    };
    let listed = header.metadata().as_ref().and_then(|m| m.get("names"));
    let names: Vec<String> = listed
        .and_then(|text| serde_json::from_str(text).ok())
        .unwrap_or_default();
    if names.len() == n { names } else { vec![] }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, clippy::expect_used)]
    use safetensors::tensor::TensorView;

    use super::*;

    fn file(dir: &Path, bio: &[f32], numbers: &[i64]) -> PathBuf {
        let bytes = |values: &[f32]| {
            values
                .iter()
                .flat_map(|x| x.to_le_bytes())
                .collect::<Vec<u8>>()
        };
        let numbers: Vec<u8> = numbers.iter().flat_map(|x| x.to_le_bytes()).collect();
        let n = bio.len() / 2;
        let (bio, text) = (bytes(bio), bytes(&vec![0.5; 2 * n]));
        let rows = numbers.len() / 8;
        let tensors = [
            (
                "after.bio",
                TensorView::new(Dtype::F32, vec![n, 2], &bio).unwrap(),
            ),
            (
                "after.text",
                TensorView::new(Dtype::F32, vec![n, 2], &text).unwrap(),
            ),
            (
                "text_numbers",
                TensorView::new(Dtype::I64, vec![rows], &numbers).unwrap(),
            ),
        ];
        let metadata = [("names".to_string(), "[\"a\",\"b\"]".to_string())];
        let path = dir.join("molecule.safetensors");
        let bytes = safetensors::serialize(tensors, Some(metadata.into())).unwrap();
        std::fs::write(&path, bytes).unwrap();
        path
    }

    #[test]
    fn pairs_come_with_their_names() {
        let dir = tempfile::tempdir().unwrap();
        file(dir.path(), &[1.0, 2.0, 3.0, 4.0], &[7, 7]);
        let vectors = &read_all(dir.path()).unwrap()[0];
        assert_eq!(vectors.modality, "molecule");
        assert_eq!(
            vectors.after.as_ref().unwrap().records,
            [[1.0, 2.0], [3.0, 4.0]]
        );
        assert_eq!(
            (vectors.before.is_none(), &vectors.text_numbers[..]),
            (true, &[7, 7][..])
        );
        assert_eq!(vectors.names, ["a", "b"]);
        assert!(read_all(&dir.path().join("none")).unwrap().is_empty());
    }

    #[test]
    fn a_damaged_file_is_named() {
        let dir = tempfile::tempdir().unwrap();
        for (bio, numbers) in [(&[1.0, f32::NAN][..], &[1][..]), (&[1.0, 2.0], &[1, 2])] {
            let path = file(dir.path(), bio, numbers);
            let error = read(&path).unwrap_err();
            assert!(
                error.to_string().contains("molecule.safetensors"),
                "{error}"
            );
            assert_eq!(error.exit_code(), 2);
        }
        let path = dir.path().join("x.safetensors");
        std::fs::write(&path, "no tensors").unwrap();
        assert!(read(&path).is_err());
    }
}
