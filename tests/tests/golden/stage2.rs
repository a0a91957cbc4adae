//! Stage 2: projector and LoRA trained together through soft tokens, with accumulation and clipping.

use std::collections::BTreeMap;
use std::path::Path;

use anyhow::{Context, Result, ensure};
use bioverse::data::EncodedStore;
use bioverse::model::Bioverse;
use bioverse::train::{Accumulator, Trainer, gradients};
use bioverse_core::{
    BoxError, Encoder, Group, Hidden, Layout, Modality, PadSide, Record, Row, Slot,
};
use bioverse_nn::weights::{StoredDtype, save_safetensors};
use bioverse_nn::{CausalLm, LoraConfig};
use burn::prelude::*;

use super::check::Check;
use super::folder::{Values, read_safetensors};
use super::{base_model, parameters};

pub fn run(check: &mut Check) -> Result<()> {
    let (steps, accum) = (check.folder.count("/steps")?, check.folder.count("/accum")?);
    let mut model = model(check)?;
    let (schedule, weight_decay) = parameters::optimizer(check.folder)?;
    let mut trainer = Trainer::new(
        schedule,
        weight_decay,
        Some(check.folder.number("/clip_value")?),
    );
    let (mut losses, mut norms, mut answers) = (vec![], vec![], vec![]);
    for step in 0..steps {
        let mut sum = Accumulator::new();
        for i in step * accum..(step + 1) * accum {
            let batch = MicroBatch::read(check, i, &model)?;
            if i == 0 {
                check.floats("mb0.logits", || batch.logits(&model));
            }
            let loss = batch.loss(&model)?;
            losses.push(loss.clone().inner());
            answers.push(batch.layout.targets().len() as f64);
            sum.add(&model, gradients(loss / accum as f64, &model));
        }
        let grads = sum.take();
        if step == 0 {
            let as_parameters = parameters::gradients_as_parameters(model.clone(), &grads);
            parameters::compare(check, "grad.", &trained(&as_parameters, check)?);
        }
        let (next, report) = trainer.step(model, grads)?;
        model = next;
        norms.push(report.grad_norm as f32);
        let after = format!("after{}.", step + 1);
        if !check.folder.names_after(&after).is_empty() {
            parameters::compare(check, &after, &trained(&model, check)?);
        }
    }
    let losses: Vec<f32> = Tensor::cat(losses, 0).into_data().iter::<f32>().collect();
    token_mean(check, &losses[..accum], &answers[..accum]);
    check.data("losses", &TensorData::new(losses.clone(), [losses.len()]));
    check.data("grad_norms", &TensorData::new(norms.clone(), [norms.len()]));
    Ok(())
}

/// The other convention, a mean over all answer tokens of the window, follows from ours and the number of answer tokens.
fn token_mean(check: &mut Check, losses: &[f32], answers: &[f64]) {
    let sum: f64 = losses
        .iter()
        .zip(answers)
        .map(|(loss, tokens)| f64::from(*loss) * tokens)
        .sum();
    let mean = (sum / answers.iter().sum::<f64>()) as f32;
    if check.has("alt.step0_loss_token_mean") {
        check.data(
            "alt.step0_loss_token_mean",
            &TensorData::new(vec![mean], Vec::<usize>::new()),
        );
    }
}

/// The base model with the initial adapters, and the initial projector.
fn model(check: &mut Check) -> Result<Bioverse> {
    let about = check.folder.json["about"].as_str().unwrap_or_default();
    let named = about
        .split([' ', ',', ';'])
        .find(|word| word.starts_with("../"))
        .context("`about` names no base model")?;
    let base = base_model::find(check.folder, named)?;
    let adapter = tempfile::tempdir()?;
    write_adapter(check, adapter.path(), named)?;
    let device = Device::flex();
    let lm = CausalLm::load(&base, &device)?.load_adapter(adapter.path(), &device.autodiff())?;
    let projector = parameters::projector(check, "projector.")?;
    ensure!(
        projector.d_model() == lm.config().hidden_size,
        "{} is not the base this was made with",
        base.display()
    );
    Ok(Bioverse::new(lm, vec![(Vectors::NAME.into(), projector)]))
}

/// The initial adapters as a PEFT folder, so that they come in through the ordinary door.
fn write_adapter(check: &mut Check, dir: &Path, base: &str) -> Result<()> {
    let mut tensors = vec![];
    for name in check
        .folder
        .names_after("init.")
        .into_iter()
        .filter(|name| name.contains("lora_"))
    {
        let data = check.input_data(&format!("init.{name}"))?;
        tensors.push((name, data));
    }
    ensure!(!tensors.is_empty(), "there are no initial adapters");
    save_safetensors(
        &dir.join("adapter_model.safetensors"),
        tensors,
        StoredDtype::F32,
        BTreeMap::new(),
    )?;
    let lora = &check.folder.json["lora"];
    let config = serde_json::json!({
        "peft_type": "LORA", "base_model_name_or_path": base, "r": lora["r"], "lora_alpha": lora["alpha"],
        "lora_dropout": 0.0, "target_modules": lora["targets"],
    });
    std::fs::write(dir.join("adapter_config.json"), config.to_string())?;
    Ok(())
}

