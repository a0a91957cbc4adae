//! Suites: what a bundle can do on held-out rows, beside honest baselines.
//!
//! | module | what it holds |
//! |---|---|
//! | [`metrics`] | ranks, exact match, word F1 |
//! | [`text`] | BLEU, ROUGE, METEOR in the variants that papers report |
//! | [`classification`], [`neighbours`] | accuracy, F1; k nearest neighbours, silhouette |
//! | [`rows`] | eval rows with their ids and kinds |
//! | [`retrieval`] | records ↔ texts over the whole eval side |
//! | [`baseline`] | substrings → words by [`linear`] ridge regression over [`tfidf`] |
//! | [`answers`] | greedy answers, with [`swap`]ped records, beside the [`majority`] |
//! | [`report`] | files and [`table`]s |
//!
//! A suite reads a [`Session`]; it trains nothing of the bundle and writes nothing into it.

pub mod answers;
pub mod baseline;
pub mod classification;
pub mod linear;
pub mod majority;
pub mod metrics;
pub mod neighbours;
pub mod report;
pub mod retrieval;
pub mod rows;
pub mod swap;
pub mod table;
pub mod text;
pub mod tfidf;

use std::path::PathBuf;

use bioverse_core::Registry;
use bioverse_nn::GenerationConfig;
use burn::prelude::*;
use tracing::info;

pub use report::Report;

use crate::{
    Bundle, Session,
    config::{DataSection, RunConfig},
    data::Split,
    error::{Error, Result},
    files,
};

/// What to measure.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Suite {
    /// Records ↔ texts.
    Retrieval,
    /// Instruction rows.
    Answers,
    /// Everything that the bundle's data allows.
    All,
}

/// One evaluation.
#[derive(Debug, Clone)]
pub struct Request {
    /// The bundle.
    pub bundle: PathBuf,
    /// What to measure.
    pub suite: Suite,
    /// Only this modality's retrieval.
    pub modality: Option<String>,
    /// Rows in place of those the bundle was trained on; with `text_field` they are pairs, without they are instructions.
    pub data: Option<DataSection>,
    /// Only the first eval rows of each suite.
    pub limit: Option<usize>,
    /// How answers are decoded.
    pub generation: GenerationConfig,
    /// Answers at a time.
    pub batch_size: usize,
}

/// Runs the suites of a request.
pub fn run(request: &Request, registry: &Registry, device: &Device) -> Result<Report> {
    let bundle = Bundle::open(&request.bundle)?;
    let mut report = Report {
        bundle: bundle.dir.display().to_string(),
        bundle_sha256: files::sha256(&bundle.dir.join("bundle.json"))?,
        ..Report::default()
    };
    let plan = Plan::of(request, &bundle)?;
    let session = Session::open(&request.bundle, registry, device)?;
    if let Some(sides) = &plan.pairs {
        for modality in plan.modalities(request, &sides.eval)? {
            let outcome =
                run_retrieval(&session, &plan, sides, &modality, request.limit, registry)?;
            report.retrieval.insert(modality, outcome);
        }
    }
    if let Some(sides) = &plan.instructions {
        report.answers = Some(run_answers(&session, &plan, sides, request, registry)?);
    }
    Ok(report)
}

fn run_retrieval(
    session: &Session,
    plan: &Plan,
    sides: &Sides,
    modality: &str,
    limit: Option<usize>,
    registry: &Registry,
) -> Result<retrieval::Outcome> {
    let names = plan.names();
    let mut eval = rows::load_pairs(&sides.eval, Split::Eval, modality, &names, registry)?;
    eval.truncate(limit.unwrap_or(usize::MAX));
    let train = sides.train.as_ref().ok_or_else(|| {
        Error::Input(format!(
            "{} has no training side for the substring baseline; name the field that splits it with --split-field",
            sides.eval.train.display()
        ))
    })?;
    let train = rows::load_pairs(train, Split::Train, modality, &names, registry)?;
    info!(
        modality,
        eval = eval.len(),
        train = train.len(),
        "retrieval"
    );
    retrieval::run(session, modality, &train, &eval)
}

