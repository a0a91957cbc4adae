//! What types cannot say about a configuration: values that make no run. Whether files exist is found out by those who
//! open them.

use super::{RunConfig, suggest};

/// What [`FinetuneSection::trainable`](super::FinetuneSection::trainable) may name.
const TRAINABLE: [&str; 2] = ["projectors", "lora"];

/// The first thing wrong, as the end of a sentence that begins with the file.
pub(super) fn check(config: &RunConfig) -> Result<(), String> {
    paths(config)?;
    names(config)?;
    let (align, finetune) = (&config.align, &config.finetune);
    at_least("align.batch_size", align.batch_size, 2)?;
    positive("align.temperature", align.temperature)?;
    at_least("finetune.batch_size", finetune.batch_size, 1)?;
    at_least("finetune.accumulation", finetune.accumulation, 1)?;
    at_least("finetune.max_length", finetune.max_length, 8)?;
    at_least("finetune.lora.r", finetune.lora.r, 1)?;
    at_least("run.log_every", config.run.log_every, 1)?;
    at_least("data.limit", config.data.limit.unwrap_or(1), 1)?;
    if !(0.0..1.0).contains(&finetune.lora.lora_dropout) {
        let dropout = finetune.lora.lora_dropout;
        return Err(format!(
            "`finetune.lora.lora_dropout` is {dropout}; give a probability from 0 up to, not including, 1"
        ));
    }
    schedule("align", align.steps, align.warmup_steps)?;
    schedule("finetune", finetune.steps, finetune.warmup_steps)?;
    optimiser("align", align.lr, align.weight_decay, align.max_grad_norm)?;
    let (lr, decay, norm) = (finetune.lr, finetune.weight_decay, finetune.max_grad_norm);
    optimiser("finetune", lr, decay, norm)
}

fn paths(config: &RunConfig) -> Result<(), String> {
    let needed = [
        (
            "llm.path",
            &config.llm.path,
            "the folder of a language model",
        ),
        (
            "data.train",
            &config.data.train,
            "the file of rows to learn from",
        ),
        (
            "run.dir",
            &config.run.dir,
            "the directory that results go to",
        ),
    ];
    match needed
        .iter()
        .find(|(_, path, _)| path.as_os_str().is_empty())
    {
        None => Ok(()),
        Some((key, _, what)) => Err(format!("`{key}` is not set; give {what}")),
    }
}

fn names(config: &RunConfig) -> Result<(), String> {
    for name in &config.finetune.trainable {
        if !TRAINABLE.contains(&name.as_str()) {
            let hint = suggest::hint(name, TRAINABLE);
            return Err(format!("`finetune.trainable` names `{name}`{hint}"));
        }
    }
    if config.finetune.trainable.is_empty() {
        let all = suggest::quoted(&TRAINABLE);
        return Err(format!(
            "`finetune.trainable` is empty; name at least one of {all}"
        ));
    }
    let data = &config.data;
    let modalities = config
        .align
        .modalities
        .iter()
        .map(|name| ("align.modalities", name));
    for (key, name) in modalities.chain(data.modality.iter().map(|name| ("data.modality", name))) {
        if !config.modality.contains_key(name) {
            let hint = suggest::hint(name, config.modality.keys().map(String::as_str));
            return Err(format!(
                "`{key}` names `{name}`, but there is no table `[modality.{name}]`{hint}"
            ));
        }
    }
    match (&data.input_field, &data.text_field) {
        (Some(_), None) => Err(
            "`data.input_field` is set, but `data.text_field` is not; plain pairs need both".into(),
        ),
        (_, Some(_)) if !data.question.contains("{}") => Err(format!(
            "`data.question` is {:?}, in which no `{{}}` says where the record stands; write for example \"Describe {{}}.\"",
            data.question
        )),
        _ => Ok(()),
    }
}

fn schedule(section: &str, steps: usize, warmup: usize) -> Result<(), String> {
    at_least(&format!("{section}.steps"), steps, 1)?;
    if warmup > steps {
        return Err(format!(
            "`{section}.warmup_steps` is {warmup}, more than the {steps} of `{section}.steps`; make it smaller"
        ));
    }
    Ok(())
}

fn optimiser(section: &str, lr: f64, weight_decay: f64, max_grad_norm: f64) -> Result<(), String> {
    positive(&format!("{section}.lr"), lr)?;
    positive(&format!("{section}.max_grad_norm"), max_grad_norm)?;
    if !(weight_decay >= 0.0 && weight_decay.is_finite()) {
        return Err(format!(
            "`{section}.weight_decay` is {weight_decay}; give 0 or more"
        ));
    }
    Ok(())
}

fn at_least(key: &str, value: usize, least: usize) -> Result<(), String> {
    if value < least {
        return Err(format!("`{key}` is {value}; give at least {least}"));
    }
    Ok(())
}

fn positive(key: &str, value: f64) -> Result<(), String> {
    if !(value > 0.0 && value.is_finite()) {
        return Err(format!("`{key}` is {value}; give a number above 0"));
    }
    Ok(())
}
