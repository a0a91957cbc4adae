//! Suite `qa`: questions with a closed set of answers. Yes, no or maybe about a passage, several choices, a measured property
//! of a record, or closed instruction rows; beside guessing, the frozen LLM, models without any LLM, and swapped records.

pub mod ask;
pub mod baselines;
pub mod closed;
pub mod item;
pub mod measure;
pub mod properties;
pub mod questions;

use bioverse_core::Example;
use serde_json::{Value, json};
use tracing::info;

use super::bench::Bench;
use super::findings::{Findings, Method, Picture, Role, Sheet};
use super::pictures;
use super::ranking::roc_curve;
use super::rows::{fingerprint, text_of};
use super::swap::{Asked, partners};
use super::table::Table;
use super::worded::worded;
use crate::data::rows::read_rows_with;
use crate::error::{Error, Result};
use crate::report::chart::{Across, Plot, Scale, Series};
use ask::{Questions, calibrated, fitted};
use baselines::School;
use item::{Item, Set};
use measure::{Said, score};

/// Runs the suite.
pub fn run(bench: &Bench<'_>) -> Result<Vec<Findings>> {
    let mut set = read(bench)?;
    if set.classes.len() < 2 {
        return Err(Error::Input(
            "all questions have one and the same answer, so there is nothing to measure; give rows with several".into(),
        ));
    }
    set.eval.truncate(bench.request.limit.unwrap_or(usize::MAX));
    info!(
        eval = set.eval.len(),
        train = set.train.len(),
        classes = set.classes.len(),
        "qa"
    );
    let (said, free) = answers(bench, &mut set)?;
    Ok(vec![findings(&set, said, &free)?])
}

/// The questions of the request.
fn read(bench: &Bench<'_>) -> Result<Set> {
    let Some(data) = &bench.request.data else {
        return match &bench.plan.instructions {
            Some(sides) => closed::read(bench, sides),
            None => Err(Error::Input(
                "the bundle was not tuned on questions; give some with --data FILE (rows with `question` and `answer`), or a \
                 column of labels with --data FILE --input-field X --label-field Y"
                    .into(),
            )),
        };
    };
    if data.label_field.is_some() {
        return properties::read(bench, data);
    }
    let path = data.eval.as_deref().unwrap_or(&data.train);
    let rows = read_rows_with(path, &data.options())?;
    let conversation = rows
        .first()
        .is_some_and(|(_, row)| row.contains_key("messages"));
    match (&bench.plan.instructions, conversation) {
        (Some(sides), true) => closed::read(bench, sides),
        _ => questions::read(data),
    }
}

/// One method's answers.
struct Answered {
    name: &'static str,
    role: Role,
    said: Said,
}

/// Every method's answers, the bundle's first, and what the bundle says freely.
fn answers(bench: &Bench<'_>, set: &mut Set) -> Result<(Vec<Answered>, Vec<String>)> {
    let session = bench.session;
    let (own, cut) = fitted(session, &set.eval)?;
    if cut > 0 {
        set.notes.push(format!(
            "{cut} passages are cut at their end: the LLM reads {} tokens.",
            session.model.llm.config().max_position_embeddings
        ));
    }
    let other = swapped(set);
    let (swapped, _) = fitted(session, &other)?;
    let in_record = in_record(bench, set);
    let all: Vec<Example> = own
        .iter()
        .chain(&swapped)
        .chain(&in_record)
        .cloned()
        .collect();
    let questions = Questions::new(bench, session, &all)?;
    let answered = |name, role, said| Answered { name, role, said };
    let model = questions.likely(&set.eval, &own, "options")?;
    let calm = calibrated(set, &model);
    let (free, mapped) = questions.free(bench, &set.eval, &own)?;
    let mut all = vec![answered("model", Role::Model, model)];
    all.extend(calm.map(|said| answered("model_calibrated", Role::Model, said)));
    all.push(answered("model_generated", Role::Model, mapped));
    if !in_record.is_empty() {
        let said = questions.likely(&set.eval, &in_record, "options, passage as record")?;
        all.push(answered("model_text_record", Role::Model, said));
    }
    let said = questions.likely(&set.eval, &swapped, "options, swapped")?;
    all.push(answered("swapped", Role::Control, said));
    if set.eval.iter().any(|item| item.passage.is_some()) {
        let (bare, _) = fitted(session, &without_passage(set))?;
        let said = questions.likely(&set.eval, &bare, "options, no passage")?;
        all.push(answered("no_passage", Role::Control, said));
    }
    all.extend(base(bench, set, &own)?.map(|said| answered("base_llm", Role::Baseline, said)));
    let learnt = learnt(bench, set)?;
    all.extend(
        learnt
            .into_iter()
            .map(|(name, said)| answered(name, Role::Baseline, said)),
    );
    Ok((all, free))
}

