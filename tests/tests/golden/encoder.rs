//! Bidirectional encoders.

use anyhow::{Context, Result};
use bioverse_nn::TransformerEncoder;
use burn::prelude::*;

use super::check::{Batch, Check};
use super::text;

pub fn run(check: &mut Check) -> Result<()> {
    text::run(check)?;
    let device = Device::flex();
    let encoder = TransformerEncoder::load(&check.folder.path, &device)?;
    let batch = check.batch("", &device)?;
    let positions = positions(&batch, encoder.config().pad_token_id);
    check.ints("position_ids", &positions);
    outputs(check, &encoder, &batch);
    if check.folder.path.join("config_v5.json").exists() {
        let copy = check.folder.copy_with(("config_v5.json", "config.json"))?;
        outputs(
            check,
            &TransformerEncoder::load(copy.path(), &device)?,
            &batch,
        );
    }
    Ok(())
}

fn outputs(check: &mut Check, encoder: &TransformerEncoder, batch: &Batch) {
    let mut hidden = encoder.hidden_states(batch.ids.clone(), batch.mask.clone());
    let top = hidden.pop();
    check.equal(
        "number of hidden states below the last",
        hidden.len(),
        check.folder.names_after("hidden.").len(),
    );
    for (i, hidden) in hidden.into_iter().enumerate() {
        check.floats(&format!("hidden.{i}"), || Ok(hidden));
    }
    check.floats("last_hidden_state", || {
        top.context("there are no hidden states")
    });
    let last = encoder.forward(batch.ids.clone(), batch.mask.clone());
    check.floats("last_hidden_state", || Ok(last.clone()));
    check.floats("mean_pooled", || {
        Ok(masked_mean(last.clone(), batch.mask.clone()))
    });
    check.floats::<2>("cls_embedding", || {
        Ok(last.clone().narrow(1, 0, 1).squeeze_dim(1))
    });
    check.floats("mlm_logits", || {
        encoder
            .mlm_logits(last.clone())
            .context("the language-model head was not loaded")
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
