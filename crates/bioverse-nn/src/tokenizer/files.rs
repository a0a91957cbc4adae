//! Which files of a folder make its tokenizer, and the one that is made of `vocab.json` and `merges.txt`. Nothing here
//! encodes text.

use std::path::{Path, PathBuf};

use tokenizers::decoders::byte_level::ByteLevel;
use tokenizers::models::bpe::BPE;
use tokenizers::processors::roberta::RobertaProcessing;
use tokenizers::{AddedToken, Tokenizer};

use super::settings::Settings;
use super::vocabulary;
use crate::error::{Error, Result};

/// What stands beside a plain vocabulary and changes the ids that it gives.
const BESIDE: [&str; 3] = [
    "tokenizer_config.json",
    "special_tokens_map.json",
    "added_tokens.json",
];

/// Where the vocabulary is.
enum Source {
    /// Everything in one file.
    Complete(PathBuf),
    /// Byte-level BPE as RoBERTa stores it.
    Merges { vocab: PathBuf, merges: PathBuf },
    /// One token a line.
    Lines(PathBuf),
}

fn source(dir: &Path) -> Option<Source> {
    let file = |name: &str| Some(dir.join(name)).filter(|path| path.is_file());
    if let Some(path) = file("tokenizer.json") {
        return Some(Source::Complete(path));
    }
    if let (Some(vocab), Some(merges)) = (file("vocab.json"), file("merges.txt")) {
        return Some(Source::Merges { vocab, merges });
    }
    file("vocab.txt").map(Source::Lines)
}

/// The files that decide which ids a text gets, of those that are there.
pub(super) fn found(dir: &Path) -> Vec<PathBuf> {
    let mut files = match source(dir) {
        Some(Source::Complete(path)) => return vec![path],
        Some(Source::Merges { vocab, merges }) => vec![vocab, merges],
        Some(Source::Lines(path)) => vec![path],
        None => vec![],
    };
    let beside = BESIDE.iter().map(|name| dir.join(name));
    files.extend(beside.filter(|path| path.is_file()));
    files
}

/// The tokenizer itself: `tokenizer.json`, else what the vocabulary files give.
pub(super) fn tokenizer(dir: &Path, settings: &mut Settings) -> Result<Tokenizer> {
    match source(dir) {
        Some(Source::Complete(path)) => Tokenizer::from_file(&path).map_err(|error| {
            Error::format(
                &path,
                format!("is not a tokenizer ({error}); download the file again"),
            )
        }),
        Some(Source::Merges { vocab, merges }) => roberta(&vocab, &merges, settings),
        Some(Source::Lines(path)) => vocabulary::tokenizer(&path, settings),
        None => Err(Error::format(
            dir,
            "there is no tokenizer.json (nor vocab.json with merges.txt, nor vocab.txt) in this folder; copy it from the \
             model's page, or write it with `AutoTokenizer.from_pretrained(…).save_pretrained(…)`",
        )),
    }
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
fn roberta(vocab: &Path, merges: &Path, settings: &mut Settings) -> Result<Tokenizer> {
    settings.default_special(&ROBERTA_SPECIAL);
    let model = BPE::from_file(&vocab.to_string_lossy(), &merges.to_string_lossy())
        .build()
        .map_err(|error| {
            let problem = format!("together with merges.txt is no byte-level BPE: {error}");
            Error::format(vocab, problem)
        })?;
    let mut tokenizer = Tokenizer::new(model);
    tokenizer
        .with_pre_tokenizer(Some(ByteLevel::new(settings.add_prefix_space, true, true)))
        .with_decoder(Some(ByteLevel::default()));
    add_tokens(&mut tokenizer, vocab, settings, "mask_token")?;
    let processing = RobertaProcessing::new(
        end(&tokenizer, vocab, settings, "sep_token")?,
        end(&tokenizer, vocab, settings, "cls_token")?,
    )
    .trim_offsets(true)
    .add_prefix_space(settings.add_prefix_space);
    tokenizer.with_post_processor(Some(processing));
    Ok(tokenizer)
}

/// A special token that has to be in the vocabulary, with its id.
pub(super) fn end(
    tokenizer: &Tokenizer,
    vocab: &Path,
    settings: &Settings,
    name: &str,
) -> Result<(String, u32)> {
    let token = settings.special.get(name).cloned().unwrap_or_default();
    match tokenizer.token_to_id(&token) {
        Some(id) => Ok((token, id)),
        None => Err(Error::format(
            vocab,
            format!(
                "has no `{token}`, which should be the {name}; take the tokenizer files from the same place as the model"
            ),
        )),
    }
}

/// Adds the tokens that stand beside the vocabulary, then marks the special ones. A special token that neither knows is
/// left out: it would get an id for which the model has no row.
pub(super) fn add_tokens(
    tokenizer: &mut Tokenizer,
    vocab: &Path,
    settings: &Settings,
    lstrip: &str,
) -> Result<()> {
    // In the order of their ids: the library numbers them itself.
    for (id, token) in &settings.listed {
        add(tokenizer, vocab, token.clone())?;
        let got = tokenizer.token_to_id(&token.content);
        if got.map(u64::from) != Some(*id) {
            let got = got.map_or("none".to_owned(), |got| got.to_string());
            return Err(Error::format(
                vocab,
                format!(
                    "gives `{}` the id {got}, but the list of added tokens beside it says {id}; the files do not belong \
                     together",
                    token.content
                ),
            ));
        }
    }
    for token in settings.special_tokens(lstrip) {
        if tokenizer.token_to_id(&token.content).is_some() {
            add(tokenizer, vocab, token)?;
        }
    }
    Ok(())
}

fn add(tokenizer: &mut Tokenizer, vocab: &Path, token: AddedToken) -> Result<()> {
    let content = token.content.clone();
    match tokenizer.add_tokens([token]) {
        Ok(_) => Ok(()),
        Err(error) => Err(Error::format(
            vocab,
            format!("`{content}` cannot be added to it: {error}"),
        )),
    }
}
