//! Bidirectional encoders.

use anyhow::{Context, Result};
use bioverse_nn::TransformerEncoder;
use burn::prelude::*;

use super::check::{Batch, Check};
use super::text;

/// What the reference was given.
struct Given {
    batch: Batch,
    /// Which states enter the mean: in proteins the residues, elsewhere every token.
    pooled: Tensor<2, Bool>,
    pair: Option<(Batch, Tensor<2, Int>)>,
}

pub fn run(check: &mut Check) -> Result<()> {
    text::run(check)?;
    let device = Device::flex();
    let encoder = TransformerEncoder::load(&check.folder.path, &device)?;
    let given = given(check, &device)?;
    let positions = positions(&given.batch, encoder.config().pad_token_id);
    check.ints("position_ids", &positions);
    outputs(check, &encoder, &given)?;
    if check.folder.path.join("config_v5.json").exists() {
        let copy = check.folder.copy_with(("config_v5.json", "config.json"))?;
        outputs(
            check,
            &TransformerEncoder::load(copy.path(), &device)?,
            &given,
        )?;
    }
    Ok(())
}

fn given(check: &mut Check, device: &Device) -> Result<Given> {
    let batch = check.batch("", device)?;
    let pooled = match check.has("residue_mask") {
        true => ints(check, "residue_mask", device)?.not_equal_elem(0),
        false => batch.mask.clone(),
    };
    let pair = match check.has("pair.input_ids") {
        true => {
            let types = ints(check, "pair.token_type_ids", device)?;
            Some((check.batch("pair.", device)?, types))
        }
        false => None,
    };
    Ok(Given {
        batch,
        pooled,
        pair,
    })
}

fn ints(check: &mut Check, name: &str, device: &Device) -> Result<Tensor<2, Int>> {
    let (shape, values) = check.input_ints(name)?;
    let data = TensorData::new(values.to_vec(), shape.to_vec());
    Ok(Tensor::from_data(data, device))
}

fn outputs(check: &mut Check, encoder: &TransformerEncoder, given: &Given) -> Result<()> {
    if let Some(types) = check.folder.json.get("layer_types") {
        let got = serde_json::to_value(&encoder.config().modernbert.layer_types)?;
        check.equal("layer_types", &got, types);
    }
    let Batch { ids, mask } = given.batch.clone();
    let states = encoder.hidden_states(ids.clone(), mask.clone());
    layers(check, "", states, given.pooled.clone());
    let last = encoder.forward(ids, mask);
    pooled(check, "", &last, given.pooled.clone());
    check.floats("pooler_output", || {
        let pooled = encoder.pooler_output(last.clone());
        pooled.context("the pooler was not loaded")
    });
    check.floats("mlm_logits", || {
        let logits = encoder.mlm_logits(last.clone());
        logits.context("the language-model head was not loaded")
    });
    if let Some((batch, types)) = given.pair.clone() {
        let mask = batch.mask.clone();
        let states = encoder.hidden_states_with_types(batch.ids, batch.mask, types)?;
        layers(check, "pair.", states, mask);
    }
    Ok(())
}

/// Every layer, and what is made of the last one.
fn layers(check: &mut Check, prefix: &str, mut states: Vec<Tensor<3>>, mask: Tensor<2, Bool>) {
    let last = states.pop();
    check.equal(
        format!("number of {prefix}hidden states below the last"),
        states.len(),
        check.folder.names_after(&format!("{prefix}hidden.")).len(),
    );
    for (i, hidden) in states.into_iter().enumerate() {
        check.floats(&format!("{prefix}hidden.{i}"), || Ok(hidden));
    }
    match last {
        Some(last) => pooled(check, prefix, &last, mask),
        None => check.fail(format!("there are no {prefix}hidden states")),
    }
}

fn pooled(check: &mut Check, prefix: &str, last: &Tensor<3>, mask: Tensor<2, Bool>) {
    check.floats(&format!("{prefix}last_hidden_state"), || Ok(last.clone()));
    check.floats(&format!("{prefix}mean_pooled"), || {
        Ok(masked_mean(last.clone(), mask))
    });
    check.floats::<2>(&format!("{prefix}cls_embedding"), || {
        Ok(last.clone().narrow(1, 0, 1).squeeze_dim(1))
    });
}

/// `[B, T, d]`, `[B, T] → [B, d]`
fn masked_mean(states: Tensor<3>, mask: Tensor<2, Bool>) -> Tensor<2> {
    let weights: Tensor<3> = mask.float().unsqueeze_dim(2);
    let sum: Tensor<2> = (states * weights.clone()).sum_dim(1).squeeze_dim(1);
    sum / weights.sum_dim(1).squeeze_dim(1)
}

/// The rule of the family: padding has position `pad`, the n-th token `pad + n`. What the encoder makes of it shows in
/// its embedding output.
fn positions(batch: &Batch, pad: u32) -> Vec<i64> {
    let [_, width] = batch.ids.dims();
    let ids: Vec<i64> = batch.ids.to_data().iter::<i64>().collect();
    let pad = i64::from(pad);
    let row = |row: &[i64]| {
        let mut position = pad;
        let step = |id: &i64| {
            if *id == pad {
                return pad;
            }
            position += 1;
            position
        };
        row.iter().map(step).collect::<Vec<_>>()
    };
    ids.chunks(width).flat_map(row).collect()
}
