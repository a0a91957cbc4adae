//! Suite `describe`: what the bundle says about a record, against what is written about it; beside the frozen LLM, the text
//! of the nearest training record, the most ordinary text, and the same bundle with another row's record.

pub mod facts;
pub mod nearest;
pub mod rows;
pub mod score;

use bioverse_core::{Example, Record};
use bioverse_nn::Tokenizer;
use serde_json::{Map, Value, json};
use tracing::info;

use super::bench::Bench;
use super::findings::{Findings, Method, Role, Sheet};
use super::pictures;
use super::rows::{fingerprint, text_of};
use super::swap::{Asked, distant_partners};
use super::table::Table;
use super::worded::worded;
use crate::error::{Error, Result};
use facts::{Facts, Vocabulary};
use rows::{Rows, Told};
use score::References;

/// The suite's name, and the kind of its questions.
const SUITE: &str = "describe";

/// Runs the suite, modality by modality.
pub fn run(bench: &Bench<'_>) -> Result<Vec<Findings>> {
    let modalities = described(bench)?;
    let several = modalities.len() > 1;
    let mut found = vec![];
    let mut missing = None;
    for modality in modalities {
        match Rows::of(bench, &modality) {
            Ok(rows) => found.push(one(bench, &modality, &rows)?),
            // Not every modality of a bundle need have descriptions.
            Err(error @ Error::Input(_)) if several => missing = Some(error),
            Err(error) => return Err(error),
        }
    }
    match missing {
        Some(error) if found.is_empty() => Err(error),
        _ => Ok(found),
    }
}

fn described(bench: &Bench<'_>) -> Result<Vec<String>> {
    let sides = bench
        .plan
        .pairs
        .as_ref()
        .or(bench.plan.instructions.as_ref());
    match sides {
        Some(sides) => bench.plan.modalities(bench.request, &sides.eval),
        None => Ok(vec![]),
    }
}

/// Texts of one method, row by row.
struct Texts {
    name: &'static str,
    role: Role,
    texts: Vec<String>,
}

fn one(bench: &Bench<'_>, modality: &str, rows: &Rows) -> Result<Findings> {
    info!(
        modality,
        eval = rows.eval.len(),
        train = rows.train.len(),
        "describe"
    );
    let mut notes = vec![];
    let mut said = generated(bench, &rows.eval)?;
    said.extend(copied(bench, modality, rows, &mut notes)?);
    let vocabulary = vocabulary(rows, &mut notes);
    let due: Option<Vec<Facts>> = vocabulary.as_ref().map(|vocabulary| {
        let none = Facts::new();
        let rows = rows.eval.iter();
        rows.map(|row| vocabulary.known(row.facts.as_ref().unwrap_or(&none)))
            .collect()
    });
    let wordpiece = wordpiece(bench)?;
    let references = References {
        texts: rows.eval.iter().map(|row| row.reference.as_str()).collect(),
        wordpiece: wordpiece.as_ref().map(|(_, tokenizer)| tokenizer),
        facts: vocabulary.as_ref().zip(due.clone()),
    };
    let mut findings = Findings::new(SUITE, Some(modality), rows.eval.len(), hash(&rows.eval));
    findings.train_rows = rows.train.len();
    for texts in &said {
        let method = Method::new(texts.name, texts.role);
        findings
            .methods
            .push(references.score(method, &texts.texts)?);
    }
    let folder = wordpiece.as_ref().map(|(folder, _)| folder.as_str());
    findings.definitions = score::definitions(folder, vocabulary.is_some());
    if folder.is_none() {
        notes.push(NO_WORDPIECE.into());
    }
    notes.push(NO_BERTSCORE.into());
    findings.notes = notes;
    findings.headline = vec!["rougeL".into(), "fact_f1".into()];
    findings.sheets = vec![sheet(&findings)];
    let pictures = [
        pictures::bars(
            &findings,
            "rougeL",
            "Like the reference",
            "ROUGE-L with its 95 % interval: the bundle (first), the bundle about other rows' records, and what might be as good.",
        )?,
        pictures::bars(
            &findings,
            "fact_f1",
            "True of the record",
            "F1 of the named facts with its 95 % interval; rows without facts are left out.",
        )?,
    ];
    findings.pictures.extend(pictures.into_iter().flatten());
    let facts = vocabulary.as_ref().zip(due.as_deref());
    findings.predictions = predictions(&rows.eval, &said, facts);
    Ok(findings)
}

