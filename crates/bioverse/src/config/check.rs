//! What types cannot say about a configuration: values that make no run. Whether files exist is found out by those who
//! open them.

mod align;

use super::{DataSection, RunConfig, suggest};

/// What [`FinetuneSection::trainable`](super::FinetuneSection::trainable) may name.
const TRAINABLE: [&str; 3] = ["projectors", "task_tokens", "lora"];

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
    at_least("run.keep_last", config.run.keep_last, 1)?;
    positive("run.cache_gb", config.run.cache_gb)?;
    at_least("align.negatives_per_step", align.negatives_per_step, 1)?;
    at_least(
        "align.micro_batch_size",
        align.micro_batch_size.unwrap_or(1),
        1,
    )?;
    at_least("align.eval_every", align.eval_every, 1)?;
    at_least("align.eval_pairs", align.eval_pairs, 1)?;
    at_least("align.patience", align.patience, 1)?;
    at_least("finetune.eval_rows", finetune.eval_rows, 1)?;
    at_least("finetune.patience", finetune.patience, 1)?;
    positive("finetune.layer_decay", finetune.layer_decay)?;
    for (key, lr) in [
        ("finetune.lr_projectors", finetune.lr_projectors),
        ("finetune.lr_task_tokens", finetune.lr_task_tokens),
        ("finetune.lr_lora", finetune.lr_lora),
    ] {
        positive(key, lr.unwrap_or(1.0))?;
    }
    for (name, weight) in &finetune.modality_weights {
        positive(&format!("finetune.modality_weights.{name}"), *weight)?;
    }
    data(&config.data)?;
    align::check(align, &config.data)?;
    schedule("align", align.steps, align.warmup_steps)?;
    schedule("finetune", finetune.steps, finetune.warmup_steps)?;
    optimiser("align", align.lr, align.weight_decay, align.max_grad_norm)?;
    let (lr, decay, norm) = (finetune.lr, finetune.weight_decay, finetune.max_grad_norm);
    optimiser("finetune", lr, decay, norm)
}

fn data(data: &DataSection) -> Result<(), String> {
    share("data.split_fraction", data.split_fraction)?;
    share("data.cluster_similarity", data.cluster_similarity)?;
    share("data.duplicate_similarity", data.duplicate_similarity)?;
    if !data.mixture.is_empty() && !data.train.as_os_str().is_empty() {
        return Err(
            "`data.train` and `[[data.mixture]]` are both set; put the file of `data.train` into the mixture as a source \
             of its own"
                .into(),
        );
    }
    for (index, entry) in data.mixture.iter().enumerate() {
        positive(&format!("data.mixture[{index}].weight"), entry.weight)?;
    }
    for (source, _) in data.sources() {
        one_split(&source)?;
    }
    Ok(())
}

fn one_split(data: &DataSection) -> Result<(), String> {
    match (&data.split_by, &data.split_field, &data.eval) {
        (Some(_), Some(_), _) => Err(
            "`data.split_by` and `data.split_field` both say what is held out; set one of them"
                .into(),
        ),
        (Some(_), _, Some(_)) => {
            Err("`data.split_by` and `data.eval` both say what is held out; set one of them".into())
        }
        _ => Ok(()),
    }
}

fn paths(config: &RunConfig) -> Result<(), String> {
    let mixed = !config.data.mixture.is_empty();
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
        .find(|(key, path, _)| path.as_os_str().is_empty() && !(*key == "data.train" && mixed))
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
    let mixed = data
        .mixture
        .iter()
        .filter_map(|entry| entry.modality.as_ref());
    let of_rows = data.modality.iter().chain(mixed);
    for (key, name) in modalities.chain(of_rows.map(|name| ("data.modality", name))) {
        if !config.modality.contains_key(name) {
            let hint = suggest::hint(name, config.modality.keys().map(String::as_str));
            return Err(format!(
                "`{key}` names `{name}`, but there is no table `[modality.{name}]`{hint}"
            ));
        }
    }
    for (source, _) in data.sources() {
        fields(&source)?;
    }
    Ok(())
}

/// Fields of one source that need each other.
fn fields(data: &DataSection) -> Result<(), String> {
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

fn share(key: &str, value: f64) -> Result<(), String> {
    if !(value > 0.0 && value < 1.0) {
        return Err(format!("`{key}` is {value}; give a number between 0 and 1"));
    }
    Ok(())
}

fn positive(key: &str, value: f64) -> Result<(), String> {
    if !(value > 0.0 && value.is_finite()) {
        return Err(format!("`{key}` is {value}; give a number above 0"));
    }
    Ok(())
}
