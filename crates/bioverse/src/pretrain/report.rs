//! Measures a finished model and its baselines, and words them for the card. It trains nothing.

use std::path::Path;

use bioverse_nn::CausalLm;
use burn::module::Module;

use super::baseline::NGram;
use super::card::{Facts, card};
use super::causal::CausalTask;
use super::trainer::Task;
use crate::error::Result;

const SHARED_LIMITS: &str = "It is a small model trained on a CPU in about half an hour, meant for demonstrations, tests and tutorials. \
Nothing it says is medical or chemical advice.";

fn command(file: &Path) -> String {
    format!("bioverse pretrain --config {}", file.display())
}

/// The card of a molecule encoder.
#[cfg(feature = "molecule")]
pub(super) fn masked(
    task: &super::masked::MaskedTask,
    model: &super::masked::Masked,
    rows: &[usize],
    seconds: f64,
    file: &Path,
) -> Result<String> {
    use super::baseline::Neighbours;

    let numbers = task.measure(model, false)?;
    let rows_of_ids = task.train.iter().map(|molecule| molecule.ids.as_slice());
    let gaps = task.held_out_gaps();
    let (frequency, neighbours) = Neighbours::fit(rows_of_ids).accuracy(&gaps);
    let percent = |share: f64| format!("{:.1} %", 100.0 * share);
    let config = &task.config;
    let shape = model.encoder.config();
    let tokens: usize = task.train.iter().map(|molecule| molecule.ids.len()).sum();
    let facts = Facts {
        summary: "A small encoder of molecules: RoBERTa architecture over SMILES, one token per atom, bond, branch or ring \
                  closure. Its mean state tells which substructures a molecule has. It loads as any Hugging Face RoBERTa folder."
            .into(),
        architecture: vec![
            ("architecture", "RobertaForMaskedLM".into()),
            ("parameters", model.encoder.num_params().to_string()),
            ("hidden size, layers, heads", format!("{}, {}, {}", shape.hidden_size, shape.num_hidden_layers, shape.num_attention_heads)),
            ("feed-forward size", shape.intermediate_size.to_string()),
            ("vocabulary", shape.vocab_size.to_string()),
            ("longest input", format!("{} tokens", config.train.max_length)),
            ("stored as", "float16 safetensors".into()),
        ],
        rows,
        amounts: format!(
            "{} distinct molecules ({tokens} tokens) to learn from and {} held out at random. Molecules of the test split of \
             `datasets/pocket/molecules.jsonl`, and every other molecule with one of their scaffolds, were left out of both.",
            task.train.len(),
            task.held_out.len()
        ),
        recipe: format!(
            "Two losses at once: masked tokens ({:.0} % of them, 80/10/10) and, with weight {}, the squared error of \
             standardised descriptors (512 folded Morgan counts of radius 2; heavy atoms, hetero atoms, rings, aromatic rings, charges; \
             all as ln(1+n)) predicted by one linear layer from the mean of the token states; that layer is not part of the model. \
             {:.0} % of the molecules are written in random atom order at each visit. AdamW, {} tokens per step, peak learning \
             rate {}, warm-up of {} steps, then a cosine to zero, weight decay {}, gradients clipped at norm {}.",
            100.0 * config.masked.mask_probability,
            config.masked.descriptor_weight,
            100.0 * config.masked.randomized,
            config.train.batch_tokens,
            config.train.lr,
            config.train.warmup_steps,
            config.train.weight_decay,
            config.train.max_grad_norm
        ),
        seconds,
        quality: vec![
            ("masked tokens recovered".into(), percent(numbers[0].1), format!("{} / {}", percent(frequency), percent(neighbours))),
            ("masked-token loss (nats)".into(), format!("{:.3}", numbers[1].1), "–".into()),
            ("descriptors explained (R²)".into(), format!("{:.3}", numbers[2].1), "0 (the mean)".into()),
        ],
        baselines: format!(
            "Measured on {} hidden tokens. The baselines guess the most frequent token, and the token most often seen between \
             the two true neighbours.",
            gaps.len()
        ),
        limits: format!(
            "{SHARED_LIMITS} It has seen drug-like and natural molecules only; rare elements are `<unk>`, and stereochemistry is \
             seen by the tokens but asked for by no training target of the mean state."
        ),
        command: command(file),
    };
    Ok(card(config, &facts))
}

