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
//! | [`linear`], [`tfidf`] | ridge regression and vectors of terms, for baselines |
//! | [`answers`] | greedy answers, with [`swap`]ped records, beside the [`majority`] |
//! | [`annotate`], [`describe`], [`qa`], [`cross`], [`audit`] | the other suites |
//! | [`likelihood`] | how probable the LLM finds each of several answers |
//! | [`closed`], [`said`] | closed questions; what methods say to them |
//! | [`examination`], [`conditions`], [`exchange`] | how they are put, with own, other and no records |
//! | [`states`], [`scale`] | what frozen encoders say of records; columns in units of what is learnt from |
//! | [`fitted`], [`heads`], [`pictures`] | heads on frozen encoders; bars and ROC curves |
//! | [`worded`] | the same questions without soft tokens, for the frozen LLM |
//! | [`mod@bench`] | bundle, request and rows, as every suite gets them |
//! | [`components`] | principal components of sparse rows |
//! | [`calibration`] | expected calibration error, risk over coverage |
//! | [`findings`] with [`bootstrap`] | what a suite found, with intervals and contests |
//! | [`compare`] | two bundles on the same rows |
//! | [`report`] | files and [`table`]s |
//!
//! A suite reads a [`Session`]; it trains nothing of the bundle and writes nothing into it.

pub mod annotate;
pub mod answers;
pub mod audit;
pub mod bench;
pub mod bootstrap;
pub mod calibration;
pub mod classification;
pub mod closed;
pub mod components;
pub mod conditions;
pub mod cross;
pub mod describe;
pub mod examination;
pub mod exchange;
pub mod findings;
pub mod fitted;
pub mod heads;
pub mod likelihood;
pub mod linear;
pub mod logistic;
pub mod majority;
pub mod metrics;
pub mod neighbours;
pub mod pictures;
pub mod qa;
pub mod ranking;
pub mod report;
pub mod retrieval;
pub mod rows;
pub mod said;
pub mod scale;
pub mod states;
pub mod swap;
pub mod table;
pub mod text;
pub mod tfidf;
pub mod worded;

pub mod compare;

use std::cell::RefCell;
use std::path::PathBuf;

use bioverse_core::Registry;
use bioverse_nn::GenerationConfig;
use burn::prelude::*;
use tracing::info;

pub use bench::{Bench, Plan, Sides};
pub use findings::Findings;
pub use report::{LeftOut, Report};

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

/// What `all` stands for, in this order.
const EACH: [Suite; 7] = [
    Suite::Retrieval,
    Suite::Annotate,
    Suite::Describe,
    Suite::Qa,
    Suite::Answers,
    Suite::Cross,
    Suite::Audit,
];

impl Suite {
    /// As it is written on the command line.
    pub fn name(self) -> &'static str {
        match self {
            Self::Retrieval => "retrieval",
            Self::Answers => "answers",
            Self::Annotate => "annotate",
            Self::Describe => "describe",
            Self::Qa => "qa",
            Self::Cross => "cross",
            Self::Audit => "audit",
            Self::All => "all",
        }
    }
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
    /// What is asked about a record, with `{}` where it stands, in place of what the bundle was tuned with.
    pub question: Option<String>,
    /// A folder with the WordPiece tokenizer that `describe` cuts texts with, besides words.
    pub tokenizer: Option<PathBuf>,
    /// The ontology that `annotate` measures distances in.
    pub ontology: Option<PathBuf>,
    /// Nodes of the knowledge graph whose edges `data` names, for `cross`.
    pub nodes: Option<PathBuf>,
    /// Only the first eval rows of each suite.
    pub limit: Option<usize>,
    /// Without baselines and controls, which say nothing about another bundle.
    pub alone: bool,
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
        notes: RefCell::default(),
    };
    if request.suite != Suite::All {
        report.findings = run_one(request.suite, &bench)?;
        return Ok(report);
    }
    for suite in EACH {
        match run_one(suite, &bench) {
            Ok(findings) => report.findings.extend(findings),
            // What the rows of the bundle do not allow is said, and the others go on.
            Err(Error::Input(why)) => report.left_out.push(LeftOut {
                suite: suite.name().into(),
                why,
            }),
            Err(error) => return Err(error),
        }
    }
    match report.left_out.first() {
        Some(first) if report.findings.is_empty() => Err(Error::Input(first.why.clone())),
        _ => Ok(report),
    }
}

fn run_one(suite: Suite, bench: &Bench<'_>) -> Result<Vec<Findings>> {
    info!(suite = suite.name(), "eval");
    let mut found = measured(suite, bench)?;
    let notes = bench.notes.take();
    for findings in &mut found {
        findings.notes.extend(notes.iter().cloned());
    }
    Ok(found)
}

fn measured(suite: Suite, bench: &Bench<'_>) -> Result<Vec<Findings>> {
    match suite {
        Suite::Retrieval => retrieval::run(bench),
        Suite::Answers => answers::run(bench),
        Suite::Annotate => annotate::run(bench),
        Suite::Describe => describe::run(bench),
        Suite::Qa => qa::run(bench),
        Suite::Cross => cross::run(bench),
        Suite::Audit => audit::run(bench),
        Suite::All => Ok(vec![]),
    }
}
