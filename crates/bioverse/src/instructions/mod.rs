//! Instruction rows, laid out and checked before anything is trained, for both stages. A row that would teach nothing, or
//! something wrong, is refused by file and row. It knows neither loss nor what learns.

use std::collections::{BTreeSet, HashMap, hash_map::Entry};
use std::path::{Path, PathBuf};

use bioverse_core::{BoxError, Example, Layout, PadSide, Prompt, Record, Segment, Slot};
use bioverse_nn::{CausalLm, Tokenizer};

use crate::config::DataSection;
use crate::data::Screen;
use crate::data::read::{Row, Split, read_split_into};
use crate::error::{Error, Result};
use crate::session::{eos_ids, prompt_of};

/// What rows are laid out with and held against.
pub(crate) struct Rules<'a> {
    pub tokenizer: &'a Tokenizer,
    /// Ids that end an answer.
    pub eos: Vec<u32>,
    /// Soft tokens of each modality that the bundle has.
    pub soft_len: HashMap<String, usize>,
    /// Longest row in tokens.
    pub max_length: usize,
    /// The bundle, for messages.
    pub bundle: PathBuf,
}

impl<'a> Rules<'a> {
    /// For an LLM: no row is longer than `max_length` or than the LLM reads.
    ///
    /// # Errors
    /// When nothing ends a text of this LLM.
    pub fn new(
        tokenizer: &'a Tokenizer,
        llm: &CausalLm,
        folder: &Path,
        soft_len: HashMap<String, usize>,
        max_length: usize,
        bundle: PathBuf,
    ) -> Result<Self> {
        let eos = eos_ids(tokenizer, llm);
        if eos.is_empty() {
            return Err(Error::Input(format!(
                "{}: neither config.json nor the tokenizer names an end-of-sequence token, so no answer could end; add \
                 `eos_token_id` to generation_config.json",
                folder.display()
            )));
        }
        Ok(Self {
            tokenizer,
            eos,
            soft_len,
            max_length: max_length.min(llm.config().max_position_embeddings),
            bundle,
        })
    }
}

/// Rows of one side of the split, ready to be batched.
pub(crate) struct Rows {
    /// What to call each row in a message.
    names: Vec<String>,
    prompts: Vec<Prompt>,
    /// Which source of the mixture each row is from.
    sources: Vec<usize>,
    /// Tokens of each row, soft tokens included.
    pub lengths: Vec<usize>,
    /// Roles of the conversations that the chat template was tried with.
    tried: BTreeSet<Vec<String>>,
    /// Neighbouring texts → the ids of each.
    ids: HashMap<String, Vec<Vec<u32>>>,
    soft_len: HashMap<String, usize>,
    pad: u32,
}

/// A row's tokens by what they are.
pub(crate) struct Counts {
    pub prompt: usize,
    pub soft: usize,
    pub loss: usize,
}

impl Rows {
    /// Reads one side and checks every row; with `data.skip_bad`, bad ones go to `screen`.
    pub fn read(
        data: &DataSection,
        split: Split,
        names: &[&str],
        rules: &Rules<'_>,
        screen: &mut Screen,
    ) -> Result<Self> {
        let read = read_split_into(data, split, names, screen)?;
        Self::of(read, data, rules, screen)
    }

    /// Checks rows that were read.
    pub fn of(
        read: Vec<Row>,
        data: &DataSection,
        rules: &Rules<'_>,
        screen: &mut Screen,
    ) -> Result<Self> {
        let mut rows = Self::none(rules);
        let mut files = BTreeSet::new();
        for row in read {
            let name = row.name();
            match rows.add(name.clone(), &row.example, rules) {
                Err(Error::Input(problem)) if data.skip_bad => {
                    let reason = problem.strip_prefix(&format!("{name}: "));
                    screen.reject(
                        &row.file,
                        row.number,
                        reason.unwrap_or(&problem),
                        &row.extra,
                    )?;
                }
                added => {
                    added?;
                    if let Some(source) = rows.sources.last_mut() {
                        *source = row.source;
                    }
                }
            }
            files.insert(row.file.display().to_string());
        }
        match rows.len() {
            0 => Err(Error::Input(format!(
                "{}: no row is left, for all are bad; leave `data.skip_bad` out to see what is wrong",
                files.into_iter().collect::<Vec<_>>().join(", ")
            ))),
            _ => Ok(rows),
        }
    }

