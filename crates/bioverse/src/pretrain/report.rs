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

const SHARED_LIMITS: &str = "It is a small model trained on a CPU within an hour, meant for demonstrations, tests and \
tutorials. Nothing it says is medical or chemical advice.";

const CAUSAL_SUMMARY: &str = "A small language model of biology: Llama architecture, byte-level BPE, with a chat \
template. It continues descriptions of genes, proteins, cells and molecules and answers in the form of short replies. \
Alone it cannot see a molecule; that is what soft tokens are for.";

const CAUSAL_LIMITS: &str = "A few million parameters have seen a few million tokens: the sentences are shaped like \
biology, and their content is often wrong. English only.";

/// The optimiser's part of a recipe.
fn optimiser(train: &TrainSection) -> String {
    format!(
        "AdamW, {} tokens per step, peak learning rate {}, warm-up of {} steps, then a cosine to zero, weight decay {}, \
         gradients clipped at norm {}.",
        train.batch_tokens, train.lr, train.warmup_steps, train.weight_decay, train.max_grad_norm
    )
}

fn command(file: &Path) -> String {
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

#[cfg(feature = "molecule")]
pub(super) use molecules::masked;

#[cfg(feature = "molecule")]
mod molecules {
    use std::path::Path;

    use bioverse_nn::EncoderConfig;
    use burn::module::Module;

    use super::super::baseline::Neighbours;
    use super::super::card::{Facts, Lines, Quality, card};
    use super::super::config::PretrainConfig;
    use super::super::masked::{Masked, MaskedTask};
    use super::super::trainer::Task;
    use super::{SHARED_LIMITS, command, optimiser};
    use crate::error::Result;

    const SUMMARY: &str = "A small encoder of molecules: RoBERTa architecture over SMILES, one token per atom, bond, \
branch or ring closure. Its mean state tells which substructures a molecule has. It loads as any Hugging Face RoBERTa \
folder.";

    const LIMITS: &str = "It has seen drug-like and natural molecules only; rare elements are `<unk>`. Stereochemistry \
is written in the tokens, but no training target of the mean state asks for it.";

    /// The card of a molecule encoder.
    pub(in super::super) fn masked(
        task: &MaskedTask,
        model: &Masked,
        rows: &[usize],
        seconds: f64,
        file: &Path,
    ) -> Result<String> {
        let gaps = task.held_out_gaps();
        let parameters = model.encoder.num_params();
        let length = task.config.train.max_length;
        let facts = Facts {
            summary: SUMMARY.into(),
            architecture: shape(model.encoder.config(), parameters, length),
            rows,
            amounts: amounts(task),
            recipe: recipe(&task.config),
            seconds,
            quality: quality(task, model, &gaps)?,
            baselines: format!(
                "Measured on {} hidden tokens. The baselines guess the most frequent token, and the token most often \
                 seen between the two true neighbours.",
                gaps.len()
            ),
            limits: format!("{SHARED_LIMITS} {LIMITS}"),
            command: command(file),
        };
        Ok(card(&task.config, &facts))
    }

    fn shape(shape: &EncoderConfig, parameters: usize, length: usize) -> Lines {
        let (layers, heads) = (shape.num_hidden_layers, shape.num_attention_heads);
        vec![
            ("architecture", "RobertaForMaskedLM".into()),
            ("parameters", parameters.to_string()),
            (
                "hidden size, layers, heads",
                format!("{}, {layers}, {heads}", shape.hidden_size),
            ),
            ("feed-forward size", shape.intermediate_size.to_string()),
            ("vocabulary", shape.vocab_size.to_string()),
            ("longest input", format!("{length} tokens")),
            ("stored as", "float16 safetensors".into()),
        ]
    }

    fn amounts(task: &MaskedTask) -> String {
        let tokens: usize = task.train.iter().map(|molecule| molecule.ids.len()).sum();
        format!(
            "{} distinct molecules ({tokens} tokens) to learn from and {} held out at random. Molecules of the test \
             split of `datasets/pocket/molecules.jsonl`, and every other molecule with one of their scaffolds, were \
             left out of both.",
            task.train.len(),
            task.held_out.len()
        )
    }

    fn recipe(config: &PretrainConfig) -> String {
        let masked = &config.masked;
        format!(
            "Two losses at once: masked tokens ({:.0} % of them, 80/10/10) and, with weight {}, the squared error of \
             standardised descriptors (512 folded Morgan counts of radius 2; heavy atoms, hetero atoms, rings, aromatic \
             rings, charges; all as ln(1+n)) that one linear layer predicts from the mean of the token states. That \
             layer is not part of the model. {:.0} % of the molecules are written in random atom order at each visit. {}",
            100.0 * masked.mask_probability,
            masked.descriptor_weight,
            100.0 * masked.randomized,
            optimiser(&config.train)
        )
    }

    fn quality(task: &MaskedTask, model: &Masked, gaps: &[([u32; 2], u32)]) -> Result<Quality> {
        let numbers = task.measure(model, false)?;
        let ids = task.train.iter().map(|molecule| molecule.ids.as_slice());
        let (frequency, neighbours) = Neighbours::fit(ids).accuracy(gaps);
        let percent = |share: f64| format!("{:.1} %", 100.0 * share);
        let guessed = format!("{} / {}", percent(frequency), percent(neighbours));
        Ok(vec![
            (
                "masked tokens recovered".into(),
                percent(numbers[0].1),
                guessed,
            ),
            (
                "masked-token loss (nats)".into(),
                format!("{:.3}", numbers[1].1),
                "–".into(),
            ),
            (
                "descriptors explained (R²)".into(),
                format!("{:.3}", numbers[2].1),
                "0 (their mean)".into(),
            ),
        ])
    }
}
