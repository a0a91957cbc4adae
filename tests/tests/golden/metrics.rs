//! Metrics of texts, labels, ranks and embeddings against the programs that define them.

use std::path::{Path, PathBuf};

use anyhow::{Context, Result, ensure};
use bioverse::eval::{
    classification::classification,
    metrics::{mean, optimistic_rank_of},
    neighbours::{Distance, nearest_label, silhouette},
    text::{
        bleu::{corpus_bleu, sacrebleu, sacrebleu_sentence},
        meteor::{Matching, meteor},
        rouge::{Rouge, Score},
    },
};
use bioverse_nn::Tokenizer;

use super::check::Check;

pub fn run(check: &mut Check) -> Result<()> {
    let (predictions, references) = texts(&check.folder.path)?;
    bleu(check, &predictions, &references);
    let tokenizer = Tokenizer::load(&tokenizer_folder(&check.folder.path))?;
    let pieces =
        |text: &String| -> Result<Vec<String>> { Ok(tokenizer.tokens(&tokenizer.encode(text)?)) };
    let words = |text: &String| Ok(text.split_whitespace().map(str::to_owned).collect());
    on_tokens(check, "whitespace", &predictions, &references, words)?;
    on_tokens(check, "wordpiece", &predictions, &references, pieces)?;
    rouge(check, &predictions, &references);
    let exact = predictions
        .iter()
        .zip(&references)
        .map(|(said, due)| f64::from(u8::from(said.trim() == due.trim())));
    check.numbers("/results/exact_match", &[mean(exact)]);
    labels(check)?;
    retrieval(check)?;
    embeddings(check)
}

fn texts(folder: &Path) -> Result<(Vec<String>, Vec<String>)> {
    #[derive(serde::Deserialize)]
    struct Texts {
        predictions: Vec<String>,
        references: Vec<String>,
    }
    let text = std::fs::read_to_string(folder.join("texts.json")).context("texts.json")?;
    let texts: Texts = serde_json::from_str(&text).context("texts.json")?;
    ensure!(
        texts.predictions.len() == texts.references.len(),
        "texts.json is uneven"
    );
    Ok((texts.predictions, texts.references))
}

/// WordPiece tokens are those of the folder `bert` beside this one; a folder that came alone uses the shipped one, whose
/// vocabulary is the same.
fn tokenizer_folder(folder: &Path) -> PathBuf {
    let beside = folder.join("../bert");
    match beside.join("tokenizer.json").exists() {
        true => beside,
        false => Path::new(env!("CARGO_MANIFEST_DIR")).join("golden/bert"),
    }
}

fn bleu(check: &mut Check, predictions: &[String], references: &[String]) {
    let got = sacrebleu(predictions, references);
    let at = |key: &str| format!("/results/sacrebleu_corpus/{key}");
    let floats = |counts: [usize; 4]| counts.map(|count| count as f64);
    check.numbers(&at("score"), &[got.score]);
    check.numbers(&at("precisions"), &got.precisions);
    check.numbers(&at("bp"), &[got.brevity_penalty]);
    check.numbers(&at("sys_len"), &[got.sys_len as f64]);
    check.numbers(&at("ref_len"), &[got.ref_len as f64]);
    check.numbers(&at("counts"), &floats(got.counts));
    check.numbers(&at("totals"), &floats(got.totals));
    let pairs = predictions.iter().zip(references).take(10);
    let sentences: Vec<f64> = pairs
        .map(|(said, due)| sacrebleu_sentence(said, due).score)
        .collect();
    check.numbers("/results/sacrebleu_sentence_first10", &sentences);
}

fn on_tokens(
    check: &mut Check,
    name: &str,
    predictions: &[String],
    references: &[String],
    tokens: impl Fn(&String) -> Result<Vec<String>>,
) -> Result<()> {
    let said: Vec<Vec<String>> = predictions.iter().map(&tokens).collect::<Result<_>>()?;
    let due: Vec<Vec<String>> = references.iter().map(&tokens).collect::<Result<_>>()?;
    let at = |key: &str| format!("/results/nltk_{name}/{key}");
    check.numbers(&at("bleu2"), &[corpus_bleu(&said, &due, 2)]);
    check.numbers(&at("bleu4"), &[corpus_bleu(&said, &due, 4)]);
    for (key, matching) in [
        ("meteor_exact", Matching::Exact),
        ("meteor_exact_stem", Matching::ExactAndStem),
    ] {
        let pairs = said.iter().zip(&due);
        let scores: Vec<f64> = pairs.map(|(a, b)| meteor(a, b, matching)).collect();
        check.numbers(&at(key), &scores);
        check.numbers(&at(&format!("{key}_mean")), &[mean(scores.iter().copied())]);
    }
    Ok(())
}