    /// No rows yet.
    pub fn none(rules: &Rules<'_>) -> Self {
        Self {
            names: vec![],
            prompts: vec![],
            sources: vec![],
            lengths: vec![],
            ids: HashMap::new(),
            tried: BTreeSet::new(),
            soft_len: rules.soft_len.clone(),
            pad: rules.tokenizer.pad().unwrap_or(0),
        }
    }

    /// Lays out one more row and checks it; `name` is what to call it in a message.
    pub fn add(&mut self, name: String, example: &Example, rules: &Rules<'_>) -> Result<()> {
        let refuse = |problem: String| Error::Input(format!("{name}: {problem}"));
        if let Some((modality, _)) = example
            .records
            .iter()
            .find(|(modality, _)| !rules.soft_len.contains_key(modality))
        {
            return Err(refuse(format!(
                "needs modality `{modality}`, which the bundle {} does not have; run `bioverse align` with a config that \
                 has `[modality.{modality}]`",
                rules.bundle.display()
            )));
        }
        self.try_template(example, rules)
            .map_err(|error| refuse(error.to_string()))?;
        let known: Vec<&str> = rules.soft_len.keys().map(String::as_str).collect();
        let prompt = prompt_of(rules.tokenizer, example, &known, true)
            .map_err(|error| refuse(error.to_string()))?;
        self.put(name, prompt, rules, check)
    }

    /// As [`add`](Self::add) without the last answer, up to where the assistant begins to speak: nothing is learnt from it.
    pub fn add_question(
        &mut self,
        name: String,
        example: &Example,
        rules: &Rules<'_>,
    ) -> Result<()> {
        let known: Vec<&str> = rules.soft_len.keys().map(String::as_str).collect();
        let prompt = prompt_of(rules.tokenizer, example, &known, false)
            .map_err(|error| Error::Input(format!("{name}: {error}")))?;
        self.put(name, prompt, rules, check_question)
    }