/// The card of a language model.
pub(super) fn causal(
    task: &CausalTask,
    model: &CausalLm,
    rows: &[usize],
    seconds: f64,
    file: &Path,
) -> Result<String> {
    let numbers = task.measure(model, false)?;
    let config = &task.config;
    let shape = model.config();
    let train: Vec<Vec<u32>> = task
        .train
        .iter()
        .map(|document| document.ids.clone())
        .collect();
    let fit = |order| NGram::fit(&train, order, shape.vocab_size);
    let (unigram, trigram) = (fit(1), fit(3));
    let line = |name: &str, chat: bool, value: f64| {
        let windows = task.held_out_windows(chat, false);
        let baseline = format!(
            "{:.1} / {:.1}",
            unigram.perplexity(&windows),
            trigram.perplexity(&windows)
        );
        (name.to_string(), format!("{value:.2}"), baseline)
    };
    let tokens: usize = train.iter().map(Vec::len).sum();
    let shown = |chat: Option<bool>| -> usize {
        let documents = task
            .train
            .iter()
            .filter(|document| chat.is_none_or(|chat| document.chat == chat));
        documents
            .map(|document| document.ids.len() * document.repeat)
            .sum()
    };
    let facts = Facts {
        summary: "A small language model of biology: Llama architecture, byte-level BPE, with a chat template. It continues \
                  descriptions of genes, proteins, cells and molecules and answers in the form of short replies. Alone it cannot \
                  see a molecule; that is what soft tokens are for."
            .into(),
        architecture: vec![
            ("architecture", "LlamaForCausalLM".into()),
            ("parameters", model.num_params().to_string()),
            ("hidden size, layers", format!("{}, {}", shape.hidden_size, shape.num_hidden_layers)),
            ("heads, key-value heads", format!("{}, {}", shape.num_attention_heads, shape.num_key_value_heads)),
            ("feed-forward size", shape.intermediate_size.to_string()),
            ("vocabulary", shape.vocab_size.to_string()),
            ("trained on windows of", format!("{} tokens", config.train.max_length)),
            ("stored as", "float16 safetensors".into()),
        ],
        rows,
        amounts: format!(
            "{} distinct documents ({tokens} tokens) to learn from and {} held out at random; {:.0} % of the tokens of an epoch \
             are conversations, some shown several times. Rows of the test split of `datasets/pocket` were left out of both.",
            task.train.len(),
            task.held_out.len(),
            100.0 * shown(Some(true)) as f64 / shown(None) as f64
        ),
        recipe: format!(
            "Next-token prediction on packed windows; conversations through the chat template, all tokens learnt. AdamW, {} tokens \
             per step, peak learning rate {}, warm-up of {} steps, then a cosine to zero, weight decay {}, gradients clipped at norm {}.",
            config.train.batch_tokens,
            config.train.lr,
            config.train.warmup_steps,
            config.train.weight_decay,
            config.train.max_grad_norm
        ),
        seconds,
        quality: vec![
            line("perplexity per token, texts", false, numbers[0].1),
            line("perplexity per token, conversations", true, numbers[1].1),
        ],
        baselines: "The baselines are a unigram model and an interpolated (Witten–Bell) trigram model of the same training \
                    tokens."
            .into(),
        limits: format!(
            "{SHARED_LIMITS} It has a few million parameters and a few million tokens behind it: its sentences are shaped like \
             biology, and their content is often wrong. English only."
        ),
        command: command(file),
    };
    Ok(card(config, &facts))
}
