//! One golden folder as it lies on disk: `golden.json` and `golden.safetensors`. Knows no model and no comparison.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result, bail, ensure};
use safetensors::{Dtype, SafeTensors};
use serde_json::Value;

/// A golden folder, read.
pub struct Folder {
    pub path: PathBuf,
    pub name: String,
    pub family: String,
    pub json: Value,
    pub tensors: BTreeMap<String, Reference>,
}

/// What one tensor should be, and how close is close enough.
pub struct Reference {
    pub shape: Vec<usize>,
    pub values: Values,
    pub tolerance: Tolerance,
    /// Name of a 0/1 tensor; only where it is 1 does the value mean anything.
    pub only_where: Option<String>,
}

#[derive(Debug, Clone)]
pub enum Values {
    Float(Vec<f32>),
    Int(Vec<i64>),
}

/// `|got - want| <= atol + rtol * |want|` for every element, and `within` for a share `most.0` of them.
#[derive(Debug, Clone, Copy)]
pub struct Tolerance {
    pub atol: f64,
    pub rtol: f64,
    pub most: Option<(f64, f64)>,
}

impl Folder {
    /// The family, readable before anything else is: an unknown one may keep its tensors in a way we do not know.
    pub fn family(path: &Path) -> Result<String> {
        let family = Self::json(path)?["family"].as_str().map(str::to_string);
        family.context("golden.json has no `family`")
    }

    fn json(path: &Path) -> Result<Value> {
        let text = std::fs::read_to_string(path.join("golden.json")).context("golden.json")?;
        serde_json::from_str(&text).context("golden.json")
    }

    pub fn open(path: &Path) -> Result<Self> {
        let (json, family) = (Self::json(path)?, Self::family(path)?);
        let name = path
            .file_name()
            .map_or_else(String::new, |name| name.to_string_lossy().into_owned());
        let stored = read_safetensors(&path.join("golden.safetensors"))?;
        let described = json["tensors"]
            .as_object()
            .context("golden.json has no `tensors`")?;
        for name in stored.keys() {
            ensure!(
                described.contains_key(name),
                "golden.safetensors holds `{name}`, golden.json does not describe it"
            );
        }
        let mut tensors = BTreeMap::new();
        for (name, description) in described {
            let (shape, values) = stored
                .get(name)
                .cloned()
                .with_context(|| format!("`{name}` is missing from golden.safetensors"))?;
            let listed: Vec<usize> = serde_json::from_value(description["shape"].clone())?;
            ensure!(
                shape == listed,
                "`{name}` is {shape:?}, golden.json says {listed:?}"
            );
            let tolerance = match description.get("tolerance") {
                Some(own) => tolerance(own).with_context(|| format!("tolerance of `{name}`"))?,
                None => tolerance(&json["tolerance"]).context("tolerance of the folder")?,
            };
            let only_where = description
                .get("compare_only_where")
                .and_then(Value::as_str)
                .map(str::to_string);
            tensors.insert(
                name.clone(),
                Reference {
                    shape,
                    values,
                    tolerance,
                    only_where,
                },
            );
        }
        Ok(Self {
            path: path.to_path_buf(),
            name,
            family,
            json,
            tensors,
        })
    }

    /// A number of golden.json by pointer (`/optimiser/lr`).
    pub fn number(&self, pointer: &str) -> Result<f64> {
        self.json
            .pointer(pointer)
            .and_then(Value::as_f64)
            .with_context(|| format!("golden.json has no number at {pointer}"))
    }

    pub fn count(&self, pointer: &str) -> Result<usize> {
        Ok(self.number(pointer)? as usize)
    }

    /// Names that begin with `prefix`, without it.
    pub fn names_after(&self, prefix: &str) -> Vec<String> {
        self.tensors
            .keys()
            .filter_map(|name| name.strip_prefix(prefix))
            .map(str::to_string)
            .collect()
    }

    /// A copy of the folder's plain files in which `replace.0` has been renamed to `replace.1`, or left out when that is
    /// empty.
    pub fn copy_with(&self, replace: (&str, &str)) -> Result<tempfile::TempDir> {
        let copy = tempfile::tempdir()?;
        for entry in std::fs::read_dir(&self.path)? {
            let entry = entry?;
            let name = entry.file_name().to_string_lossy().into_owned();
            let target = match name.as_str() {
                name if name == replace.0 => replace.1,
                name if name == replace.1 => "",
                name => name,
            };
            if !target.is_empty() && entry.file_type()?.is_file() {
                std::fs::copy(entry.path(), copy.path().join(target))?;
            }
        }
        Ok(copy)
    }
}

fn tolerance(json: &Value) -> Result<Tolerance> {
    let number = |name: &str| json[name].as_f64().with_context(|| format!("no `{name}`"));
    let most = json
        .get("and")
        .and_then(Value::as_str)
        .map(share_within)
        .transpose()?;
    Ok(Tolerance {
        atol: number("atol")?,
        // Folders of plain numbers give an absolute tolerance only.
        rtol: json.get("rtol").map_or(Ok(0.0), |_| number("rtol"))?,
        most,
    })
}

/// Reads "at least 99% of the elements within 5e-6 (…)".
fn share_within(text: &str) -> Result<(f64, f64)> {
    let after = |word: &str| {
        let rest = text.split_once(word)?.1.trim_start();
        let end = rest
            .find(|c: char| c == '%' || c.is_whitespace())
            .unwrap_or(rest.len());
        rest[..end].parse::<f64>().ok()
    };
    match (after("at least"), after("within")) {
        (Some(percent), Some(within)) => Ok((percent / 100.0, within)),
        _ => bail!("the rule {text:?} is not one this suite knows"),
    }
}

/// All tensors of a file, floats as f32 and integers as i64.
pub fn read_safetensors(path: &Path) -> Result<BTreeMap<String, (Vec<usize>, Values)>> {
    let bytes = std::fs::read(path).with_context(|| path.display().to_string())?;
    let file = SafeTensors::deserialize(&bytes).with_context(|| path.display().to_string())?;
    let mut tensors = BTreeMap::new();
    for (name, view) in file.tensors() {
        let values = match view.dtype() {
            Dtype::F32 => Values::Float(
                view.data()
                    .chunks_exact(4)
                    .map(|b| f32::from_le_bytes([b[0], b[1], b[2], b[3]]))
                    .collect(),
            ),
            Dtype::I64 => Values::Int(
                view.data()
                    .chunks_exact(8)
                    .map(|b| i64::from_le_bytes([b[0], b[1], b[2], b[3], b[4], b[5], b[6], b[7]]))
                    .collect(),
            ),
            other => bail!(
                "{}: `{name}` is {other:?}; f32 and i64 are expected",
                path.display()
            ),
        };
        tensors.insert(name, (view.shape().to_vec(), values));
    }
    Ok(tensors)
}

#[test]
fn the_share_rule_is_read_from_its_sentence() {
    assert_eq!(
        share_within("at least 99% of the elements within 5e-6 (because)").unwrap(),
        (0.99, 5e-6)
    );
    assert!(share_within("nearly all").is_err());
}
