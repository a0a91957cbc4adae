//! What sentence-transformers writes beside a model: which modules make a vector of a text (`modules.json`), how states are
//! pooled (`1_Pooling/config.json`), how long a text may be (`sentence_bert_config.json`), and words put before every text.
//! Tokens and tensors are unknown here.
//!
//! A `Normalize` module divides the vector by its length. States are not touched by that; who makes the vector finds it in
//! [`Sentence::normalized`].

use std::borrow::Cow;
use std::path::{Component, Path, PathBuf};

use serde_json::{Map, Value};

use crate::Pool;

/// What is wrong with a folder's sentence-transformers files.
#[derive(Debug, thiserror::Error)]
#[error("{}: {problem}", path.display())]
pub struct SentenceError {
    /// The file.
    pub path: PathBuf,
    /// What is wrong, and what to do.
    pub problem: String,
}

/// How a folder's authors make a vector of a text.
#[derive(Debug, Clone, PartialEq)]
pub struct Sentence {
    /// Where the transformer lies: the folder itself, or one in it.
    pub model: PathBuf,
    /// How the states become one vector.
    pub pool: Pool,
    /// Whether the authors divide the vector by its length; not where theirs is not the way of pooling.
    pub normalized: bool,
    /// The longest row of tokens that the model is meant for.
    pub max_seq_length: Option<usize>,
    /// Put before every text.
    prompt: String,
    lower_case: bool,
}

/// Other names are of old versions, from the times when every family had its own.
const LENGTH_FILES: [&str; 7] = [
    "sentence_bert_config.json",
    "sentence_roberta_config.json",
    "sentence_distilbert_config.json",
    "sentence_camembert_config.json",
    "sentence_albert_config.json",
    "sentence_xlm-roberta_config.json",
    "sentence_xlnet_config.json",
];
const MODULES: &str = "modules.json";
const PROMPTS: &str = "config_sentence_transformers.json";
const POOLING: &str = "1_Pooling";

impl Sentence {
    /// Reads what there is in `dir`; without any of the files it is the mean over the model in `dir`. `chosen` takes the
    /// place of what the folder says about making a vector.
    ///
    /// # Errors
    /// A broken file, a way of pooling other than mean and `[CLS]`, a module after it that changes the vector's direction.
    pub fn read(dir: &Path, chosen: Option<Pool>) -> Result<Self, SentenceError> {
        let modules = modules(dir)?;
        let mut sentence = Self {
            model: model_folder(dir),
            pool: chosen.unwrap_or(Pool::Mean),
            normalized: chosen.is_none() && modules.iter().any(|module| module.kind == "Normalize"),
            max_seq_length: None,
            prompt: prompt(&dir.join(PROMPTS))?,
            lower_case: false,
        };
        if chosen.is_none() {
            sentence.pool = pool(dir, &modules)?;
        }
        let lengths = LENGTH_FILES.iter().map(|name| sentence.model.join(name));
        if let Some(path) = lengths.into_iter().find(|path| path.is_file()) {
            let config = object(&path)?;
            let length = config.get("max_seq_length").and_then(Value::as_u64);
            sentence.max_seq_length = length.and_then(|length| usize::try_from(length).ok());
            let lower_case = config.get("do_lower_case").and_then(Value::as_bool);
            sentence.lower_case = lower_case.unwrap_or(false);
        }
        Ok(sentence)
    }

    /// The text as the tokenizer gets it.
    pub fn prepared<'a>(&self, text: &'a str) -> Cow<'a, str> {
        let text = match self.prompt.is_empty() {
            true => Cow::Borrowed(text),
            false => Cow::Owned(format!("{}{text}", self.prompt)),
        };
        match self.lower_case {
            true => Cow::Owned(text.to_lowercase()),
            false => text,
        }
    }
}

/// One step on the way to a vector.
struct Module {
    /// The last part of its Python name.
    kind: String,
    /// Its folder, below the model's.
    path: PathBuf,
}

/// Where the transformer lies. A `modules.json` that cannot be read is left to [`Sentence::read`].
pub fn model_folder(dir: &Path) -> PathBuf {
    let transformer = modules(dir).ok().and_then(|modules| {
        let first = modules
            .into_iter()
            .find(|module| module.kind == "Transformer");
        first.map(|module| module.path)
    });
    match transformer {
        Some(path) if !path.as_os_str().is_empty() => dir.join(path),
        _ => dir.to_path_buf(),
    }
}

/// The files read here, of those that are there.
pub fn files(dir: &Path) -> Vec<PathBuf> {
    let model = model_folder(dir);
    let pooling = pooling_folder(&modules(dir).unwrap_or_default());
    let mut files = vec![
        dir.join(MODULES),
        dir.join(pooling).join("config.json"),
        dir.join(PROMPTS),
    ];
    files.extend(LENGTH_FILES.iter().map(|name| model.join(name)));
    files.retain(|file| file.is_file());
    files
}

fn pooling_folder(modules: &[Module]) -> PathBuf {
    let module = modules.iter().find(|module| module.kind == "Pooling");
    module.map_or(POOLING.into(), |module| module.path.clone())
}