    fn put(
        &mut self,
        name: String,
        prompt: Prompt,
        rules: &Rules<'_>,
        check: fn(&Layout, &Rules<'_>) -> Result<(), String>,
    ) -> Result<()> {
        for run in prompt.runs() {
            let texts: Vec<&str> = run.iter().map(Segment::text).collect();
            let key = key(&texts);
            if let Entry::Vacant(place) = self.ids.entry(key) {
                place.insert(rules.tokenizer.encode_run(&texts)?);
            }
        }
        let layout = self.lay_out(std::slice::from_ref(&prompt))?;
        check(&layout, rules).map_err(|problem| Error::Input(format!("{name}: {problem}")))?;
        self.lengths.push(layout.width());
        self.prompts.push(prompt);
        self.sources.push(0);
        self.names.push(name);
        Ok(())
    }

    /// Tries the chat template with conversations of this form, each form once.
    fn try_template(&mut self, example: &Example, rules: &Rules<'_>) -> Result<()> {
        let roles = example.messages.iter().map(|message| message.role.clone());
        let roles: Vec<String> = roles.collect();
        if !self.tried.contains(&roles) {
            let names: Vec<&str> = roles.iter().map(String::as_str).collect();
            rules.tokenizer.check_template(&names)?;
            self.tried.insert(roles);
        }
        Ok(())
    }

    /// Number of rows.
    pub fn len(&self) -> usize {
        self.prompts.len()
    }

    /// The layout of some rows as a batch.
    pub fn layout(&self, rows: &[usize]) -> Result<Layout> {
        let prompts: Vec<Prompt> = rows.iter().map(|row| self.prompts[*row].clone()).collect();
        self.lay_out(&prompts)
    }

    /// The layout of sequences, each of one row or of several that share it.
    pub fn sequences(&self, sequences: &[Vec<usize>]) -> Result<Layout> {
        let layout = self.layout(&sequences.concat())?;
        if sequences.iter().all(|rows| rows.len() == 1) {
            return Ok(layout);
        }
        let mut next = 0;
        let places = sequences.iter().map(|rows| {
            next += rows.len();
            (next - rows.len()..next).collect()
        });
        Ok(layout.packed(&places.collect::<Vec<_>>()))
    }

    /// Which source of the mixture a row is from; 0 without a mixture.
    pub fn source(&self, row: usize) -> usize {
        self.sources.get(row).copied().unwrap_or_default()
    }

    /// Modalities of the records that a row mentions.
    pub fn modalities(&self, row: usize) -> BTreeSet<&str> {
        let segments = self.prompts.get(row).map(|prompt| prompt.segments.iter());
        let names = segments
            .into_iter()
            .flatten()
            .filter_map(|segment| match segment {
                Segment::Soft { modality, .. } => Some(modality.as_str()),
                Segment::Text { .. } => None,
            });
        names.collect()
    }

    /// The prompts, in order.
    pub fn prompts(&self) -> &[Prompt] {
        &self.prompts
    }

    /// The layout of prompts whose texts are those of these rows; records may be others.
    pub fn lay_out(&self, prompts: &[Prompt]) -> Result<Layout> {
        let tokenize = |texts: &[&str]| {
            let ids = self.ids.get(&key(texts)).cloned();
            ids.ok_or_else(|| BoxError::from("it was not tokenised before"))
        };
        let soft_len = |name: &str| {
            let len = self.soft_len.get(name).copied();
            len.ok_or_else(|| bioverse_core::Error::Unknown(format!("no projector `{name}`")))
        };
        Ok(Layout::of_runs(
            prompts,
            self.pad,
            PadSide::Right,
            tokenize,
            soft_len,
        )?)
    }

    /// All records of one modality, each with the name of its row.
    pub fn records(&self, modality: &str) -> Vec<(Record, String)> {
        let mut found = vec![];
        for (prompt, name) in self.prompts.iter().zip(&self.names) {
            for segment in &prompt.segments {
                if let Segment::Soft {
                    modality: of,
                    record,
                } = segment
                    && of == modality
                {
                    found.push((record.clone(), name.clone()));
                }
            }
        }
        found
    }

    /// What to call a row.
    pub fn name(&self, row: usize) -> &str {
        self.names.get(row).map_or("", String::as_str)
    }

    /// Counts the tokens of a one-row layout.
    pub fn counts(layout: &Layout) -> Counts {
        let row = layout.rows.first();
        let slots = row.map_or(&[][..], |row| row.slots.as_slice());
        let soft = slots
            .iter()
            .filter(|slot| matches!(slot, Slot::Soft { .. }));
        let (soft, loss) = (soft.count(), layout.targets().len());
        Counts {
            prompt: slots.len() - soft - loss,
            soft,
            loss,
        }
    }
}

/// What neighbouring texts are remembered by.
fn key(texts: &[&str]) -> String {
    texts.join("\0")
}

/// Why the only row of `layout` cannot be read.
fn check_length(layout: &Layout, rules: &Rules<'_>) -> Result<(), String> {
    let length = layout.width();
    if length > rules.max_length {
        return Err(format!(
            "has {length} tokens, more than `finetune.max_length` = {}; rows are never cut, since that would cut off the \
             answer: raise the limit or shorten the row",
            rules.max_length
        ));
    }
    Ok(())
}

/// Why the only row of `layout`, a question, cannot stand for its record.
fn check_question(layout: &Layout, rules: &Rules<'_>) -> Result<(), String> {
    check_length(layout, rules)?;
    match layout.groups.is_empty() {
        true => Err(
            "mentions its record only in an answer, but `align.bio_from` = \"hidden-states\" reads it in the question; \
             move the placeholder"
                .into(),
        ),
        false => Ok(()),
    }
}

/// Why the only row of `layout` must not be trained on.
fn check(layout: &Layout, rules: &Rules<'_>) -> Result<(), String> {
    check_length(layout, rules)?;
    let targets = layout.targets();
    if targets.is_empty() {
        return Err("has no token to learn from; give it an assistant turn with an answer".into());
    }
    for (position, id) in &targets {
        if ends_answer(layout, *position) && !rules.eos.contains(id) {
            let last = rules.tokenizer.tokens(&[*id]).concat();
            let known = rules.tokenizer.tokens(&rules.eos).join(", ");
            return Err(format!(
                "an answer ends in `{last}`, which does not end a text for this LLM (known: {known}), so it would never \
                 learn to stop; correct the chat template, or add the token to `eos_token_id` in generation_config.json"
            ));
        }
        if *id == layout.pad && !rules.eos.contains(id) {
            return Err(
                "the padding token is part of an answer, so padding would be trained; remove it from the text".into(),
            );
        }
    }
    Ok(())
}

/// Whether the target at `position` of the only row is the last of its turn. An answer may mention a record: its soft
/// tokens are no targets, but the turn goes on behind them.
fn ends_answer(layout: &Layout, position: usize) -> bool {
    let Some(row) = layout.rows.first() else {
        return true;
    };
    let behind = row.slots.iter().zip(&row.loss).skip(position + 1);
    let mut tokens = behind.filter(|(slot, _)| matches!(slot, Slot::Token(_)));
    tokens.next().is_none_or(|(_, learnt)| !learnt)
}
