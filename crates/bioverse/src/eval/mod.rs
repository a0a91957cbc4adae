//! Suites: what a bundle can do on held-out rows, beside honest baselines.
//!
//! | module | what it holds |
//! |---|---|
//! | [`metrics`] | ranks, exact match, word F1 |
//! | [`text`] | BLEU, ROUGE, METEOR in the variants that papers report |
//! | [`classification`], [`ranking`] | accuracy, F1; AUROC, average precision |
//! | [`neighbours`], [`logistic`] | k nearest neighbours, silhouette; logistic regression |
//! | [`rows`] | eval rows with their ids and kinds |
//! | [`retrieval`] | records ↔ texts over the whole eval side |
//! | [`baseline`] | substrings → words by [`linear`] ridge regression over [`tfidf`] |
//! | [`answers`] | greedy answers, with [`swap`]ped records, beside the [`majority`] |
//! | [`annotate`], [`describe`], [`qa`], [`cross`], [`audit`] | the other suites |
//! | [`likelihood`] | how probable the LLM finds each of several answers |
//! | [`worded`] | the same questions without soft tokens, for the frozen LLM |
//! | [`bench`] | bundle, request and rows, as every suite gets them |
//! | [`findings`] with [`bootstrap`] | what a suite found, with intervals and contests |
//! | [`report`] | files and [`table`]s |
//!
//! A suite reads a [`Session`]; it trains nothing of the bundle and writes nothing into it.

pub mod annotate;
pub mod answers;
pub mod audit;
pub mod baseline;
pub mod bench;
pub mod bootstrap;
pub mod classification;
pub mod cross;
pub mod describe;
pub mod findings;
pub mod likelihood;
pub mod linear;
pub mod logistic;
pub mod majority;
pub mod metrics;
pub mod neighbours;
pub mod qa;
pub mod ranking;
pub mod report;
pub mod retrieval;
pub mod rows;
pub mod swap;
pub mod table;
pub mod text;
pub mod tfidf;
pub mod worded;

use std::path::PathBuf;

use bioverse_core::Registry;
use bioverse_nn::GenerationConfig;
use burn::prelude::*;
use tracing::info;

pub use bench::{Bench, Plan, Sides};
pub use findings::Findings;
pub use report::Report;

use crate::{
    Bundle, Session,
    config::DataSection,
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
    /// Labels of cells.
    Annotate,
    /// Descriptions of records.
    Describe,
    /// Questions with a closed set of answers.
    Qa,
    /// Several modalities in one prompt.
    Cross,
    /// Does the bundle need its records, and does anything simpler do as well?
    Audit,
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
    /// What `annotate` asks, with `{}` where the record stands, in place of what the bundle was tuned with.
    pub question: Option<String>,
    /// The ontology that `annotate` measures distances in.
    pub ontology: Option<PathBuf>,
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
    let bench = Bench {
        session: &session,
        request,
        plan: &plan,
        registry,
    };
    report.findings = match request.suite {
        Suite::Annotate => annotate::run(&bench)?,
        Suite::Describe => describe::run(&bench)?,
        Suite::Qa => qa::run(&bench)?,
        Suite::Cross => cross::run(&bench)?,
        Suite::Audit => audit::run(&bench)?,
        Suite::Retrieval | Suite::Answers | Suite::All => vec![],
    };
    if !matches!(
        request.suite,
        Suite::Retrieval | Suite::Answers | Suite::All
    ) {
        return Ok(report);
    }
    if let Some(sides) = &plan.pairs {
        for modality in plan.modalities(request, &sides.eval)? {
            let outcome = run_retrieval(&bench, sides, &modality)?;
            report.retrieval.insert(modality, outcome);
        }
    }
    if let Some(sides) = &plan.instructions {
        report.answers = Some(run_answers(&bench, sides)?);
    }
    Ok(report)
}

fn run_retrieval(bench: &Bench<'_>, sides: &Sides, modality: &str) -> Result<retrieval::Outcome> {
    let eval = bench.eval_pairs(sides, modality)?;
    let train = bench.train_pairs(sides, modality)?;
    if train.is_empty() {
        return Err(Error::Input(format!(
            "{} has no training side for the substring baseline; name the field that splits it with --split-field",
            sides.eval.train.display()
        )));
    }
    info!(
        modality,
        eval = eval.len(),
        train = train.len(),
        "retrieval"
    );
    retrieval::run(bench.session, modality, &train, &eval)
}

fn run_answers(bench: &Bench<'_>, sides: &Sides) -> Result<answers::Outcome> {
    let (eval, train) = (bench.eval_rows(sides)?, bench.train_rows(sides)?);
    info!(eval = eval.len(), train = train.len(), "answers");
    let request = bench.request;
    answers::run(
        bench.session,
        &train,
        &eval,
        &request.generation,
        request.batch_size,
    )
}