/// The modules that `modules.json` lists; none where there is no such file.
fn modules(dir: &Path) -> Result<Vec<Module>, SentenceError> {
    let path = dir.join(MODULES);
    let Some(json) = json(&path)? else {
        return Ok(vec![]);
    };
    let refuse = |problem: String| SentenceError {
        path: path.clone(),
        problem,
    };
    let listed: Vec<Map<String, Value>> = serde_json::from_value(json).map_err(|error| {
        refuse(format!(
            "is no list of modules ({error}); download it again"
        ))
    })?;
    let text = |module: &Map<String, Value>, key: &str| {
        let value = module.get(key).and_then(Value::as_str);
        value.unwrap_or_default().to_owned()
    };
    let module = |module: &Map<String, Value>| {
        let (name, folder) = (text(module, "type"), PathBuf::from(text(module, "path")));
        let below = |part| matches!(part, Component::Normal(_));
        if !folder.components().all(below) {
            let folder = folder.display();
            return Err(refuse(format!(
                "the module path `{folder}` leads out of the folder"
            )));
        }
        let kind = name.rsplit('.').next().unwrap_or_default().to_owned();
        Ok(Module { kind, path: folder })
    };
    listed.iter().map(module).collect()
}

/// The way of pooling that `dir` asks for.
fn pool(dir: &Path, modules: &[Module]) -> Result<Pool, SentenceError> {
    const UNDERSTOOD: [&str; 3] = ["Transformer", "Pooling", "Normalize"];
    let strange = |module: &&Module| !UNDERSTOOD.contains(&module.kind.as_str());
    if let Some(module) = modules.iter().find(strange) {
        return Err(SentenceError {
            path: dir.join(MODULES),
            problem: format!(
                "makes its vectors with a `{}` module, which is not run here; with `pooling = \"mean\"` or \"cls\" the \
                 transformer's own states are used",
                module.kind
            ),
        });
    }
    let path = dir.join(pooling_folder(modules)).join("config.json");
    let modes = match path.is_file() {
        true => modes(&object(&path)?),
        false => vec![],
    };
    match modes
        .iter()
        .map(String::as_str)
        .collect::<Vec<_>>()
        .as_slice()
    {
        [] | ["mean"] => Ok(Pool::Mean),
        ["cls"] => Ok(Pool::Cls),
        others => Err(SentenceError {
            path,
            problem: format!(
                "pools by `{}`; only `mean` and `cls` are done here, and `pooling` of the configuration chooses one of them",
                others.join("` and `")
            ),
        }),
    }
}

/// The ways of pooling that are switched on, by their newer names.
fn modes(config: &Map<String, Value>) -> Vec<String> {
    const OLD: [(&str, &str); 6] = [
        ("pooling_mode_cls_token", "cls"),
        ("pooling_mode_max_tokens", "max"),
        ("pooling_mode_mean_tokens", "mean"),
        ("pooling_mode_mean_sqrt_len_tokens", "mean_sqrt_len_tokens"),
        ("pooling_mode_weightedmean_tokens", "weightedmean"),
        ("pooling_mode_lasttoken", "lasttoken"),
    ];
    match config.get("pooling_mode") {
        Some(Value::String(mode)) => vec![mode.clone()],
        Some(Value::Array(modes)) => {
            let modes = modes.iter().filter_map(Value::as_str);
            modes.map(str::to_owned).collect()
        }
        _ => {
            let on = |key: &str| config.get(key).and_then(Value::as_bool) == Some(true);
            let on = OLD.iter().filter(|(key, _)| on(key));
            on.map(|(_, mode)| (*mode).to_owned()).collect()
        }
    }
}

/// What the folder's authors put before every text, unless asked otherwise: mostly nothing.
fn prompt(path: &Path) -> Result<String, SentenceError> {
    if !path.is_file() {
        return Ok(String::new());
    }
    let config = object(path)?;
    let Some(name) = config.get("default_prompt_name").and_then(Value::as_str) else {
        return Ok(String::new());
    };
    let prompt = config.get("prompts").and_then(|prompts| prompts.get(name));
    match prompt.and_then(Value::as_str) {
        Some(prompt) => Ok(prompt.to_owned()),
        None => Err(SentenceError {
            path: path.to_owned(),
            problem: format!("names the default prompt `{name}`, which is not among its prompts"),
        }),
    }
}

fn object(path: &Path) -> Result<Map<String, Value>, SentenceError> {
    match json(path)? {
        Some(Value::Object(object)) => Ok(object),
        _ => Err(SentenceError {
            path: path.to_owned(),
            problem: "is not a JSON object; download it again".to_owned(),
        }),
    }
}

/// `None` where there is no file.
fn json(path: &Path) -> Result<Option<Value>, SentenceError> {
    let refuse = |problem: String| SentenceError {
        path: path.to_owned(),
        problem,
    };
    if !path.is_file() {
        return Ok(None);
    }
    let text = std::fs::read_to_string(path).map_err(|error| refuse(error.to_string()))?;
    let json = serde_json::from_str(&text);
    json.map(Some)
        .map_err(|error| refuse(format!("is not JSON ({error}); download it again")))
}

#[cfg(test)]
mod tests;
