//! A file of vectors in place of an encoder: records are ids, and what an encoder would have computed is looked up.

use std::{path::PathBuf, sync::Arc};

use bioverse_core::{BoxError, Encoder, Hidden, Record, placeholder};
use bioverse_formats::embeddings::{self, Choice, Vectors};
use burn::{prelude::*, tensor::TensorData};
use serde::{Deserialize, Serialize};
use toml::Table;

use crate::{
    config::suggest,
    error::{Error, Result},
};

/// Most ids among which a near one is looked for.
const COMPARED: usize = 200_000;

/// `[modality.<name>]` with a file of vectors in place of an encoder.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct OwnVectors {
    /// The file: safetensors, npy, Parquet or h5ad.
    pub embeddings: PathBuf,
    /// Tensor, column or `obsm` key of the vectors; not set = the only candidate.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub embeddings_key: Option<String>,
    /// Column of the ids in Parquet; not set = the only candidate.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub id_field: Option<String>,
}

impl OwnVectors {
    /// Keys of the table.
    pub const KEYS: [&'static str; 3] = ["embeddings", "embeddings_key", "id_field"];

    /// Reads the table.
    ///
    /// # Errors
    /// A name that no placeholder can have; keys of an encoder beside those of vectors; wrong types; no file.
    pub fn of(name: &str, table: &Table) -> Result<Self> {
        let refuse = |problem: String| Error::Input(format!("`[modality.{name}]`: {problem}"));
        if !placeholder::is_name(name) {
            return Err(refuse(format!(
                "`{name}` cannot be written as a placeholder; use small letters, digits and `-`, beginning with a letter"
            )));
        }
        if let Some(key) = table.keys().find(|key| !Self::KEYS.contains(&key.as_str())) {
            let hint = match suggest::nearest(key, Self::KEYS) {
                Some(near) => format!("did you mean `{near}`?"),
                None => format!(
                    "with `embeddings` there is no encoder to configure, so remove `{key}` or `embeddings`"
                ),
            };
            return Err(refuse(format!(
                "unknown field `{key}` beside `embeddings`; {hint}"
            )));
        }
        let own: Self = table
            .clone()
            .try_into()
            .map_err(|error: toml::de::Error| refuse(error.message().into()))?;
        match own.embeddings.as_os_str().is_empty() {
            true => Err(refuse(
                "`embeddings` is not set; it names a file with one vector per id".into(),
            )),
            false => Ok(own),
        }
    }

    /// The table it was read from.
    pub(super) fn table(&self) -> Result<Table> {
        Table::try_from(self).map_err(|error| Error::Input(error.to_string()))
    }

    /// The files that identify it.
    pub(super) fn files(&self) -> Vec<PathBuf> {
        embeddings::files(&self.embeddings)
    }

    /// Reads the vectors.
    pub fn read(&self) -> Result<Vectors> {
        let choice = Choice {
            key: self.embeddings_key.clone(),
            id_field: self.id_field.clone(),
        };
        Ok(embeddings::read(&self.embeddings, &choice)?)
    }

    /// The vectors as an encoder whose records are ids.
    pub(super) fn encoder(&self, name: &str, device: &Device) -> Result<Encoder> {
        let vectors = Arc::new(self.read()?);
        let (width, device) = (vectors.width(), device.clone());
        let known = Arc::clone(&vectors);
        Ok(Encoder::from_fn(
            name,
            width,
            move |record| place(&known, record).map(drop),
            move |records| states(&vectors, records, &device),
        ))
    }
}

/// Where the vectors of a record stand.
fn place(vectors: &Vectors, record: &Record) -> Result<usize, BoxError> {
    let id = match record {
        Record::String(id) => id.clone(),
        // Row numbers, and ids that a table stores as numbers.
        Record::Number(number) => number.to_string(),
        other => {
            return Err(format!(
                "{other} is no id; with `embeddings`, records are ids of {}, given as text or numbers",
                vectors.path().display()
            )
            .into());
        }
    };
    vectors
        .find(&id)
        .ok_or_else(|| unknown(vectors, &id).into())
}

fn unknown(vectors: &Vectors, id: &str) -> String {
    let (file, count) = (vectors.path().display(), vectors.len());
    if vectors.lacks(id) {
        return format!(
            "`{id}` has no vector in {file}: its row is NaN, for it was left out when the file was written"
        );
    }
    let ids = vectors.ids().iter().take(COMPARED).map(String::as_str);
    let near = match suggest::nearest(id, ids) {
        Some(near) => format!("did you mean `{near}`?"),
        None => format!(
            "the first of them is `{}`; add a vector for `{id}`, or remove the row",
            vectors.ids().first().map_or("", String::as_str)
        ),
    };
    format!("`{id}` is not among the {count} ids of {file}; {near}")
}

/// The vectors of each record, padded to the longest.
///
/// # Shapes
/// B records → states `[B, T, width]`, mask `[B, T]`; T is 1 where every id has one vector.
fn states(vectors: &Vectors, records: &[Record], device: &Device) -> Result<Hidden, BoxError> {
    let width = vectors.width();
    let mut rows = Vec::with_capacity(records.len());
    for record in records {
        let place = place(vectors, record)?;
        rows.push(vectors.get(place).unwrap_or_default());
    }
    let longest = rows
        .iter()
        .map(|row| row.len() / width)
        .max()
        .unwrap_or(0)
        .max(1);
    let mut values = Vec::with_capacity(rows.len() * longest * width);
    let mut mask = Vec::with_capacity(rows.len() * longest);
    for row in &rows {
        values.extend_from_slice(row);
        values.resize(mask.len() * width + longest * width, 0.0);
        mask.extend((0..longest).map(|t| t < row.len() / width));
    }
    let (b, t) = (rows.len(), longest);
    Ok(Hidden {
        states: Tensor::from_data(TensorData::new(values, [b, t, width]), device),
        mask: Tensor::from_data(TensorData::new(mask, [b, t]), device),
    })
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, clippy::expect_used)]
    use std::path::Path;

    use serde_json::json;

    use super::*;

    fn vectors() -> Vectors {
        let ids = ["P1", "P2", "30"].map(String::from).to_vec();
        Vectors::several(
            Path::new("v.safetensors"),
            ids,
            &[1, 2, 1],
            2,
            vec![1., 2., 3., 4., 5., 6., 7., 8.],
        )
        .unwrap()
    }

    #[test]
    fn records_are_looked_up_in_the_order_given_and_padded() {
        let hidden = states(
            &vectors(),
            &[json!("P2"), json!(30), json!("P1")],
            &Device::flex(),
        )
        .unwrap();
        assert_eq!(hidden.states.dims(), [3, 2, 2]);
        let states: Vec<f32> = hidden.states.into_data().iter::<f32>().collect();
        assert_eq!(states, [3., 4., 5., 6., 7., 8., 0., 0., 1., 2., 0., 0.]);
        let mask: Vec<bool> = hidden.mask.into_data().iter::<bool>().collect();
        assert_eq!(mask, [true, true, true, false, true, false]);
    }

    #[test]
    fn an_unknown_id_is_named_with_the_file_and_a_near_one() {
        let said = |record| place(&vectors(), &record).unwrap_err().to_string();
        assert_eq!(
            said(json!("P11")),
            "`P11` is not among the 3 ids of v.safetensors; did you mean `P1`?"
        );
        assert!(said(json!("glucose")).contains("the first of them is `P1`"));
        assert!(said(json!(["P1"])).contains("is no id"));
    }

    #[test]
    fn a_table_of_vectors_takes_no_key_of_an_encoder() {
        let of = |text: &str, name| OwnVectors::of(name, &text.parse().unwrap());
        let own = of("embeddings = 'x.npy'", "glycan").unwrap();
        assert_eq!(
            own.table().unwrap(),
            "embeddings = 'x.npy'".parse().unwrap()
        );
        for (text, name, expected) in [
            (
                "embeddings = 'x'\npath = 'y'",
                "glycan",
                "remove `path` or `embeddings`",
            ),
            (
                "embeddings = 'x'\nembedings_key = 'y'",
                "glycan",
                "did you mean `embeddings_key`?",
            ),
            (
                "embeddings = 3",
                "glycan",
                "`[modality.glycan]`: invalid type",
            ),
            ("embeddings = ''", "glycan", "is not set"),
            ("embeddings = 'x'", "Gly can", "placeholder"),
        ] {
            let error = of(text, name).unwrap_err().to_string();
            assert!(
                error.contains(expected),
                "{error}\nshould contain: {expected}"
            );
        }
    }
}
