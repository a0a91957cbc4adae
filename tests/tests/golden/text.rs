//! Tokenizers and chat templates of a folder.

use anyhow::{Context, Result};
use bioverse_nn::Tokenizer;
use bioverse_nn::chat::{ChatMessage, ChatTemplate};
use serde::Deserialize;

use super::check::Check;

#[derive(Deserialize)]
struct Tokenized {
    text: String,
    ids: Vec<u32>,
    ids_no_special: Vec<u32>,
    tokens_no_special: Vec<String>,
    decoded_skip_special: String,
    /// What the Python tokenizer gives, where the listed ids come from its fast equivalent.
    #[serde(rename = "ids_slow_EsmTokenizer")]
    ids_slow: Option<Vec<u32>>,
}

#[derive(Deserialize)]
struct Chat {
    case: String,
    messages: Vec<ChatMessage>,
    add_generation_prompt: bool,
    kwargs: serde_json::Map<String, serde_json::Value>,
    rendered: String,
    ids: Vec<u32>,
}

/// Everything golden.json says about text. The copies of a model (sharded, bf16) say nothing.
pub fn run(check: &mut Check) -> Result<()> {
    let folder = check.folder;
    let tokenizer = Tokenizer::load(&folder.path)?;
    tokenization(check, &tokenizer, "")?;
    chats(check, &tokenizer)?;
    special_ids(check, &tokenizer);
    prompts(check, &tokenizer)?;
    pairs(check, &tokenizer)?;
    // The vocabulary files alone have to give the same ids: many folders have nothing else.
    for files in [&["vocab.json", "merges.txt"][..], &["vocab.txt"]] {
        if files.iter().all(|file| folder.path.join(file).exists()) {
            let copy = folder.copy_with(("tokenizer.json", ""))?;
            let label = format!("{}: ", files.join(" + "));
            tokenization(check, &Tokenizer::load(copy.path())?, &label)?;
        }
    }
    Ok(())
}

fn list<T: for<'de> Deserialize<'de>>(check: &Check, key: &str) -> Result<Vec<T>> {
    match check.folder.json.get(key) {
        None => Ok(vec![]),
        Some(json) => {
            serde_json::from_value(json.clone()).with_context(|| format!("golden.json, `{key}`"))
        }
    }
}

fn tokenization(check: &mut Check, tokenizer: &Tokenizer, label: &str) -> Result<()> {
    for case in list::<Tokenized>(check, "tokenization")? {
        let what = format!("{label}{:?}", case.text);
        let ids = tokenizer.encode(&case.text)?;
        check.equal(
            format!("{what}, tokens"),
            tokenizer.tokens(&ids),
            case.tokens_no_special,
        );
        check.equal(format!("{what}, ids"), ids, case.ids_no_special);
        check.equal(
            format!("{what}, special"),
            tokenizer.encode_with_special(&case.text)?,
            case.ids.clone(),
        );
        if let Some(slow) = case.ids_slow {
            check.equal(format!("{what}, slow"), slow, case.ids.clone());
        }
        check.equal(
            format!("{what}, decoded"),
            tokenizer.decode(&case.ids)?,
            case.decoded_skip_special,
        );
    }
    Ok(())
}

fn chats(check: &mut Check, tokenizer: &Tokenizer) -> Result<()> {
    for case in list::<Chat>(check, "chat")? {
        let what = format!(
            "chat `{}`, generation prompt {}",
            case.case, case.add_generation_prompt
        );
        let template = tokenizer
            .chat_template()
            .context("the tokenizer has no chat template")?;
        let text =
            template.render_with(&case.messages, case.add_generation_prompt, &case.kwargs)?;
        check.equal(format!("{what}, ids"), tokenizer.encode(&text)?, case.ids);
        check.equal(&what, &text, &case.rendered);
        if !case.add_generation_prompt && case.kwargs.is_empty() {
            spans(check, &what, template, &case.messages, &case.rendered);
        }
    }
    Ok(())
}

