//! What stage 1 would do, without doing it. Trains nothing and writes nothing.

use bioverse_core::Registry;
use bioverse_nn::Tokenizer;

use super::{Data, carried, modalities, space, target};
use crate::config::Resolved;
use crate::data::{
    Screen,
    refusal::{MEND, refusal, shortened, with_step},
};
use crate::device;
use crate::error::{Error, Result};
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
    let llm = hub::locate(&config.llm.path)?.dir;
    carried(config, &llm)?;
    let device = device::parse(&config.run.device)?;
    let tokenizer = Tokenizer::load(&llm)?;
    let mut text = format!(
        "stage 1 would train the projectors of {} for {} steps of {} pairs ({} text space), LLM {} and encoders frozen\n",
        names.join(", "),
        config.align.steps,
        config.align.batch_size,
        space::label(config.align.text_space),
        config.llm.path.display(),
    );
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
        text += &format!(
            "\n{name}: {} pairs ({} held out), encoder width {}, {tokens} soft tokens per record\n",
            train.len(),
            held_out.len(),
            encoder.d_hidden(),
        );
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
