//! Measures a finished encoder of cells and words its card. It trains nothing.

use std::path::Path;

use burn::module::Module;

use super::{CellModel, CellTask};
use crate::error::Result;
use crate::pretrain::card::{Facts, Quality, card as write};
use crate::pretrain::report::{SHARED_LIMITS, command, optimiser};
use crate::pretrain::trainer::Task;

const SUMMARY: &str = "A small encoder of single cells: scGPT architecture, one token per expressed gene with its binned value. The \
mean of its states tells where a cell lies among others. It loads as any scGPT folder.";

const LIMITS: &str = "It has seen blood cells of one donor and five cancer cell lines. Cells of other tissues are placed among these. Genes \
outside its vocabulary are left out.";

/// The card.
pub(super) fn card(
    task: &CellTask,
    model: &CellModel,
    seconds: f64,
    file: &Path,
) -> Result<String> {
    let shape = model.encoder.config();
    let facts = Facts {
        summary: SUMMARY.into(),
        architecture: vec![
            ("architecture", "scGPT".into()),
            ("parameters", model.encoder.num_params().to_string()),
            ("width, layers, heads", format!("{}, {}, {}", shape.embsize, shape.nlayers, shape.nheads)),
            ("feed-forward size", shape.d_hid.to_string()),
            ("genes", task.cells.genes.len().to_string()),
            ("bins of expression", shape.n_bins.to_string()),
            ("stored as", "float16 safetensors".into()),
        ],
        rows: &task.cells.rows,
        amounts: format!(
            "{} cells to learn from and {} held out at random. Cells of the test split of `datasets/pocket/cells.h5ad` were left out of \
             both.",
            task.cells.train.len(),
            task.cells.held_out.len()
        ),
        recipe: format!(
            "Two losses at once: hidden values ({:.0} % of the genes; squared error of the bin) and, with weight {}, the squared error of \
             the principal components of the cell's file (log-normalised counts of its 2,000 most variable genes, standardised; fitted on \
             the cells to learn from) that one linear layer predicts from the mean of the token states. Neither layer is part of the \
             model. At each visit a cell keeps each of its counts with a probability between 0.7 and one, and is seen through at most \
             {} of its genes. {}",
            100.0 * task.config.masked.mask_probability,
            task.config.masked.descriptor_weight,
            task.config.train.max_length - 1,
            optimiser(&task.config.train)
        ),
        seconds,
        quality: quality(task, model)?,
        baselines: "Measured on whole held-out cells; the baselines are the mean of the hidden bins of eight cells at a time, and the mean \
                    of each component."
            .into(),
        limits: format!("{SHARED_LIMITS} {LIMITS}"),
        command: command(file),
    };
    Ok(write(&task.config, &facts))
}

fn quality(task: &CellTask, model: &CellModel) -> Result<Quality> {
    let numbers = task.measure(model, false)?;
    let line = |name: &str, value: f64| (name.to_owned(), format!("{value:.3}"), "0".to_owned());
    Ok(vec![
        line("hidden values explained (R²)", numbers[0].1),
        line("components explained (R²)", numbers[1].1),
    ])
}