/// The numbers that papers compare, method by method.
fn sheet(findings: &Findings) -> Sheet {
    let mut table = Table::of(
        1,
        std::iter::once("method")
            .chain(SHOWN.map(|(_, name)| name))
            .map(str::to_owned)
            .collect(),
    );
    for method in &findings.methods {
        let cell = |(metric, _): (&str, &str)| {
            let number = method.numbers.get(metric);
            number.map_or(String::new(), |number| format!("{:.3}", number.value))
        };
        table.row(&method.name, SHOWN.map(cell));
    }
    Sheet {
        title: "descriptions against their references".into(),
        table,
        legend: "facts: names in the text that are true of the record (F1). shuffled: the \
                 bundle about another row's record; base_llm: the LLM before any training \
                 here, asked in words. All numbers with intervals are in the report."
            .into(),
    }
}

/// Columns of the table: metric, heading.
const SHOWN: [(&str, &str); 6] = [
    ("bleu2_nltk_words", "BLEU-2"),
    ("bleu4_nltk_words", "BLEU-4"),
    ("rougeL", "ROUGE-L"),
    ("meteor_exact_stem_words", "METEOR"),
    ("exact_match", "exact"),
    ("fact_f1", "facts"),
];

const NO_WORDPIECE: &str = "BLEU and METEOR are on words; papers on molecule captions use the WordPiece tokens of SciBERT \
    (allenai/scibert_scivocab_uncased): give its folder with --tokenizer for their variants.";
const NO_BERTSCORE: &str = "BERTScore is left out: it needs roberta-large, which no bundle has.";

/// What language models say: the bundle, the bundle about another row's record, the frozen LLM in words.
fn generated(bench: &Bench<'_>, eval: &[Told]) -> Result<Vec<Texts>> {
    let (session, request) = (bench.session, bench.request);
    let own: Vec<Example> = eval.iter().map(|row| row.example.clone()).collect();
    let shuffled = shuffled(eval);
    let both: Vec<Example> = own.iter().chain(&shuffled).cloned().collect();
    let encoded = session.encode_examples(&both)?;
    let answer = |examples: &[Example]| {
        session.answer_encoded(examples, &encoded, &request.generation, request.batch_size)
    };
    let in_words: Vec<Example> = own.iter().map(worded).collect();
    let base = session.base()?;
    let texts = |name, role, texts| Texts { name, role, texts };
    Ok(vec![
        texts("model", Role::Model, answer(&own)?),
        texts("shuffled", Role::Control, answer(&shuffled)?),
        texts(
            "base_llm",
            Role::Baseline,
            base.answer(&in_words, &request.generation, request.batch_size)?,
        ),
    ])
}

/// Every row about another row's record.
fn shuffled(eval: &[Told]) -> Vec<Example> {
    let texts: Vec<String> = eval.iter().map(|row| text_of(&row.record)).collect();
    let asked: Vec<Asked<'_>> = eval
        .iter()
        .zip(&texts)
        .map(|(row, record)| Asked {
            kind: SUITE,
            question: "",
            answer: &row.reference,
            record,
        })
        .collect();
    let partners = distant_partners(&asked).into_iter();
    let swapped = eval.iter().zip(partners).map(|(row, partner)| {
        let mut example = row.example.clone();
        example.records.clone_from(&eval[partner].example.records);
        example
    });
    swapped.collect()
}

