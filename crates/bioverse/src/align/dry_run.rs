//! What stage 1 would do, without doing it. Trains nothing and writes nothing.

use bioverse_core::Registry;
use bioverse_nn::{CausalLm, DecoderConfig, Tokenizer};

use super::order::Order;
use super::pairs::{Pairs, numbered};
use super::positives::{Kinship, classes};
use super::readout::Readout;
use super::{Data, carried, conversations, modalities, negatives, space, target};
use crate::config::{
    AlignSection, BioSource, Direction, Objective, Positives, Resolved, RunConfig,
};
use crate::data::{
    Screen,
    refusal::{MEND, refusal, shortened, with_step},
};
use crate::device;
use crate::error::{Error, Result};
use crate::instructions::Rows;
use crate::train::seed::mix_name;
use crate::{encoders, hub};

/// Pairs shown of each modality.
const SHOWN: usize = 3;

/// What stage 1 would do: pairs of each modality, the first three with their tokens. Every record is checked.
pub fn dry_run(resolved: &Resolved, registry: &Registry) -> Result<String> {
    let config = &resolved.config;
    let names = modalities(config)?;
    let missing = hub::not_here(config)?;
    let tables = config.modality.clone().into_iter();
    let wanted = tables.filter(|(name, _)| missing.is_none() && names.contains(name));
    let mut screen = Screen::counting(config, registry, wanted)?;
    let data = Data::read(config, &names, &mut screen)?;
    data.check(config, &names)?;
    if let Some(missing) = missing {
        return Ok(missing);
    }
    let folder = hub::locate(&config.llm.path)?.dir;
    carried(config, &folder)?;
    let device = device::parse(&config.run.device)?;
    let tokenizer = Tokenizer::load(&folder)?;
    let readout = Readout::of(&config.align);
    readout.index(DecoderConfig::load(&folder)?.num_hidden_layers)?;
    let mut text = format!(
        "stage 1 would train the projectors of {} for {} steps of {} pairs ({} text space), LLM {} and encoders frozen\n\
         objective: {}; a text is the {}\n",
        names.join(", "),
        config.align.steps,
        config.align.batch_size,
        space::label(config.align.text_space),
        config.llm.path.display(),
        objective(&config.align),
        readout.label(),
    );
    text += &fit_for_stage_2(&tokenizer);
    text += &screen.told();
    for (name, (train, held_out)) in names.iter().zip(&data.pairs) {
        let encoder = encoders::load(registry, name, &target::table(config, name), &device)?;
        for (record, row) in train.records.iter().zip(&train.rows) {
            encoder.check(record).map_err(|error| {
                let reason = with_step(&refusal(record, error), MEND);
                Error::Input(format!("{row}: {reason}"))
            })?;
        }
        let projector = config.projector_for(name, registry)?;
        let tokens = projector.num_soft_tokens;
        readout.check(name, tokens)?;
        text += &format!(
            "\n{name}: {} pairs ({} held out), encoder width {}, {tokens} soft tokens per record\n",
            train.len(),
            held_out.len(),
            encoder.d_hidden(),
        );
        text += &batch(config, name, train)?;
        if conversations::wanted(&config.align) {
            let llm = CausalLm::load(&folder, &device)?;
            let (models, modality) = ((&llm, &tokenizer), (name.as_str(), projector.soft_len()));
            let rows = conversations::lay_out(config, models, modality, train)?;
            text += &shown(&rows, &tokenizer)?;
            conversations::lay_out(config, models, modality, held_out)?;
            continue;
        }
        for index in 0..train.len().min(SHOWN) {
            let count = tokenizer.encode(&train.texts[index])?.len();
            text += &format!(
                "  {}: {} ↔ {:?} ({count} tokens)\n",
                train.rows[index],
                shortened(&train.records[index].to_string()),
                shortened(&train.texts[index])
            );
        }
    }
    Ok(text)
}

/// A word of warning where stage 2 could not train through the LLM's chat template; a contrast does not need it.
fn fit_for_stage_2(tokenizer: &Tokenizer) -> String {
    let fit = tokenizer.check_template(&["user", "assistant"]);
    match fit {
        Ok(()) => String::new(),
        Err(error) => format!("WARNING: stage 2 will refuse this LLM: {error}\n"),
    }
}

/// What would be minimised, in one line.
fn objective(align: &AlignSection) -> String {
    let learnt = match align.learn_temperature {
        true => "learnt from",
        false => "fixed at",
    };
    let temperature = format!("temperature {learnt} {}", align.temperature);
    let record = match align.bio_from {
        BioSource::SoftTokens => "",
        BioSource::HiddenStates => ", records as the LLM's states at their soft tokens",
    };
    match (align.objective, align.direction) {
        (Objective::InfoNce, Direction::Both) => {
            format!("InfoNCE in both directions, {temperature}{record}")
        }
        (Objective::InfoNce, Direction::BioToText) => {
            format!("InfoNCE from records to texts, {temperature}{record}")
        }
        (Objective::Siglip, _) => format!("SigLIP, {temperature}{record}"),
        (Objective::Autoregressive, _) => {
            "the frozen LLM predicts the answers; only the projector learns".into()
        }
    }
}

/// How the pairs of the first batch stand to each other, and what they are held against beside one another.
fn batch(config: &RunConfig, name: &str, train: &Pairs) -> Result<String> {
    let align = &config.align;
    if align.objective == Objective::Autoregressive {
        return Ok(String::new());
    }
    let seed = mix_name(config.run.seed, name);
    let rows = Order::new(&train.weights, align.batch_size, seed).batch(0);
    let kinship = Kinship {
        texts: &numbered(&train.texts).0,
        records: &numbered(&train.records).0,
        classes: &classes(train, align.positives),
    };
    let relations = kinship.relations(&rows, align.positives);
    let same = match align.positives {
        Positives::Text | Positives::None => "an equal text or record",
        Positives::Auto if train.labels.iter().all(Option::is_none) => "an equal text or record",
        Positives::Label | Positives::Auto => "an equal text, record or label",
        Positives::Group => "an equal text, record or group",
    };
    let mut text = format!("  of the first batch of {}, ", rows.len());
    text += &match align.positives {
        Positives::None => format!(
            "{} pairs of pairs with {same} are left out",
            relations.left_out()
        ),
        _ => format!(
            "{} pairs of pairs with {same} belong together",
            relations.together()
        ),
    };
    if let Some(size) = align.micro_batch_size {
        text += &format!("; {size} go through the projector at a time");
    }
    if let Some(negatives) = negatives::read(align, &config.data, &train.texts)? {
        let drawn = align.negatives_per_step.min(negatives.len());
        text += &format!(
            "; {drawn} of {} other texts are wrong answers too",
            negatives.len()
        );
    }
    Ok(text + "\n")
}

/// The first rows as the LLM would read them.
fn shown(rows: &Rows, tokenizer: &Tokenizer) -> Result<String> {
    let decode = |ids: &[u32]| tokenizer.decode_with_special(ids).unwrap_or_default();
    let mut text = String::new();
    for row in 0..rows.len().min(SHOWN) {
        let layout = rows.layout(&[row])?;
        let counts = Rows::counts(&layout);
        text += &format!(
            "\n{}: {} prompt + {} soft + {} loss tokens\n{}\n",
            rows.name(row),
            counts.prompt,
            counts.soft,
            counts.loss,
            layout.describe(0, decode)
        );
    }
    Ok(text)
}
