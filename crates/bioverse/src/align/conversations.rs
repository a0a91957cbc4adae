//! Pairs as the LLM reads them, for objectives in which it reads them. It runs nothing.

use std::collections::HashMap;

use bioverse_nn::{CausalLm, Tokenizer};

use super::pairs::Pairs;
use crate::config::{AlignSection, BioSource, Objective, RunConfig};
use crate::error::Result;
use crate::instructions::{Rows, Rules};

/// Whether the LLM reads anything.
pub(super) fn wanted(align: &AlignSection) -> bool {
    align.objective == Objective::Autoregressive || align.bio_from == BioSource::HiddenStates
}

/// Every pair laid out and checked: with its answer where that is to be predicted, without it where the LLM's states stand
/// for the record.
pub(super) fn lay_out(
    config: &RunConfig,
    (llm, tokenizer): (&CausalLm, &Tokenizer),
    (name, soft_len): (&str, usize),
    pairs: &Pairs,
) -> Result<Rows> {
    let rules = Rules::new(
        tokenizer,
        llm,
        &config.llm.path,
        HashMap::from([(name.to_string(), soft_len)]),
        config.finetune.max_length,
        config.run.dir.join("bundle"),
    )?;
    let mut rows = Rows::none(&rules);
    for (index, called) in pairs.rows.iter().enumerate() {
        let example = pairs.example(index, name);
        match config.align.objective {
            Objective::Autoregressive => rows.add(called.clone(), &example, &rules)?,
            _ => rows.add_question(called.clone(), &example, &rules)?,
        }
    }
    Ok(rows)
}