/// What needs no language model: texts of training records.
fn copied(
    bench: &Bench<'_>,
    modality: &str,
    rows: &Rows,
    notes: &mut Vec<String>,
) -> Result<Vec<Texts>> {
    if rows.train.is_empty() {
        notes.push(NO_TRAINING.into());
        return Ok(vec![]);
    }
    let records =
        |side: &[Told]| -> Vec<Record> { side.iter().map(|row| row.record.clone()).collect() };
    let (train, eval) = (records(&rows.train), records(&rows.eval));
    let texts = |name, places: Vec<usize>| Texts {
        name,
        role: Role::Baseline,
        texts: places
            .iter()
            .map(|at| rows.train[*at].reference.clone())
            .collect(),
    };
    let near = nearest::by_encoder(bench.session, modality, &train, &eval)?;
    let mut said = vec![texts("nearest_text", near)];
    if let Some(near) = nearest::by_fingerprint(bench.registry, modality, &train, &eval) {
        said.push(texts("nearest_fingerprint", near));
    }
    let references: Vec<&str> = rows
        .train
        .iter()
        .map(|row| row.reference.as_str())
        .collect();
    let ordinary = nearest::most_ordinary(&references);
    said.extend(ordinary.map(|at| texts("majority_text", vec![at; eval.len()])));
    Ok(said)
}

const NO_TRAINING: &str = "No side of the data is for learning, so the baselines nearest_text, nearest_fingerprint and \
    majority_text are left out; name the field that splits the file with --split-field.";

/// The names that count as facts; a note where there are none.
fn vocabulary(rows: &Rows, notes: &mut Vec<String>) -> Option<Vocabulary> {
    let told = rows.train.iter().chain(&rows.eval);
    let with_facts = told.filter_map(|row| Some((row.facts.as_ref()?, row.reference.as_str())));
    let vocabulary = Vocabulary::of(with_facts);
    if vocabulary.is_empty() {
        notes.push("The rows carry no field `facts`, so no fact-level score is given.".into());
        return None;
    }
    let without = rows.eval.iter().filter(|row| row.facts.is_none()).count();
    if without > 0 {
        notes.push(format!(
            "{without} rows without `facts` are left out of the fact-level score."
        ));
    }
    Some(vocabulary)
}

/// The tokenizer for the variants on WordPiece tokens, with its folder.
fn wordpiece(bench: &Bench<'_>) -> Result<Option<(String, Tokenizer)>> {
    let Some(folder) = &bench.request.tokenizer else {
        return Ok(None);
    };
    Ok(Some((
        folder.display().to_string(),
        Tokenizer::load(folder)?,
    )))
}

fn hash(eval: &[Told]) -> String {
    fingerprint(eval.iter().map(|row| {
        let content = json!([row.record, row.reference]);
        (row.id.as_str(), content.to_string())
    }))
}

fn predictions(
    eval: &[Told],
    said: &[Texts],
    facts: Option<(&Vocabulary, &[Facts])>,
) -> Vec<Value> {
    let rows = eval.iter().enumerate();
    rows.map(|(at, row)| {
        let mut object = Map::new();
        object.insert("id".into(), row.id.clone().into());
        object.insert("reference".into(), row.reference.clone().into());
        for method in said {
            // The bundle's own text is what every suite calls its prediction.
            let name = if method.name == "model" {
                "prediction"
            } else {
                method.name
            };
            object.insert(name.into(), method.texts[at].clone().into());
        }
        if let Some((vocabulary, due)) = facts {
            object.insert("facts".into(), names(&due[at]));
            for method in said {
                let named = vocabulary.named(&method.texts[at]);
                object.insert(format!("facts_{}", method.name), names(&named));
            }
        }
        Value::Object(object)
    })
    .collect()
}

fn names(facts: &Facts) -> Value {
    facts.iter().map(|name| name.join(" ")).collect()
}