/// Every question with the record or the passage of another row.
fn swapped(set: &Set) -> Vec<Item> {
    let asked: Vec<[String; 3]> = set.eval.iter().map(about).collect();
    let asked: Vec<Asked<'_>> = asked
        .iter()
        .zip(&set.eval)
        .map(|([kind, question, record], item)| Asked {
            kind,
            question,
            answer: item.reference(),
            record,
        })
        .collect();
    let pairs = set.eval.iter().zip(partners(&asked));
    pairs
        .map(|(item, partner)| {
            let (mut item, other) = (item.clone(), &set.eval[partner]);
            if let (Some(own), Some(theirs)) = (&mut item.passage, &other.passage) {
                own.context.clone_from(&theirs.context);
            }
            if modalities(&item) == modalities(other) {
                item.example.records.clone_from(&other.example.records);
            }
            item
        })
        .collect()
}

fn modalities(item: &Item) -> Vec<&str> {
    item.example
        .records
        .iter()
        .map(|(name, _)| name.as_str())
        .collect()
}

/// Kind (with the modalities that must agree), question and what it is about.
fn about(item: &Item) -> [String; 3] {
    let records = item
        .example
        .records
        .iter()
        .map(|(_, record)| text_of(record));
    let kind = format!("{} {}", item.kind, modalities(item).join(" "));
    match &item.passage {
        Some(passage) => [kind, passage.question.clone(), passage.context.clone()],
        None => [kind, item.text(), records.collect::<Vec<_>>().join("\n")],
    }
}

fn without_passage(set: &Set) -> Vec<Item> {
    let bare = set.eval.iter().cloned().map(|mut item| {
        if let Some(passage) = &mut item.passage {
            passage.context.clear();
        }
        item
    });
    bare.collect()
}

/// Passages as records, where the bundle reads texts.
fn in_record(bench: &Bench<'_>, set: &Set) -> Vec<Example> {
    if !bench.plan.names().contains(&"text") {
        return vec![];
    }
    let passages = set.eval.iter().map(|item| item.passage.as_ref());
    let whole = passages
        .clone()
        .all(|p| p.is_some_and(|p| !p.context.trim().is_empty()));
    match whole {
        true => passages.flatten().map(item::Passage::as_record).collect(),
        false => vec![],
    }
}

/// The frozen LLM; nothing where it would be asked the same by the same.
fn base(bench: &Bench<'_>, set: &mut Set, own: &[Example]) -> Result<Option<Said>> {
    let wordless = own.iter().all(|example| example.records.is_empty());
    if wordless && bench.session.bundle.adapter_dir().is_none() {
        set.notes.push(
            "base_llm is left out: the bundle has no adapter and the questions have no records, so it is the model itself."
                .into(),
        );
        return Ok(None);
    }
    let in_words: Vec<Example> = own.iter().map(worded).collect();
    let frozen = bench.session.base()?;
    let questions = Questions::new(bench, &frozen, &in_words)?;
    questions
        .likely(&set.eval, &in_words, "options, frozen LLM")
        .map(Some)
}

/// What learns without the LLM.
fn learnt(bench: &Bench<'_>, set: &Set) -> Result<Vec<(&'static str, Said)>> {
    let school = School::of(set);
    let mut all = vec![("majority", school.majority())];
    if set.eval.iter().all(|item| item.passage.is_some()) && set.common {
        all.push(("tfidf_logistic", school.words()));
    }
    if let (Some(modality), true) = (&set.modality, set.common)
        && let Some(states) = school.states(bench.session, modality)?
    {
        all.push(("encoder_logistic", school.head(&states)));
        all.push(("encoder_knn_15", school.neighbours(&states)));
    }
    Ok(all
        .into_iter()
        .filter_map(|(name, said)| Some((name, said?)))
        .collect())
}

fn findings(set: &Set, answered: Vec<Answered>, free: &[String]) -> Result<Findings> {
    let rows = set.eval.iter().map(|item| {
        let content = json!([
            item.example.messages,
            item.example.records,
            item.options,
            item.answer
        ]);
        (item.id.as_str(), content.to_string())
    });
    let split = fingerprint(rows);
    let mut findings = Findings::new("qa", set.modality.as_deref(), set.eval.len(), split);
    findings.train_rows = set.train.len();
    findings.methods = answered
        .iter()
        .map(|one| score(Method::new(one.name, one.role), set, &one.said))
        .collect();
    findings.headline = vec!["accuracy".into()];
    findings.sheets = vec![sheet(&findings, set)];
    let right = pictures::accuracies(&findings)?;
    findings.pictures.extend(right);
    findings.pictures.extend(curves(set, &answered)?);
    findings.definitions = DEFINITIONS
        .map(|(k, v)| (k.to_owned(), v.to_owned()))
        .into();
    findings.notes = set.notes.clone();
    if set.train.is_empty() {
        findings.notes.push(FOLDS.into());
    }
    findings.predictions = predictions(set, &answered, free);
    Ok(findings)
}