fn run_answers(
    session: &Session,
    plan: &Plan,
    sides: &Sides,
    request: &Request,
    registry: &Registry,
) -> Result<answers::Outcome> {
    let names = plan.names();
    let mut eval = rows::load(&sides.eval, Split::Eval, &names, registry)?;
    eval.truncate(request.limit.unwrap_or(usize::MAX));
    let train = match &sides.train {
        Some(data) => rows::load(data, Split::Train, &names, registry)?,
        None => vec![],
    };
    info!(eval = eval.len(), train = train.len(), "answers");
    answers::run(
        session,
        &train,
        &eval,
        &request.generation,
        request.batch_size,
    )
}

/// Where the rows of a suite come from.
#[derive(Clone)]
struct Sides {
    /// Rows to measure on.
    eval: DataSection,
    /// Rows the baselines learn from.
    train: Option<DataSection>,
}

impl Sides {
    fn of(data: DataSection) -> Self {
        Self {
            train: Some(data.clone()),
            eval: data,
        }
    }

    /// A file given on the command line. Without a split it is measured as a whole, so the baselines learn where the
    /// bundle did, never on what is measured.
    fn given(data: &DataSection, own: Option<Self>) -> Self {
        match data.eval {
            None => Self::of(data.clone()),
            Some(_) => Self {
                eval: data.clone(),
                train: own.and_then(|own| own.train),
            },
        }
    }
}

/// Which rows each suite reads.
struct Plan {
    pairs: Option<Sides>,
    instructions: Option<Sides>,
    /// Modalities of the bundle.
    modalities: Vec<String>,
}

impl Plan {
    fn of(request: &Request, bundle: &Bundle) -> Result<Self> {
        let config = bundle.config()?;
        let own = (!is_pairs(&config.data)).then(|| Sides::of(config.data.clone()));
        let aligned = aligned_on(&config).map(Sides::of);
        let (mut pairs, mut instructions) = (aligned.clone(), own.clone());
        match &request.data {
            Some(data) if is_pairs(data) => pairs = Some(Sides::given(data, aligned)),
            Some(data) => instructions = Some(Sides::given(data, own)),
            None => {}
        }
        match request.suite {
            Suite::Retrieval => instructions = None,
            Suite::Answers => pairs = None,
            Suite::All => {}
        }
        if pairs.is_none() && instructions.is_none() {
            let flags = match request.suite {
                Suite::Answers => "--data FILE (rows with `messages` and `records`)",
                _ => "--data FILE --input-field X --text-field Y",
            };
            return Err(Error::Input(format!(
                "the bundle {} does not say which rows this suite should read; name them with {flags}",
                bundle.dir.display()
            )));
        }
        Ok(Self {
            pairs,
            instructions,
            modalities: bundle.manifest.modalities.keys().cloned().collect(),
        })
    }

    fn names(&self) -> Vec<&str> {
        self.modalities.iter().map(String::as_str).collect()
    }

    /// The modalities whose pairs are measured.
    fn modalities(&self, request: &Request, data: &DataSection) -> Result<Vec<String>> {
        let wanted = request.modality.as_ref().or(data.modality.as_ref());
        match wanted {
            None => Ok(self.modalities.clone()),
            Some(name) if self.modalities.contains(name) => Ok(vec![name.clone()]),
            Some(name) => Err(Error::Input(format!(
                "the bundle has no modality `{name}` (it has: {})",
                self.modalities.join(", ")
            ))),
        }
    }
}

fn is_pairs(data: &DataSection) -> bool {
    data.text_field.is_some()
}

/// The pairs a bundle was aligned on: its own data, or those of the bundle it was tuned from.
fn aligned_on(config: &RunConfig) -> Option<DataSection> {
    if is_pairs(&config.data) {
        return Some(config.data.clone());
    }
    let from = Bundle::open(&config.finetune.from).ok()?;
    Some(from.config().ok()?.data).filter(is_pairs)
}
