//! What stands beside a vocabulary: `tokenizer_config.json`, `special_tokens_map.json`, `added_tokens.json` and the chat
//! template, in every form in which they are found on the Hub. Which tokenizer they belong to is decided elsewhere.

use std::collections::BTreeMap;
use std::path::Path;

use serde_json::{Map, Value};
use tokenizers::AddedToken;

use crate::error::{Error, Result};

/// A tokenizer's settings; a missing file leaves the defaults of `transformers`.
#[derive(Debug, Default)]
pub(super) struct Settings {
    /// `bos_token` → `<s>`, and so on for every single `*_token`.
    pub special: BTreeMap<String, String>,
    /// Jinja source.
    pub chat_template: Option<String>,
    /// The class that wrote the folder, without `Fast`.
    pub class: Option<String>,
    /// `model_max_length`, unless it is one of the huge numbers that mean "no limit".
    pub max_length: Option<usize>,
    /// RoBERTa's `add_prefix_space`.
    pub add_prefix_space: bool,
    /// BERT's `do_lower_case`; `None` where nobody says.
    pub lower_case: Option<bool>,
    /// BERT's `strip_accents`; `None` = as `lower_case`.
    pub strip_accents: Option<bool>,
    /// BERT's `tokenize_chinese_chars`: every ideograph is a word of its own.
    pub chinese_chars: bool,
    /// Tokens beside the vocabulary, by id.
    pub listed: BTreeMap<u64, AddedToken>,
    /// Every token that is written as an object, and the additional special ones, by content.
    flagged: BTreeMap<String, AddedToken>,
}

/// Above this a `model_max_length` is a way of writing "none" (`transformers` writes 1e30).
const NO_LIMIT: f64 = 1e9;

impl Settings {
    /// Reads what there is; a missing file is no error, a broken one is.
    pub fn read(dir: &Path) -> Result<Self> {
        let config = read_json(&dir.join("tokenizer_config.json"))?;
        let map = read_json(&dir.join("special_tokens_map.json"))?;
        let flag = |name: &str| config.get(name).and_then(Value::as_bool);
        let mut settings = Self {
            chat_template: chat_template(dir, &config)?,
            class: class(dir, &config)?,
            max_length: max_length(&config),
            add_prefix_space: flag("add_prefix_space").unwrap_or(false),
            lower_case: flag("do_lower_case"),
            strip_accents: flag("strip_accents"),
            chinese_chars: flag("tokenize_chinese_chars").unwrap_or(true),
            ..Self::default()
        };
        // The config is the newer file of the two, so it has the last word.
        for (name, value) in map.iter().chain(&config) {
            settings.note(name, value);
        }
        settings.list(&dir.join("added_tokens.json"), &config)?;
        Ok(settings)
    }

    /// Takes a value that names special tokens. A name without letters names none: some folders write `""` for a token that
    /// their model does not have.
    fn note(&mut self, name: &str, value: &Value) {
        if name.ends_with("_token") {
            if let Some(token) = added_token(value, true).filter(|token| !token.content.is_empty())
            {
                self.special.insert(name.into(), token.content.clone());
                self.flag(value, token);
            }
        } else if matches!(name, "additional_special_tokens" | "extra_special_tokens") {
            // A list, or since version 4.46 an object of names and tokens.
            let values: Vec<&Value> = match value {
                Value::Array(list) => list.iter().collect(),
                Value::Object(named) => named.values().collect(),
                _ => vec![],
            };
            for token in values.into_iter().filter_map(|v| added_token(v, true)) {
                self.flagged.entry(token.content.clone()).or_insert(token);
            }
        }
    }

    /// Remembers how an object says that its token is found in text.
    fn flag(&mut self, value: &Value, token: AddedToken) {
        if value.is_object() {
            self.flagged.insert(token.content.clone(), token);
        }
    }

