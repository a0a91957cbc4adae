//! Measures a finished model and its baselines, and words them for the card. It trains nothing.

use std::path::Path;

use bioverse_nn::{CausalLm, DecoderConfig};
use burn::module::Module;

use super::baseline::NGram;
use super::card::{Facts, Lines, Quality, card};
use super::causal::CausalTask;
use super::config::TrainSection;
use super::trainer::Task;
use crate::error::Result;

pub(super) const SHARED_LIMITS: &str = "It is a small model trained on a CPU within an hour, meant for demonstrations, tests and \
tutorials. Nothing it says is medical or chemical advice.";

const CAUSAL_SUMMARY: &str = "A small language model of biology: Llama architecture, byte-level BPE, with a chat \
template. It continues descriptions of genes, proteins, cells and molecules and answers in the form of short replies. \
Alone it cannot see a molecule; that is what soft tokens are for.";

const CAUSAL_LIMITS: &str = "A few million parameters have seen a few million tokens: the sentences are shaped like \
biology, and their content is often wrong. English only.";

/// The optimiser's part of a recipe.
pub(super) fn optimiser(train: &TrainSection) -> String {
    format!(
        "AdamW, {} tokens per step, peak learning rate {}, warm-up of {} steps, then a cosine to zero, weight decay {}, \
         gradients clipped at norm {}.",
        train.batch_tokens, train.lr, train.warmup_steps, train.weight_decay, train.max_grad_norm
    )
}

pub(super) fn command(file: &Path) -> String {
    format!("bioverse pretrain --config {}", file.display())
}

/// The card of a language model.
pub(super) fn causal(
    task: &CausalTask,
    model: &CausalLm,
    rows: &[usize],
    seconds: f64,
    file: &Path,
) -> Result<String> {
    let config = &task.config;
    let facts = Facts {
        summary: CAUSAL_SUMMARY.into(),
        architecture: causal_shape(model.config(), model.num_params(), config.train.max_length),
        rows,
        amounts: causal_amounts(task),
        recipe: format!(
            "Next-token prediction on packed windows; conversations through the chat template, all tokens learnt. {}",
            optimiser(&config.train)
        ),
        seconds,
        quality: causal_quality(task, model)?,
        baselines: "The baselines are a unigram model and an interpolated (Witten–Bell) trigram model of the same \
                    training tokens."
            .into(),
        limits: format!("{SHARED_LIMITS} {CAUSAL_LIMITS}"),
        command: command(file),
    };
    Ok(card(config, &facts))
}

fn causal_shape(shape: &DecoderConfig, parameters: usize, length: usize) -> Lines {
    let heads = (shape.num_attention_heads, shape.num_key_value_heads);
    vec![
        ("architecture", "LlamaForCausalLM".into()),
        ("parameters", parameters.to_string()),
        (
            "hidden size, layers",
            format!("{}, {}", shape.hidden_size, shape.num_hidden_layers),
        ),
        (
            "heads, key-value heads",
            format!("{}, {}", heads.0, heads.1),
        ),
        ("feed-forward size", shape.intermediate_size.to_string()),
        ("vocabulary", shape.vocab_size.to_string()),
        ("trained on windows of", format!("{length} tokens")),
        ("stored as", "float16 safetensors".into()),
    ]
}

fn causal_amounts(task: &CausalTask) -> String {
    let shown = |chat: Option<bool>| -> usize {
        let documents = task.train.iter();
        let documents = documents.filter(|document| chat.is_none_or(|chat| document.chat == chat));
        documents
            .map(|document| document.ids.len() * document.repeat)
            .sum()
    };
    let tokens: usize = task.train.iter().map(|document| document.ids.len()).sum();
    format!(
        "{} distinct documents ({tokens} tokens) to learn from and {} held out at random; {:.0} % of the tokens of an \
         epoch are conversations. Rows of the test split of `datasets/pocket` were left out of both.",
        task.train.len(),
        task.held_out.len(),
        100.0 * shown(Some(true)) as f64 / shown(None) as f64
    )
}

fn causal_quality(task: &CausalTask, model: &CausalLm) -> Result<Quality> {
    let train: Vec<Vec<u32>> = task
        .train
        .iter()
        .map(|document| document.ids.clone())
        .collect();
    let fit = |order| NGram::fit(&train, order, model.config().vocab_size);
    let (unigram, trigram) = (fit(1), fit(3));
    let kinds = [("texts", false), ("conversations", true)];
    let numbers = task.measure(model, false)?;
    let lines = kinds.iter().zip(numbers).map(|((name, chat), (_, value))| {
        let windows = task.held_out_windows(*chat, false);
        let counted = (unigram.perplexity(&windows), trigram.perplexity(&windows));
        let baseline = format!("{:.1} / {:.1}", counted.0, counted.1);
        (
            format!("perplexity per token, {name}"),
            format!("{value:.2}"),
            baseline,
        )
    });
    Ok(lines.collect())
}
