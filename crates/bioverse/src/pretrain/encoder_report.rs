//! Measures a finished encoder and its baselines, and words them for the card. It trains nothing.

use std::path::Path;

use bioverse_nn::EncoderConfig;
use burn::module::Module;

use super::baseline::Neighbours;
use super::card::{Facts, Lines, Quality, card};
use super::config::{PretrainConfig, Records};
use super::masked::{Masked, MaskedTask};
use super::report::{SHARED_LIMITS, command, optimiser};
use super::trainer::Task;
use crate::error::Result;

/// What a card says of one kind of records.
struct Words {
    summary: &'static str,
    architecture: &'static str,
    records: &'static str,
    excluded: &'static str,
    targets: &'static str,
    visits: &'static str,
    limits: &'static str,
}

const MOLECULE: Words = Words {
    summary: "A small encoder of molecules: RoBERTa architecture over SMILES, one token per atom, bond, branch or ring closure. \
Its mean state tells which substructures a molecule has. It loads as any Hugging Face RoBERTa folder.",
    architecture: "RobertaForMaskedLM",
    records: "molecules",
    excluded: "Molecules of the test split of `datasets/pocket/molecules.jsonl`, and every other molecule with one of their \
scaffolds, were left out of both.",
    targets: "512 folded Morgan counts of radius 2; heavy atoms, hetero atoms, rings, aromatic rings, charges; all as ln(1+n)",
    visits: "Half of the molecules are written in random atom order at each visit.",
    limits: "It has seen drug-like and natural molecules only; rare elements are `<unk>`. Stereochemistry is written in the \
tokens, but no training target of the mean state asks for it.",
};

const PROTEIN: Words = Words {
    summary: "A small encoder of proteins: ESM-2 architecture and vocabulary, one token per residue. Its mean state tells what a \
sequence is made of and, as far as so few sequences teach it, which words describe the protein. It loads as any Hugging Face ESM \
folder.",
    architecture: "EsmForMaskedLM",
    records: "proteins",
    excluded: "Proteins of the test split of `datasets/pocket/proteins.jsonl`, and those that \
`configs/human-proteins.toml` holds out, were left out of both.",
    targets: "amino acids, pairs and folded triples of residues per 100 residues, as ln(1+n), of the window that was read; and a bag \
of 512 folded words of what is written about the protein, where something is",
    visits: "A long protein is seen through another window at each visit.",
    limits: "Nine thousand sequences are no protein universe: it knows human and yeast proteins and some enzymes, and of what is \
unlike them only the composition. It knows no structure.",
};

const TEXT: Words = Words {
    summary: "A small encoder of biomedical English: BERT architecture over lower-case WordPiece. Its mean state tells which words a \
text has. It loads as any Hugging Face BERT folder.",
    architecture: "BertForMaskedLM",
    records: "texts",
    excluded: "Rows of the test split of `datasets/pocket/texts.jsonl` were left out of both.",
    targets: "a bag of 512 folded words of the text",
    visits: "A long text is seen through another window at each visit.",
    limits: "It has read a few million words about genes, proteins, molecules and cells, in English.",
};

fn words(records: Records) -> &'static Words {
    match records {
        Records::Molecule => &MOLECULE,
        Records::Protein => &PROTEIN,
        Records::Text => &TEXT,
    }
}

/// The card of an encoder.
pub(super) fn masked(
    task: &MaskedTask,
    model: &Masked,
    rows: &[usize],
    seconds: f64,
    file: &Path,
) -> Result<String> {
    let words = words(task.config.masked.records);
    let gaps = task.held_out_gaps();
    let parameters = model.encoder.num_params();
    let length = task.config.train.max_length;
    let facts = Facts {
        summary: words.summary.into(),
        architecture: shape(words, model.encoder.config(), parameters, length),
        rows,
        amounts: amounts(words, task),
        recipe: recipe(words, &task.config),
        seconds,
        quality: quality(task, model, &gaps)?,
        baselines: format!(
            "Measured on {} hidden tokens. The baselines guess the most frequent token, and the token most often seen between \
             the two true neighbours.",
            gaps.len()
        ),
        limits: format!("{SHARED_LIMITS} {}", words.limits),
        command: command(file),
    };
    Ok(card(&task.config, &facts))
}

fn shape(words: &Words, shape: &EncoderConfig, parameters: usize, length: usize) -> Lines {
    let (layers, heads) = (shape.num_hidden_layers, shape.num_attention_heads);
    vec![
        ("architecture", words.architecture.into()),
        ("parameters", parameters.to_string()),
        (
            "hidden size, layers, heads",
            format!("{}, {layers}, {heads}", shape.hidden_size),
        ),
        ("feed-forward size", shape.intermediate_size.to_string()),
        ("vocabulary", shape.vocab_size.to_string()),
        ("trained on up to", format!("{length} tokens")),
        ("stored as", "float16 safetensors".into()),
    ]
}

fn amounts(words: &Words, task: &MaskedTask) -> String {
    let tokens: usize = task.train.iter().map(|sample| sample.ids.len()).sum();
    format!(
        "{} distinct {} ({tokens} tokens) to learn from and {} held out at random. {}",
        task.train.len(),
        words.records,
        task.held_out.len(),
        words.excluded
    )
}

fn recipe(words: &Words, config: &PretrainConfig) -> String {
    format!(
        "Two losses at once: masked tokens ({:.0} % of them, 80/10/10) and, with weight {}, the squared error of standardised \
         targets ({}) that one linear layer predicts from the mean of the token states. That layer is not part of the model. {} {}",
        100.0 * config.masked.mask_probability,
        config.masked.descriptor_weight,
        words.targets,
        words.visits,
        optimiser(&config.train)
    )
}

fn quality(task: &MaskedTask, model: &Masked, gaps: &[([u32; 2], u32)]) -> Result<Quality> {
    let numbers = task.measure(model, false)?;
    let ids = task.train.iter().map(|sample| sample.ids.as_slice());
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
            "targets of the mean state explained (R²)".into(),
            format!("{:.3}", numbers[2].1),
            "0 (their mean)".into(),
        ),
    ])
}
