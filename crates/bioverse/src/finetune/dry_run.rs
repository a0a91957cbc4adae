//! What stage 2 would do, for people to read before it does: what learns at which rate, where rows come from, how they are
//! laid out. Every row is checked as for training, and nothing is trained.

use bioverse_core::Registry;
use bioverse_nn::Tokenizer;

use super::setup::{Start, Trainable};
use super::sides::Sides;
use super::{check_measuring, rates, rules, sampling, training};
use crate::config::{Dtype, Resolved, RunConfig};
use crate::data::Screen;
use crate::device;
use crate::error::Result;
use crate::instructions::Rows;
use crate::train::Sequences;

/// Rows that are shown.
const SHOWN: usize = 3;

/// Prints the first three rows as they are laid out, loss tokens marked, after checking every row: refuses zero-loss rows,
/// answers cut off by `max_length`, trained pads, and chat templates that would teach something else.
pub fn dry_run(resolved: &Resolved, registry: &Registry) -> Result<String> {
    let trainable = Trainable::of(&resolved.config.finetune)?;
    check_measuring(&resolved.config)?;
    if let Some(missing) = Start::not_here(&resolved.config)? {
        return Ok(missing);
    }
    let start = Start::open(&resolved.config, registry)?;
    let config = &start.config;
    let device = device::parse(&config.run.device)?;
    let tokenizer = Tokenizer::load(&start.llm)?;
    let (model, _) = start.model(trainable, &device)?;
    let rules = rules(&start, &tokenizer, &model)?;
    let modalities = start.bundle.manifest.modalities.iter();
    let tables = modalities.map(|(name, entry)| (name.clone(), entry.table()));
    let mut screen = Screen::counting(config, registry, tables)?;
    let rows = Sides::read(config, &start.names(), &rules, &mut screen)?;
    rows.check_records(&start, registry, &device)?;
    let epoch = training::order(config, &rows.train, rules.max_length)?.first_epoch();
    let mut text = summary(config, &rows);
    text += &screen.told();
    text += "what learns:\n";
    let layers = model.llm.config().num_hidden_layers;
    text += &rates::table(&model, &config.finetune, layers);
    text += &drawn(config, &rows.train, &epoch);
    let decode = |ids: &[u32]| tokenizer.decode_with_special(ids).unwrap_or_default();
    for row in 0..rows.train.len().min(SHOWN) {
        text += &shown(&rows.train, row, decode)?;
    }
    if config.finetune.packing {
        text += &packed(&rows.train, &epoch, rules.max_length, decode)?;
    }
    Ok(text)
}

fn summary(config: &RunConfig, rows: &Sides) -> String {
    let finetune = &config.finetune;
    let mut text = format!(
        "stage 2 would train {} for {} steps of {} × {} {} on {} rows ({} held out), each of them checked: all have an \
         answer that ends in an end token, none is cut or trains padding\n",
        finetune.trainable.join(" and "),
        finetune.steps,
        finetune.accumulation.max(1),
        finetune.batch_size,
        if finetune.packing {
            "sequences"
        } else {
            "rows"
        },
        rows.train.len(),
        rows.held_out
            .as_ref()
            .map_or(0, Rows::len)
            .min(finetune.eval_rows),
    );
    if finetune.gradient_checkpointing {
        text += "each layer is computed twice (gradient checkpointing)\n";
    }
    if finetune.dtype == Dtype::Bf16 {
        text += "the frozen LLM computes in bf16; norms, softmax, loss and what learns in f32\n";
    }
    text
}

/// Where the rows of the first epoch come from, where that is a choice.
fn drawn(config: &RunConfig, rows: &Rows, epoch: &[Sequences]) -> String {
    let sources = config.data.sources();
    let files: Vec<String> = sources
        .iter()
        .map(|(data, _)| data.train.display().to_string())
        .collect();
    let said = told_apart(config, files.len());
    match said {
        false => String::new(),
        true => {
            let drawn = epoch.concat().concat();
            format!(
                "the first epoch draws\n{}",
                sampling::told(rows, &drawn, &files)
            )
        }
    }
}

fn told_apart(config: &RunConfig, sources: usize) -> bool {
    let finetune = &config.finetune;
    sources > 1 || !finetune.modality_weights.is_empty() || finetune.sampling != Default::default()
}

fn shown(rows: &Rows, row: usize, decode: impl Fn(&[u32]) -> String) -> Result<String> {
    let layout = rows.layout(&[row])?;
    let counts = Rows::counts(&layout);
    Ok(format!(
        "\n{}: {} prompt + {} soft + {} loss tokens\n{}\n",
        rows.name(row),
        counts.prompt,
        counts.soft,
        counts.loss,
        layout.describe(0, decode)
    ))
}

/// How full sequences are, and the one that the most rows share.
fn packed(
    rows: &Rows,
    epoch: &[Sequences],
    room: usize,
    decode: impl Fn(&[u32]) -> String,
) -> Result<String> {
    let sequences = epoch.concat();
    let tokens: usize = sequences
        .iter()
        .flatten()
        .map(|row| rows.lengths[*row])
        .sum();
    let count: usize = sequences.iter().map(Vec::len).sum();
    let Some(fullest) = sequences.iter().max_by_key(|sequence| sequence.len()) else {
        return Ok(String::new());
    };
    let layout = rows.sequences(std::slice::from_ref(fullest))?;
    let names: Vec<&str> = fullest.iter().map(|row| rows.name(*row)).collect();
    Ok(format!(
        "\npacked: {count} rows in {} sequences of at most {room} tokens, {:.1} % full\none of them, {} tokens, ┃ between \
         rows that do not see each other: {}\n{}\n",
        sequences.len(),
        100.0 * tokens as f64 / (sequences.len() * room) as f64,
        layout.width(),
        names.join(", "),
        layout.describe(0, decode)
    ))
}