    /// Tokens with their ids: `added_tokens.json`, and `added_tokens_decoder`, which knows more of each.
    fn list(&mut self, path: &Path, config: &Map<String, Value>) -> Result<()> {
        for (token, id) in read_json(path)? {
            if let Some(id) = id.as_u64().filter(|_| !token.is_empty()) {
                self.listed.insert(id, AddedToken::from(token, false));
            }
        }
        let decoder = config
            .get("added_tokens_decoder")
            .and_then(Value::as_object);
        for (id, value) in decoder.into_iter().flatten() {
            let special = value.get("special").and_then(Value::as_bool);
            let token = added_token(value, special.unwrap_or(false));
            if let (Ok(id), Some(token)) = (id.parse(), token) {
                self.flag(value, token.clone());
                self.listed.insert(id, token);
            }
        }
        Ok(())
    }

    /// Gives a special token its usual name where the folder gives none.
    pub fn default_special(&mut self, defaults: &[(&str, &str)]) {
        for (name, token) in defaults {
            let entry = self.special.entry((*name).into());
            entry.or_insert_with(|| (*token).into());
        }
    }

    /// The special tokens, each with what the folder says about finding it in text. `lstrip` names the one that takes the
    /// spaces before it where the folder does not say.
    pub fn special_tokens(&self, lstrip: &str) -> Vec<AddedToken> {
        let named = self.special.iter().map(|(name, content)| {
            let plain = || AddedToken::from(content.clone(), true).lstrip(name == lstrip);
            let token = self.flagged.get(content).cloned();
            token.unwrap_or_else(plain).special(true)
        });
        let more = self.flagged.values().filter(|token| token.special);
        named.chain(more.cloned()).collect()
    }
}

/// A token is written as a string or as an object with its text in `content`.
fn added_token(value: &Value, special: bool) -> Option<AddedToken> {
    let flag = |name: &str| value.get(name).and_then(Value::as_bool).unwrap_or(false);
    let content = value.as_str();
    let content = content.or_else(|| value.get("content").and_then(Value::as_str))?;
    let token = AddedToken::from(content.to_owned(), special)
        .lstrip(flag("lstrip"))
        .rstrip(flag("rstrip"))
        .single_word(flag("single_word"));
    Some(match value.get("normalized").and_then(Value::as_bool) {
        Some(normalized) => token.normalized(normalized),
        None => token,
    })
}

/// The tokenizer's class, from its own file or, in older folders, from the model's.
fn class(dir: &Path, config: &Map<String, Value>) -> Result<Option<String>> {
    let named = |json: &Map<String, Value>| {
        let class = json.get("tokenizer_class").and_then(Value::as_str)?;
        Some(class.strip_suffix("Fast").unwrap_or(class).to_owned())
    };
    match named(config) {
        Some(class) => Ok(Some(class)),
        None => Ok(named(&read_json(&dir.join("config.json"))?)),
    }
}

fn max_length(config: &Map<String, Value>) -> Option<usize> {
    let value = config.get("model_max_length").or(config.get("max_len"))?;
    let length = value.as_f64()?;
    (1.0..NO_LIMIT).contains(&length).then_some(length as usize)
}

fn chat_template(dir: &Path, config: &Map<String, Value>) -> Result<Option<String>> {
    let jinja = dir.join("chat_template.jinja");
    if jinja.exists() {
        let text = std::fs::read_to_string(&jinja).map_err(|error| Error::io(&jinja, error))?;
        return Ok(Some(text));
    }
    Ok(config.get("chat_template").and_then(default_template))
}

/// `chat_template` is a string, or a list of named ones of which `default` is the plain conversation.
fn default_template(value: &Value) -> Option<String> {
    if let Some(source) = value.as_str() {
        return Some(source.to_string());
    }
    let named = value.as_array()?;
    let default = named
        .iter()
        .find(|entry| entry.get("name").and_then(Value::as_str) == Some("default"));
    default
        .or_else(|| named.first())
        .and_then(|entry| entry.get("template"))
        .and_then(Value::as_str)
        .map(str::to_string)
}

/// A JSON object, or an empty one where there is no file.
pub(super) fn read_json(path: &Path) -> Result<Map<String, Value>> {
    if !path.exists() {
        return Ok(Map::new());
    }
    let text = std::fs::read_to_string(path).map_err(|error| Error::io(path, error))?;
    serde_json::from_str(&text).map_err(|error| {
        Error::format(
            path,
            format!("is not a JSON object ({error}); download the file again"),
        )
    })
}