/// The pieces must add up to the whole, and every answer must be flagged with its end marker. A template that drops
/// words of an earlier answer cannot be cut this way, and has to say so.
fn spans(
    check: &mut Check,
    what: &str,
    template: &ChatTemplate,
    messages: &[ChatMessage],
    rendered: &str,
) {
    let answers: Vec<&str> = messages
        .iter()
        .filter(|message| message.role == "assistant")
        .map(|message| message.content.trim())
        .collect();
    let kept = answers.iter().all(|answer| rendered.contains(answer));
    match template.render_spans(messages) {
        Err(error) => check.equal(format!("{what}, spans refused ({error})"), kept, false),
        Ok(spans) => {
            let whole: String = spans.iter().map(|(text, _)| text.as_str()).collect();
            check.equal(format!("{what}, spans joined"), whole.as_str(), rendered);
            let flagged: Vec<&String> = spans
                .iter()
                .filter(|(_, loss)| *loss)
                .map(|(text, _)| text)
                .collect();
            check.equal(
                format!("{what}, number of answers"),
                flagged.len(),
                answers.len(),
            );
            for (text, answer) in flagged.iter().zip(&answers) {
                let good = text.starts_with(answer)
                    && text.len() > answer.len()
                    && text.trim_end() == text.as_str();
                check.equal(
                    format!("{what}, answer {text:?} is the content and its end marker"),
                    good,
                    true,
                );
            }
        }
    }
}

fn special_ids(check: &mut Check, tokenizer: &Tokenizer) {
    let want = |name: &str| {
        check.folder.json["special_ids"][name]
            .as_u64()
            .map(|id| id as u32)
    };
    let facts = [
        ("eos", tokenizer.eos(), want("eos")),
        ("pad", tokenizer.pad(), want("pad")),
        ("bio", tokenizer.id("[BIO]"), want("bio")),
    ];
    if check.folder.json.get("special_ids").is_none() {
        return;
    }
    for (name, got, want) in facts {
        check.equal(format!("id of {name}"), got, want);
    }
    if let Some(size) = check.folder.json["tokenizer_size"].as_u64() {
        check.equal("size of the tokenizer", tokenizer.vocab_size() as u64, size);
    }
}

/// The texts the model inputs were made from must tokenise to exactly those inputs.
fn prompts(check: &mut Check, tokenizer: &Tokenizer) -> Result<()> {
    for key in ["prompts", "smiles", "texts", "sequences"] {
        let texts = list::<String>(check, key)?;
        if texts.is_empty() {
            continue;
        }
        let (shape, ids) = check.input_ints("input_ids")?;
        let (_, mask) = check.input_ints("attention_mask")?;
        check.equal("number of texts", texts.len(), shape[0]);
        for ((text, ids), mask) in texts
            .iter()
            .zip(ids.chunks(shape[1]))
            .zip(mask.chunks(shape[1]))
        {
            let real = ids
                .iter()
                .zip(mask)
                .filter(|(_, real)| **real != 0)
                .map(|(id, _)| *id as u32);
            check.equal(
                format!("ids of {text:?}"),
                tokenizer.encode_with_special(text)?,
                real.collect(),
            );
        }
    }
    Ok(())
}

/// Where there are pairs, row n is made of the texts n and n + 1.
fn pairs(check: &mut Check, tokenizer: &Tokenizer) -> Result<()> {
    if !check.has("pair.token_type_ids") {
        return Ok(());
    }
    let texts = list::<String>(check, "texts")?;
    let (shape, ids) = check.input_ints("pair.input_ids")?;
    let (_, mask) = check.input_ints("pair.attention_mask")?;
    let (_, types) = check.input_ints("pair.token_type_ids")?;
    for (n, pair) in texts.windows(2).take(shape[0]).enumerate() {
        let row = n * shape[1]..(n + 1) * shape[1];
        let real = |values: &[i64]| {
            let values = values[row.clone()].iter().zip(&mask[row.clone()]);
            let real = values.filter(|(_, real)| **real != 0);
            real.map(|(value, _)| *value as u32).collect::<Vec<_>>()
        };
        let got = tokenizer.encode_pair(&pair[0], &pair[1])?;
        check.equal(format!("ids of {pair:?}"), got.ids, real(ids));
        check.equal(
            format!("types of {pair:?}"),
            got.token_type_ids,
            real(types),
        );
    }
    Ok(())
}