/// Every trained tensor under its reference name.
fn trained(model: &Bioverse, check: &Check) -> Result<Vec<(String, TensorData)>> {
    let projector = model
        .projectors
        .first()
        .context("the model has no projector")?;
    let mut tensors: Vec<(String, TensorData)> = projector
        .to_tensors()
        .into_iter()
        .map(|(name, data)| (format!("projector.{name}"), data))
        .collect();
    let dir = tempfile::tempdir()?;
    let lora = &check.folder.json["lora"];
    let config: LoraConfig = serde_json::from_value(serde_json::json!({
        "r": lora["r"], "lora_alpha": lora["alpha"], "lora_dropout": 0.0, "target_modules": lora["targets"],
    }))?;
    model.llm.save_adapter(dir.path(), &config, "base")?;
    for (name, (shape, values)) in read_safetensors(&dir.path().join("adapter_model.safetensors"))?
    {
        if let Values::Float(values) = values {
            tensors.push((name, TensorData::new(values, shape)));
        }
    }
    Ok(tensors)
}

/// One micro-batch, laid out as our own data path lays it out.
struct MicroBatch {
    layout: Layout,
    encoded: BTreeMap<String, EncodedStore>,
}

impl MicroBatch {
    fn read(check: &mut Check, index: usize, model: &Bioverse) -> Result<Self> {
        let (shape, ids) = check.input_ints(&format!("mb{index}.input_ids"))?;
        let (_, mask) = check.input_ints(&format!("mb{index}.attention_mask"))?;
        let (_, labels) = check.input_ints(&format!("mb{index}.labels"))?;
        let records = records(&check.input_data(&format!("mb{index}.bio"))?)?;
        let bio = check.folder.count("/special_ids/bio")? as i64;
        let mut rows = vec![];
        let mut soft = 0;
        for start in (0..ids.len()).step_by(shape[1]) {
            let mut row = Row::default();
            for i in (start..start + shape[1]).filter(|i| mask[*i] != 0) {
                ensure!(
                    labels[i] == -100 || labels[i] == ids[i],
                    "mb{index}.labels are not the ids themselves"
                );
                row.loss.push(labels[i] != -100);
                row.slots.push(if ids[i] == bio {
                    soft += 1;
                    Slot::Soft {
                        group: 0,
                        row: soft - 1,
                        index: 0,
                    }
                } else {
                    Slot::Token(ids[i] as u32)
                });
            }
            rows.push(row);
        }
        ensure!(
            soft == records.len(),
            "mb{index}: {soft} placeholders, {} vectors",
            records.len()
        );
        let projector = model
            .projectors
            .first()
            .context("the model has no projector")?;
        let encoder = Encoder::new(Vectors {
            width: projector.d_hidden(),
        });
        let store = EncodedStore::build(&encoder, projector, &records, &|i| {
            format!("mb{index}.bio row {i}")
        })?;
        let groups = vec![Group {
            modality: Vectors::NAME.into(),
            records,
            soft_len: 1,
        }];
        let pad = check.folder.count("/special_ids/pad")? as u32;
        Ok(Self {
            layout: Layout {
                rows,
                groups,
                pad,
                side: PadSide::Right,
            },
            encoded: BTreeMap::from([(Vectors::NAME.to_string(), store)]),
        })
    }

    fn loss(&self, model: &Bioverse) -> Result<Tensor<1>> {
        Ok(model.loss(&self.layout, &self.encoded, &Device::flex().autodiff())?)
    }

    fn logits(&self, model: &Bioverse) -> Result<Tensor<3>> {
        let device = Device::flex().autodiff();
        let embeds = model.inputs_embeds(&self.layout, &self.encoded, &device)?;
        let hidden = model
            .llm
            .forward(embeds, self.layout.attention_mask(&device), None);
        Ok(model.llm.logits(hidden).inner())
    }
}

/// `[rows, n, d] →` one record per vector, row by row.
fn records(bio: &TensorData) -> Result<Vec<Record>> {
    let [_, _, width] = bio.shape().dims::<3>();
    let values: Vec<f32> = bio.iter::<f32>().collect();
    values
        .chunks(width)
        .map(|vector| Ok(serde_json::to_value(vector)?))
        .collect()
}

/// A modality whose records are their own encodings: one hidden state each.
struct Vectors {
    width: usize,
}

impl Modality for Vectors {
    const NAME: &'static str = "vector";
    type Config = ();
    type Input = Vec<f32>;
    type Tokens = Vec<f32>;

    fn load(_: &(), _: &Device) -> Result<Self, BoxError> {
        Err("made by hand only".into())
    }

    fn tokenize(&self, input: &Vec<f32>) -> Result<Vec<f32>, BoxError> {
        Ok(input.clone())
    }

    fn encode(&self, batch: &[Vec<f32>]) -> Result<Hidden, BoxError> {
        let device = Device::flex();
        let states = TensorData::new(batch.concat(), [batch.len(), 1, self.width]);
        let mask = Tensor::<2, Int>::ones([batch.len(), 1], &device).greater_elem(0);
        Ok(Hidden {
            states: Tensor::from_data(states, &device),
            mask,
        })
    }

    fn d_hidden(&self) -> usize {
        self.width
    }
}
