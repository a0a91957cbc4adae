//! Chat templates and the mask of what is learnt: conversations, with records and without, as the reference renders and
//! tokenises them. Knows no model.

use std::collections::BTreeMap;

use anyhow::{Context, Result};
use bioverse::session::prompt_of;
use bioverse_core::{BoxError, Example, Layout, Message, PadSide, Prompt, Record, Slot};
use bioverse_nn::Tokenizer;
use bioverse_nn::chat::ChatMessage;
use serde::Deserialize;

use super::check::Check;

#[derive(Deserialize)]
struct Case {
    case: String,
    messages: Vec<Message>,
    records: Vec<(String, Record)>,
    /// The whole conversation, placeholders written as the reference sees them.
    rendered: String,
    /// The same up to where the last answer would begin.
    question: String,
}

#[derive(Deserialize)]
struct Golden {
    cases: Vec<Case>,
    soft_len: BTreeMap<String, usize>,
    /// The token that stands for a soft one in the reference.
    bio: String,
    generation_blocks: bool,
}

pub fn run(check: &mut Check) -> Result<()> {
    let golden: Golden = serde_json::from_value(check.folder.json.clone())?;
    let tokenizer = Tokenizer::load(&check.folder.path)?;
    for case in &golden.cases {
        one(check, &golden, &tokenizer, case).with_context(|| format!("case `{}`", case.case))?;
    }
    Ok(())
}

fn one(check: &mut Check, golden: &Golden, tokenizer: &Tokenizer, case: &Case) -> Result<()> {
    let template = tokenizer.chat_template().context("no chat template")?;
    let messages: Vec<ChatMessage> = case
        .messages
        .iter()
        .map(|message| ChatMessage::new(&message.role, &message.content))
        .collect();
    let seen = |text: String| {
        let each = golden.soft_len.iter();
        each.fold(text, |text, (name, len)| {
            text.replace(&format!("<{name}>"), &golden.bio.repeat(*len))
        })
    };
    let what = &case.case;
    check.equal(
        format!("{what}, rendered"),
        seen(template.render(&messages, false)?),
        case.rendered.clone(),
    );
    let asked = messages
        .iter()
        .rposition(|message| message.role != "assistant")
        .context("no question")?;
    let question = template.render(&messages[..=asked], true)?;
    check.equal(
        format!("{what}, question"),
        seen(question),
        case.question.clone(),
    );

    let example = Example {
        messages: case.messages.clone(),
        records: case.records.clone(),
        group: None,
    };
    let names: Vec<&str> = golden.soft_len.keys().map(String::as_str).collect();
    let key = what.replace(' ', "_");
    let bio = tokenizer
        .id(&golden.bio)
        .context("the reference's soft token is unknown")?;
    let layout = layout(
        golden,
        tokenizer,
        &prompt_of(tokenizer, &example, &names, true)?,
    )?;
    let (ids, mask) = flat(&layout, bio);
    check.ints(&format!("{key}.ids"), &ids);
    check.ints(&format!("{key}.mask"), &mask);
    let soft = layout.rows[0].slots.iter().zip(&layout.rows[0].loss);
    let learnt = soft.filter(|(slot, loss)| matches!(slot, Slot::Soft { .. }) && **loss);
    check.equal(
        format!("{what}, soft tokens that are learnt"),
        learnt.count(),
        0,
    );
    let layout = self::layout(
        golden,
        tokenizer,
        &prompt_of(tokenizer, &example, &names, false)?,
    )?;
    let (ids, mask) = flat(&layout, bio);
    check.ints(&format!("{key}.question_ids"), &ids);
    check.equal(
        format!("{what}, targets in a question"),
        mask.iter().sum::<i64>(),
        0,
    );
    if golden.generation_blocks {
        against_blocks(check, tokenizer, bio, &key)?;
    }
    Ok(())
}

/// The mask differs from the reference's blocks in few ways only: the end marker behind a block is learnt, white space behind
/// an end marker is not, nor are soft tokens; and where several tokens make the last character of a block, all are learnt.
fn against_blocks(check: &mut Check, tokenizer: &Tokenizer, bio: u32, key: &str) -> Result<()> {
    let (_, ids) = check.input_ints(&format!("{key}.ids"))?;
    let (_, mask) = check.input_ints(&format!("{key}.mask"))?;
    let (_, blocks) = check.input_ints(&format!("{key}.reference_mask"))?;
    let eos = tokenizer.eos().context("no eos")?;
    for (at, (ours, theirs)) in mask.iter().zip(blocks).enumerate() {
        let id = ids[at] as u32;
        let good = match (ours, theirs) {
            (1, 0) if id == eos => blocks[at - 1] == 1 || mask[at - 1] == 1,
            (1, 0) => tokenizer
                .decode(&[id])?
                .contains(char::REPLACEMENT_CHARACTER),
            (0, 1) if id == bio => true,
            (0, 1) => ids[at - 1] as u32 == eos && tokenizer.decode(&[id])?.trim().is_empty(),
            _ => true,
        };
        check.equal(format!("{key}, token {at} against the block"), good, true);
    }
    Ok(())
}

fn layout(golden: &Golden, tokenizer: &Tokenizer, prompt: &Prompt) -> Result<Layout> {
    let soft_len = |name: &str| {
        let len = golden.soft_len.get(name).copied();
        len.ok_or_else(|| bioverse_core::Error::Unknown(name.to_owned()))
    };
    let tokenize = |texts: &[&str]| tokenizer.encode_run(texts).map_err(BoxError::from);
    Ok(Layout::of_runs(
        std::slice::from_ref(prompt),
        0,
        PadSide::Right,
        tokenize,
        soft_len,
    )?)
}

/// Ids with the reference's token where soft ones stand, and what is learnt.
fn flat(layout: &Layout, bio: u32) -> (Vec<i64>, Vec<i64>) {
    let row = &layout.rows[0];
    let id = |slot: &Slot| match slot {
        Slot::Token(id) => i64::from(*id),
        Slot::Soft { .. } => i64::from(bio),
    };
    let mask = row.loss.iter().map(|loss| i64::from(*loss));
    (row.slots.iter().map(id).collect(), mask.collect())
}
