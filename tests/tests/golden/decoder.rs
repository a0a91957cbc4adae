//! Causal language models: forward passes, greedy generation, soft tokens.

use anyhow::{Context, Result, ensure};
use bioverse_core::{Group, Layout, PadSide, Row, Slot, SoftTokens, inject};
use bioverse_nn::generate::Continuation;
use bioverse_nn::{CausalLm, GenerationConfig, generate};
use burn::prelude::*;

use super::check::{Batch, Check};
use super::text;

pub fn run(check: &mut Check) -> Result<()> {
    text::run(check)?;
    let device = Device::flex();
    let lm = CausalLm::load(&check.folder.path, &device)?;
    facts(check, &lm);
    passes(check, &lm)?;
    generation(check, &lm, "gen.ids", "gen.step_logits", |batch| {
        lm.embed(batch.ids.clone())
    })?;
    stopping(check, &lm)?;
    if check.has("soft.vectors") {
        soft(check, &lm)?;
    }
    if check.folder.path.join("config_v5.json").exists() {
        let copy = check.folder.copy_with(("config_v5.json", "config.json"))?;
        let lm = CausalLm::load(copy.path(), &device).context("config_v5.json")?;
        facts(check, &lm);
        passes(check, &lm).context("config_v5.json")?;
    }
    Ok(())
}

fn facts(check: &mut Check, lm: &CausalLm) {
    if let Some(rows) = check.folder.json["embedding_rows"].as_u64() {
        check.equal(
            "rows of the embedding",
            lm.embedding_matrix().dims()[0] as u64,
            rows,
        );
    }
    if let Some(tied) = check.folder.json["tied"].as_bool() {
        check.equal("tied embeddings", lm.config().tie_word_embeddings, tied);
    }
}

/// Right- and left-padded batches without cache.
pub fn passes(check: &mut Check, lm: &CausalLm) -> Result<()> {
    let device = Device::flex();
    let right = check.batch("", &device)?;
    if check.has("hidden.0") {
        let hidden = lm.hidden_states(lm.embed(right.ids.clone()), right.mask.clone());
        check.equal(
            "number of hidden states",
            hidden.len(),
            check.folder.names_after("hidden.").len(),
        );
        for (i, hidden) in hidden.into_iter().enumerate() {
            check.floats(&format!("hidden.{i}"), || Ok(hidden));
            let alone = lm.hidden_state(lm.embed(right.ids.clone()), right.mask.clone(), i);
            check.floats(&format!("hidden.{i}"), || Ok(alone));
        }
    }
    check.floats("logits", || Ok(logits(lm, &right)));
    // Ours are computed in f32; this reference carries the distance between the two as its tolerance.
    check.floats("logits_bf16_arithmetic", || Ok(logits(lm, &right)));
    let left = check.batch("left.", &device)?;
    check.ints("left.position_ids", &positions(&left));
    check.floats("left.logits", || Ok(logits(lm, &left)));
    Ok(())
}

pub fn logits(lm: &CausalLm, batch: &Batch) -> Tensor<3> {
    lm.logits(lm.forward(lm.embed(batch.ids.clone()), batch.mask.clone(), None))
}

/// `cumsum(mask) - 1`, not below 0: the rule left padding relies on. That the decoder follows it shows in `left.logits`.
fn positions(batch: &Batch) -> Vec<i64> {
    let [_, width] = batch.mask.dims();
    let mask: Vec<bool> = batch.mask.to_data().iter::<bool>().collect();
    let row = |row: &[bool]| {
        let mut seen = 0;
        let step = |real: &bool| {
            seen += i64::from(*real);
            (seen - 1).max(0)
        };
        row.iter().map(step).collect::<Vec<_>>()
    };
    mask.chunks(width).flat_map(row).collect()
}

/// Greedy ids with eos ignored, and the logits of each step with the KV cache.
pub fn generation(
    check: &mut Check,
    lm: &CausalLm,
    ids: &str,
    step_logits: &str,
    embeds: impl Fn(&Batch) -> Tensor<3>,
) -> Result<()> {
    let left = check.batch("left.", &Device::flex())?;
    let (shape, want) = check.input_ints(ids)?;
    let got = greedy(lm, embeds(&left), &left, shape[1], None)?;
    check.ints(ids, &got.concat());
    check.floats::<3>(step_logits, || {
        let (mut continuation, first) =
            Continuation::start(lm, embeds(&left), left.mask.clone(), shape[1]);
        let mut steps = vec![first];
        for step in 1..shape[1] {
            let column: Vec<u32> = want
                .chunks(shape[1])
                .map(|row| row[step - 1] as u32)
                .collect();
            steps.push(continuation.push(&column));
        }
        Ok(Tensor::stack(steps, 1))
    });
    Ok(())
}