fn rouge(check: &mut Check, predictions: &[String], references: &[String]) {
    type Rule = fn(&str, &str) -> Rouge;
    type Part = fn(&Rouge) -> Score;
    let rules: [(&str, Rule); 2] = [("rouge", Rouge::of), ("rouge_stem", Rouge::stemmed)];
    let parts: [(&str, Part); 3] = [
        ("rouge1", |all| all.rouge1),
        ("rouge2", |all| all.rouge2),
        ("rougeL", |all| all.rouge_l),
    ];
    for (key, rule) in rules {
        let pairs = predictions.iter().zip(references);
        let all: Vec<Rouge> = pairs.map(|(said, due)| rule(said, due)).collect();
        for (name, part) in parts {
            let scores: Vec<Score> = all.iter().map(part).collect();
            let column = |value: fn(&Score) -> f64| scores.iter().map(value).collect::<Vec<f64>>();
            let at = |column: &str| format!("/results/{key}/{name}/{column}");
            check.numbers(&at("f1"), &column(|score| score.f1));
            check.numbers(&at("precision"), &column(|score| score.precision));
            check.numbers(&at("recall"), &column(|score| score.recall));
            check.numbers(&at("f1_mean"), &[mean(scores.iter().map(|score| score.f1))]);
        }
    }
}

fn labels(check: &mut Check) -> Result<()> {
    let truth = check.input_ints("cls.true")?.1;
    let predicted = check.input_ints("cls.pred")?.1;
    let got = classification(truth, predicted);
    let at = |key: &str| format!("/results/classification/{key}");
    let classes: Vec<f64> = got.classes.iter().map(|class| *class as f64).collect();
    check.numbers(&at("accuracy"), &[got.accuracy]);
    // Every record has one label, so micro-averaged F1 is the accuracy.
    check.numbers(&at("micro_f1"), &[got.accuracy]);
    check.numbers(&at("macro_f1"), &[got.macro_f1]);
    check.numbers(&at("weighted_f1"), &[got.weighted_f1]);
    check.numbers(&at("per_class_f1"), &got.per_class_f1);
    check.numbers(&at("classes"), &classes);
    Ok(())
}

/// The rows of a matrix.
fn rows(check: &mut Check, name: &str) -> Result<Vec<Vec<f32>>> {
    let data = check.input_data(name)?;
    let width = data.shape().to_vec().get(1).copied().unwrap_or(1);
    let values: Vec<f32> = data.iter::<f32>().collect();
    Ok(values.chunks(width).map(<[f32]>::to_vec).collect())
}

fn retrieval(check: &mut Check) -> Result<()> {
    let plain = rows(check, "ret.sim")?;
    let ties = rows(check, "ret.sim_ties")?;
    let turned: Vec<Vec<f32>> = (0..plain.len())
        .map(|j| plain.iter().map(|row| row[j]).collect())
        .collect();
    ranks(check, "bio_to_text", &plain);
    ranks(check, "text_to_bio", &turned);
    ranks(check, "ties_bio_to_text", &ties);
    Ok(())
}

fn ranks(check: &mut Check, direction: &str, scores: &[Vec<f32>]) {
    let rows = scores.iter().enumerate();
    let ranks: Vec<f64> = rows
        .map(|(i, row)| optimistic_rank_of(row, i) as f64)
        .collect();
    let got = bioverse::eval::metrics::Retrieval::from_ranks(&ranks);
    let at = |key: &str| format!("/results/retrieval/{direction}/{key}");
    check.numbers(&at("ranks"), &ranks);
    check.numbers(&at("mean_rank"), &[mean(ranks.iter().copied())]);
    for (key, value) in [
        ("R@1", got.r1),
        ("R@5", got.r5),
        ("R@10", got.r10),
        ("MRR", got.mrr),
        ("median_rank", got.median_rank),
    ] {
        check.numbers(&at(key), &[value]);
    }
}

fn embeddings(check: &mut Check) -> Result<()> {
    let (x, test) = (rows(check, "emb.x")?, rows(check, "emb.test_x")?);
    let labels = check.input_ints("emb.labels")?.1;
    let test_labels = check.input_ints("emb.test_labels")?.1;
    let k = check.folder.count("/results/embedding/k")?;
    for (name, distance) in [
        ("euclidean", Distance::Euclidean),
        ("cosine", Distance::Cosine),
    ] {
        let at = |key: &str| format!("/results/embedding/{name}/{key}");
        let samples = silhouette(&x, labels, distance);
        check.numbers(&at("silhouette_samples"), &samples);
        check.numbers(&at("silhouette"), &[mean(samples.iter().copied())]);
        let predicted: Option<Vec<i64>> = test
            .iter()
            .map(|query| nearest_label(&x, labels, query, k, distance))
            .collect();
        let predicted = predicted.context("there are no neighbours")?;
        let accuracy = classification(test_labels, &predicted).accuracy;
        check.numbers(&at("knn_accuracy"), &[accuracy]);
        let predicted: Vec<f64> = predicted.iter().map(|label| *label as f64).collect();
        check.numbers(&at("knn_pred"), &predicted);
    }
    Ok(())
}
