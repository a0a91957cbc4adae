//! The files of a tokenizer folder, in every form they are found in on the Hub. Nothing here encodes text.

use std::collections::BTreeMap;
use std::path::Path;

use serde_json::Value;
use tokenizers::decoders::byte_level::ByteLevel;
use tokenizers::models::bpe::BPE;
use tokenizers::processors::roberta::RobertaProcessing;
use tokenizers::{AddedToken, Tokenizer};

use crate::error::{Error, Result};

/// What stands beside the vocabulary.
#[derive(Debug, Default)]
pub(super) struct Settings {
    /// `bos_token` → `<s>`, and so on for every single-string `*_token`.
    pub special: BTreeMap<String, String>,
    /// Jinja source.
    pub chat_template: Option<String>,
    /// RoBERTa's `add_prefix_space`.
    pub add_prefix_space: bool,
}

impl Settings {
    /// Reads what there is; a missing file is no error, a broken one is.
    pub fn read(dir: &Path) -> Result<Self> {
        let config = read_json(&dir.join("tokenizer_config.json"))?;
        let map = read_json(&dir.join("special_tokens_map.json"))?;
        let mut special = BTreeMap::new();
        // The config is the newer file of the two, so it has the last word.
        for (name, value) in map.iter().chain(&config) {
            if let (true, Some(token)) = (name.ends_with("_token"), token_text(value)) {
                special.insert(name.clone(), token);
            }
        }
        let jinja = dir.join("chat_template.jinja");
        let chat_template = if jinja.exists() {
            Some(std::fs::read_to_string(&jinja).map_err(|error| Error::io(&jinja, error))?)
        } else {
            config.get("chat_template").and_then(default_template)
        };
        let add_prefix_space = config.get("add_prefix_space").and_then(Value::as_bool);
        Ok(Self {
            special,
            chat_template,
            add_prefix_space: add_prefix_space.unwrap_or(false),
        })
    }
}

/// A special token is written as a string or as an object with its text in `content`.
fn token_text(value: &Value) -> Option<String> {
    value
        .as_str()
        .or_else(|| value.get("content").and_then(Value::as_str))
        .map(str::to_string)
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
fn read_json(path: &Path) -> Result<serde_json::Map<String, Value>> {
    if !path.exists() {
        return Ok(serde_json::Map::new());
    }
    let text = std::fs::read_to_string(path).map_err(|error| Error::io(path, error))?;
    serde_json::from_str(&text).map_err(|error| {
        Error::format(
            path,
            format!("is not a JSON object ({error}); download the file again"),
        )
    })
}

/// The tokenizer itself: `tokenizer.json`, else byte-level BPE from `vocab.json` and `merges.txt`.
pub(super) fn tokenizer(dir: &Path, settings: &mut Settings) -> Result<Tokenizer> {
    let path = dir.join("tokenizer.json");
    if path.exists() {
        return Tokenizer::from_file(&path).map_err(|error| {
            Error::format(
                &path,
                format!("is not a tokenizer ({error}); download the file again"),
            )
        });
    }
    if dir.join("vocab.json").exists() && dir.join("merges.txt").exists() {
        return roberta(dir, settings);
    }
    Err(Error::format(
        dir,
        "there is no tokenizer.json (nor vocab.json with merges.txt) in this folder; copy it from the model's page, or \
         write it with `AutoTokenizer.from_pretrained(…).save_pretrained(…)`",
    ))
}

/// The special tokens of RoBERTa where the folder does not name others.
const ROBERTA_SPECIAL: [(&str, &str); 7] = [
    ("bos_token", "<s>"),
    ("eos_token", "</s>"),
    ("sep_token", "</s>"),
    ("cls_token", "<s>"),
    ("unk_token", "<unk>"),
    ("pad_token", "<pad>"),
    ("mask_token", "<mask>"),
];

/// RoBERTa's byte-level BPE, as `transformers` builds it from the two files.
fn roberta(dir: &Path, settings: &mut Settings) -> Result<Tokenizer> {
    for (name, token) in ROBERTA_SPECIAL {
        settings
            .special
            .entry(name.into())
            .or_insert_with(|| token.into());
    }
    let (vocab, merges) = (dir.join("vocab.json"), dir.join("merges.txt"));
    let broken = |error: tokenizers::Error| {
        Error::format(
            &vocab,
            format!("together with merges.txt is no byte-level BPE: {error}"),
        )
    };
    let model = BPE::from_file(&vocab.to_string_lossy(), &merges.to_string_lossy())
        .build()
        .map_err(broken)?;
    let mut tokenizer = Tokenizer::new(model);
    tokenizer
        .with_pre_tokenizer(Some(ByteLevel::new(settings.add_prefix_space, true, true)))
        .with_decoder(Some(ByteLevel::default()));
    add_listed_tokens(&mut tokenizer, &dir.join("added_tokens.json"))?;
    let special = ROBERTA_SPECIAL.iter().filter_map(|(name, _)| {
        let token = AddedToken::from(settings.special.get(*name)?.clone(), true);
        Some(token.lstrip(*name == "mask_token"))
    });
    tokenizer.add_special_tokens(special).map_err(broken)?;
    let end = |name: &str| {
        let token = settings.special.get(name).cloned().unwrap_or_default();
        let id = tokenizer.token_to_id(&token);
        id.map(|id| (token.clone(), id)).ok_or_else(|| {
            Error::format(
                &vocab,
                format!("has no `{token}`, which should be the {name}"),
            )
        })
    };
    let processing = RobertaProcessing::new(end("sep_token")?, end("cls_token")?)
        .trim_offsets(true)
        .add_prefix_space(settings.add_prefix_space);
    tokenizer.with_post_processor(Some(processing));
    Ok(tokenizer)
}

/// Tokens added after the vocabulary was made, in the order of their ids: the library numbers them itself.
fn add_listed_tokens(tokenizer: &mut Tokenizer, path: &Path) -> Result<()> {
    let mut listed: Vec<(u64, String)> = read_json(path)?
        .into_iter()
        .filter_map(|(token, id)| Some((id.as_u64()?, token)))
        .collect();
    listed.sort();
    for (id, token) in listed {
        tokenizer
            .add_tokens([AddedToken::from(token.clone(), false)])
            .map_err(|error| Error::format(path, error.to_string()))?;
        let got = tokenizer.token_to_id(&token);
        if got.map(u64::from) != Some(id) {
            return Err(Error::format(
                path,
                format!(
                    "gives `{token}` the id {id}, but after this vocabulary it would be {got:?}; the files do not belong together"
                ),
            ));
        }
    }
    Ok(())
}