const FOLDS: &str = "No side of the file is for learning: baselines learn from four fifths of the measured rows and answer \
    the last fifth, five times over; name the field that splits the file with --split-field.";

fn sheet(findings: &Findings, set: &Set) -> Sheet {
    let columns = ["accuracy", "macro_f1", "auroc", "answered"];
    let shown: Vec<&str> = columns
        .into_iter()
        .filter(|metric| {
            findings
                .methods
                .iter()
                .any(|m| m.numbers.contains_key(*metric))
        })
        .collect();
    let header = std::iter::once("method").chain(shown.iter().copied());
    let mut table = Table::of(1, header.map(str::to_owned).collect());
    for method in &findings.methods {
        let cell = |metric: &&str| {
            let number = method.numbers.get(*metric);
            number.map_or(String::new(), |number| format!("{:.3}", number.value))
        };
        table.row(&method.name, shown.iter().map(cell));
    }
    let common = format!("Classes: {}.", set.classes.join(", "));
    Sheet {
        title: "closed questions".into(),
        table,
        legend: match set.common && set.classes.len() <= 9 {
            true => common,
            false => "Options differ from question to question.".into(),
        },
    }
}

/// ROC curves of two classes.
fn curves(set: &Set, answered: &[Answered]) -> Result<Option<Picture>> {
    if !set.common || set.classes.len() != 2 {
        return Ok(None);
    }
    let truth: Vec<bool> = set
        .eval
        .iter()
        .map(|item| item.truth() == set.positive)
        .collect();
    let series = answered.iter().filter_map(|one| {
        let shares = one.said.shares.as_ref()?;
        let scores: Vec<f64> = shares.iter().map(|row| row[set.positive]).collect();
        Some(Series {
            name: one.name.replace('_', " "),
            points: roc_curve(&scores, &truth),
        })
    });
    Picture::chart(Plot {
        id: "qa-roc".into(),
        title: "ROC curves".into(),
        note: "Share of the rows that are so and are found, over the share of those that are not so and are found with them; \
               the diagonal is guessing."
            .into(),
        across: Across {
            name: "false positives".into(),
            logarithmic: false,
            whole: false,
        },
        series: series.filter(|series| series.points.len() > 2).collect(),
        levels: vec![],
        scale: Scale::Share,
    })
}

fn predictions(set: &Set, answered: &[Answered], free: &[String]) -> Vec<Value> {
    let rows = set.eval.iter().enumerate();
    rows.map(|(at, item)| {
        let mut row = json!({
            "id": item.id, "kind": item.kind, "reference": item.reference(), "options": item.options,
            "generated": free.get(at),
        });
        for one in answered {
            let name = if one.name == "model" { "prediction" } else { one.name };
            let chosen = one.said.chosen[at].and_then(|option| item.options.get(option));
            row[name] = json!(chosen);
            if let Some(shares) = &one.said.shares {
                row[format!("{name}_probabilities")] = json!(shares[at]);
            }
        }
        row
    })
    .collect()
}

const DEFINITIONS: [(&str, &str); 5] = [
    (
        "accuracy",
        "Share of rows whose option with the largest length-normalised likelihood (mean ln p of its tokens, the end of the \
         turn included) is the right one; of model_generated, share of greedy answers that name the right option, an answer \
         that names none being wrong. scikit-learn accuracy_score.",
    ),
    (
        "macro_f1",
        "Mean F1 over the classes that are some row's truth or answer (scikit-learn f1_score, average=\"macro\", \
         zero_division=0, with those labels); options that differ between rows are classes by their text or, of choices, by \
         their letter.",
    ),
    (
        "auroc",
        "Area under the ROC curve with midranks for ties: of the first class (yes) where there are two, else the mean over \
         classes, each against the rest (scikit-learn roc_auc_score, multi_class=\"ovr\", average=\"macro\"). The score is \
         the softmax of length-normalised likelihoods over the options.",
    ),
    (
        "answered",
        "Share of greedy answers that name one of the options.",
    ),
    (
        "model_calibrated",
        "Not a metric but a method: the mean logarithm of each option over all measured rows is taken away first (batch \
         calibration, Zhou et al. 2023).",
    ),
];