/// Greedy ids of every row; what was streamed must be what is returned.
fn greedy(
    lm: &CausalLm,
    embeds: Tensor<3>,
    batch: &Batch,
    new: usize,
    eos: Option<u32>,
) -> Result<Vec<Vec<i64>>> {
    let config = GenerationConfig {
        max_new_tokens: new,
        eos_token_id: eos.into_iter().collect(),
        ..Default::default()
    };
    let mut streamed = vec![vec![]; batch.ids.dims()[0]];
    let rows = generate::generate(
        lm,
        embeds,
        batch.mask.clone(),
        &config,
        &|_| String::new(),
        &mut |row, id| {
            streamed[row].push(id);
        },
    )?;
    ensure!(streamed == rows, "streamed {streamed:?}, returned {rows:?}");
    Ok(rows
        .into_iter()
        .map(|row| row.into_iter().map(i64::from).collect())
        .collect())
}

/// Rows end at eos, which is kept; the reference fills them up with the id of `[BIO]`.
fn stopping(check: &mut Check, lm: &CausalLm) -> Result<()> {
    if !check.has("gen_stop.ids") {
        return Ok(());
    }
    let left = check.batch("left.", &Device::flex())?;
    let eos = check.input_ints("gen_stop.eos_id")?.1[0];
    let most = check.input_ints("gen.ids")?.0[1];
    let fill = check.folder.count("/special_ids/bio")? as i64;
    let rows = greedy(
        lm,
        lm.embed(left.ids.clone()),
        &left,
        most,
        Some(eos as u32),
    )?;
    check.equal(
        "a row stops early",
        rows.iter().any(|row| row.len() < most),
        true,
    );
    let width = rows.iter().map(Vec::len).max().unwrap_or_default();
    let padded: Vec<i64> = rows
        .into_iter()
        .flat_map(|row| {
            let missing = width - row.len();
            row.into_iter().chain(std::iter::repeat_n(fill, missing))
        })
        .collect();
    check.ints("gen_stop.ids", &padded);
    Ok(())
}

/// Soft vectors in place of `[BIO]`, through the layout that training uses.
fn soft(check: &mut Check, lm: &CausalLm) -> Result<()> {
    let device = Device::flex();
    let left = check.batch("left.", &device)?;
    let vectors: Tensor<3> = check.input_floats("soft.vectors", &device)?;
    let layout = layout(check, &left)?;
    check.ints("soft.positions", &soft_positions(&layout));
    let [rows, per_row, width] = vectors.dims();
    let tokens = SoftTokens {
        embeds: vectors.reshape([rows * per_row, 1, width]),
    };
    let embeds = inject(lm.embed(layout.input_ids(&device)), vec![tokens], &layout);
    let mask = layout.attention_mask(&device);
    check.equal("mask of the layout", mask.to_data(), left.mask.to_data());
    check.floats("soft.inputs_embeds", || Ok(embeds.clone()));
    check.floats("soft.logits", || {
        Ok(lm.logits(lm.forward(embeds.clone(), mask.clone(), None)))
    });
    generation(check, lm, "soft.gen_ids", "soft.gen_step_logits", |_| {
        embeds.clone()
    })
}

/// The batch as a layout whose soft slots are the `[BIO]` tokens, in reading order.
fn layout(check: &Check, left: &Batch) -> Result<Layout> {
    let (bio, pad) = (
        check.folder.count("/special_ids/bio")? as i64,
        check.folder.count("/special_ids/pad")? as u32,
    );
    let [_, width] = left.ids.dims();
    let ids: Vec<i64> = left.ids.to_data().iter::<i64>().collect();
    let mask: Vec<bool> = left.mask.to_data().iter::<bool>().collect();
    let mut soft = 0;
    let mut rows = vec![];
    for (ids, mask) in ids.chunks(width).zip(mask.chunks(width)) {
        let mut row = Row::default();
        for (id, _) in ids.iter().zip(mask).filter(|(_, real)| **real) {
            row.loss.push(false);
            row.slots.push(if *id == bio {
                soft += 1;
                Slot::Soft {
                    group: 0,
                    row: soft - 1,
                    index: 0,
                }
            } else {
                Slot::Token(*id as u32)
            });
        }
        rows.push(row);
    }
    let records = (0..soft).map(|i| serde_json::json!(i)).collect();
    let groups = vec![Group {
        modality: "bio".into(),
        records,
        soft_len: 1,
    }];
    Ok(Layout {
        rows,
        groups,
        pad,
        side: PadSide::Left,
    })
}

/// Columns of the soft slots in the left-padded batch.
fn soft_positions(layout: &Layout) -> Vec<i64> {
    let columns = layout.rows.iter().flat_map(|row| {
        let shift = layout.width() - row.slots.len();
        let soft = row
            .slots
            .iter()
            .enumerate()
            .filter(|(_, slot)| matches!(slot, Slot::Soft { .. }));
        soft.map(move |(i, _)| (i + shift) as i64)
    });
    columns.collect()
}
