//! scGPT: every stage from raw counts to the cell embedding, through the functions the plugin itself uses, and the whole way
//! again through a record. Both layouts of the attention weights and the pickled checkpoint have to agree.

use std::path::Path;

use anyhow::{Context, Result, ensure};
use bioverse_core::{Encoder, Hidden, Modality, Record};
use bioverse_single_cell::expression::{TARGET_SUM, bin, log1p, normalize_total};
use bioverse_single_cell::{Cell, CellRecord, ClsValue, Config, ScGpt, Tokens};
use burn::prelude::*;
use serde::Deserialize;
use serde_json::json;

use super::check::Check;

/// The cells of the folder.
struct Cells {
    genes: Vec<String>,
    /// A row per cell.
    counts: Vec<Vec<f32>>,
}

pub fn run(check: &mut Check) -> Result<()> {
    let cells = cells(check)?;
    let folder = check.folder.path.clone();
    let cell = load(&folder, ClsValue::Pad)?;
    let rows = cell.genes().rows(cells.genes.iter().map(String::as_str));
    stages(check, &cells, &rows, scgpt(&cell)?)?;
    let tokens = tokens(&cells, &rows, &cell)?;
    padded(check, scgpt(&cell)?, &tokens);
    states(check, &cell, &tokens)?;
    through_records(check, &cells, cell, &tokens)?;
    let zero = load(&folder, ClsValue::Zero)?;
    let hidden = zero.encode(&self::tokens(&cells, &rows, &zero)?);
    check.floats("cls0.cell_embedding", || first(hidden));
    layouts(check, &tokens)
}

fn cells(check: &mut Check) -> Result<Cells> {
    let names = check.folder.json["gene_names"].clone();
    let genes: Vec<String> = serde_json::from_value(names).context("gene_names")?;
    let counts: Vec<f32> = check.input_data("raw_counts")?.iter::<f32>().collect();
    ensure!(!genes.is_empty() && counts.len().is_multiple_of(genes.len()));
    let counts = counts.chunks(genes.len()).map(<[f32]>::to_vec).collect();
    Ok(Cells { genes, counts })
}

fn load(folder: &Path, cls_value: ClsValue) -> Result<Cell> {
    let config = Config {
        path: folder.into(),
        cls_value,
        min_gene_match: 0.0,
        ..Config::default()
    };
    Cell::load(&config, &Device::flex()).map_err(|e| anyhow::anyhow!("{e}"))
}

fn scgpt(cell: &Cell) -> Result<&ScGpt> {
    cell.scgpt().context("the folder was not taken for scGPT")
}

/// Which columns are kept, and what becomes of their values.
fn stages(check: &mut Check, cells: &Cells, rows: &[Option<u32>], scgpt: &ScGpt) -> Result<()> {
    let kept: Vec<usize> = (0..rows.len()).filter(|i| rows[*i].is_some()).collect();
    check.ints(
        "kept_columns",
        &kept.iter().map(|i| *i as i64).collect::<Vec<_>>(),
    );
    let (mut normalised, mut logs, mut bins) = (vec![], vec![], vec![]);
    for counts in &cells.counts {
        let counts: Vec<f32> = kept.iter().map(|i| counts[*i]).collect();
        let row = normalize_total(&counts, TARGET_SUM);
        let log = log1p(&row);
        let binned = bin(&log, scgpt.preprocessing().n_bins);
        bins.extend(binned.into_iter().map(i64::from));
        normalised.extend(row);
        logs.extend(log);
    }
    let shape = [cells.counts.len(), kept.len()];
    check.data("normalised", &TensorData::new(normalised, shape));
    check.data("log1p", &TensorData::new(logs, shape));
    let (_, lowest) = check.input_ints("bins_lo")?;
    let below = bins.iter().zip(lowest).filter(|(bin, lowest)| bin < lowest);
    check.equal("bins below what the published code draws", below.count(), 0);
    let (_, stable) = check.input_ints("bins_stable")?;
    let (_, highest) = check.input_ints("bins_hi")?;
    // Where rounding decides the reference's bin, its neighbour is as good.
    for ((bin, want), stable) in bins.iter_mut().zip(highest).zip(stable) {
        if *stable == 0 && bin.abs_diff(*want) == 1 {
            *bin = *want;
        }
    }
    check.ints("bins_hi", &bins);
    Ok(())
}

/// Tokens from the values of the known genes. A cell may have none; its row is `<cls>` alone.
fn tokens(cells: &Cells, rows: &[Option<u32>], cell: &Cell) -> Result<Vec<Tokens>> {
    let preprocessing = scgpt(cell)?.preprocessing();
    let tokens = |counts: &Vec<f32>| {
        let known = rows.iter().zip(counts).filter(|(_, count)| **count != 0.0);
        let known = known.filter_map(|(row, count)| Some(((*row)?, *count)));
        let (ids, counts): (Vec<u32>, Vec<f32>) = known.unzip();
        preprocessing.tokens(&ids, &preprocessing.expression(&counts))
    };
    Ok(cells.counts.iter().map(tokens).collect())
}

fn padded(check: &mut Check, scgpt: &ScGpt, tokens: &[Tokens]) {
    let (ids, values, mask) = scgpt.padded(tokens);
    let ints = |tensor: Tensor<2, Int>| tensor.into_data().iter::<i64>().collect::<Vec<_>>();
    check.ints("input_ids", &ints(ids.clone()));
    check.floats("values", || Ok(values.clone()));
    check.ints("attention_mask", &ints(mask.int()));
    check.floats("embedding_output", || {
        Ok(scgpt.encoder().embed(ids, values))
    });
}

fn states(check: &mut Check, cell: &Cell, tokens: &[Tokens]) -> Result<()> {
    let hidden = cell.encode(tokens).map_err(|e| anyhow::anyhow!("{e}"))?;
    check.floats("last_hidden_state", || Ok(hidden.states.clone()));
    check.floats("mean_pooled", || Ok(mean(hidden.clone())));
    check.floats("cell_embedding", || first(Ok(hidden.clone())));
    check.floats("cell_embedding_l2", || {
        let embedding = first(Ok(hidden))?;
        let length = embedding.clone().square().sum_dim(1).sqrt();
        Ok(embedding / length)
    });
    Ok(())
}

/// The way of a user: JSON in, vectors out.
fn through_records(check: &mut Check, cells: &Cells, cell: Cell, tokens: &[Tokens]) -> Result<()> {
    let record = |counts: &Vec<f32>| json!({"genes": cells.genes, "values": counts});
    let with_genes = |i: &usize| tokens[*i].input_ids.len() > 1;
    let chosen: Vec<usize> = (0..tokens.len()).filter(with_genes).collect();
    let records: Vec<Record> = chosen.iter().map(|i| record(&cells.counts[*i])).collect();
    let mut same = true;
    for (i, record) in chosen.iter().zip(&records) {
        let got = cell.tokenize(&CellRecord::deserialize(record)?);
        same &= got.map_err(|e| anyhow::anyhow!("{e}"))? == tokens[*i];
    }
    check.equal("records give the tokens of their values", same, true);
    let wanted = first(cell.encode(tokens))?;
    let chosen: Vec<i64> = chosen.iter().map(|i| *i as i64).collect();
    let chosen = Tensor::from_data(chosen.as_slice(), &Device::flex());
    let gap =
        first(Encoder::new(cell).encode(&records).map_err(Into::into))? - wanted.select(0, chosen);
    let gap: f32 = gap.abs().max().into_scalar();
    check.equal("records give the states of their tokens", gap < 1e-5, true);
    Ok(())
}

/// The same weights under other names and in other files.
fn layouts(check: &mut Check, tokens: &[Tokens]) -> Result<()> {
    let folder = &check.folder.path;
    for weights in ["model_flash_names.safetensors", "best_model.pt"] {
        if !folder.join(weights).is_file() {
            continue;
        }
        let copy = tempfile::tempdir()?;
        let target = if weights.ends_with(".pt") {
            weights
        } else {
            "model.safetensors"
        };
        for (from, to) in [
            ("args.json", "args.json"),
            ("vocab.json", "vocab.json"),
            (weights, target),
        ] {
            std::fs::copy(folder.join(from), copy.path().join(to))
                .with_context(|| from.to_owned())?;
        }
        let hidden = load(copy.path(), ClsValue::Pad).map(|cell| cell.encode(tokens));
        check.floats("last_hidden_state", || {
            let hidden = hidden.with_context(|| weights.to_owned())?;
            Ok(hidden.map_err(|e| anyhow::anyhow!("{e}"))?.states)
        });
    }
    Ok(())
}

/// The states of `<cls>`, `[B, d]`.
fn first(hidden: Result<Hidden, bioverse_core::BoxError>) -> Result<Tensor<2>> {
    let hidden = hidden.map_err(|e| anyhow::anyhow!("{e}"))?;
    Ok(hidden.states.narrow(1, 0, 1).squeeze_dim(1))
}

/// Over all tokens, `[B, d]`.
fn mean(hidden: Hidden) -> Tensor<2> {
    let weights: Tensor<3> = hidden.mask.float().unsqueeze_dim(2);
    let sum: Tensor<2> = (hidden.states * weights.clone()).sum_dim(1).squeeze_dim(1);
    sum / weights.sum_dim(1).squeeze_dim(1)
}
