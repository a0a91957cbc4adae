//! Whole runs on a handful of rows.
#![allow(clippy::unwrap_used, clippy::expect_used)]

use std::fmt::Write;
use std::path::Path;

use super::*;

const TRAIN: &str = r#"
seed = 5
device = "cpu"
[tokenizer]
vocab_size = 300
min_count = 2
[train]
steps = 12
batch_tokens = 128
max_length = 32
lr = 1e-2
warmup_steps = 2
weight_decay = 0.01
max_grad_norm = 1.0
held_out = 0.1
log_every = 1
checkpoint_every = 4
"#;

const ROBERTA: &str = r#"
[model]
model_type = "roberta"
hidden_size = 16
num_hidden_layers = 1
num_attention_heads = 2
intermediate_size = 24
max_position_embeddings = 34
type_vocab_size = 1
[exclude]
path = "{data}/excluded.jsonl"
field = "smiles"
where = { split = "test" }
[[corpus]]
path = "{data}/rows.jsonl"
smiles = "smiles"
source = "made up molecules"
license = "CC0"
"#;

const LLAMA: &str = r#"
[model]
model_type = "llama"
hidden_size = 16
num_hidden_layers = 1
num_attention_heads = 2
num_key_value_heads = 1
intermediate_size = 24
max_position_embeddings = 64
rms_norm_eps = 1e-5
tie_word_embeddings = true
[[corpus]]
path = "{data}/rows.jsonl"
text = "{name}: {text}"
source = "made up texts"
license = "CC0"
[[corpus]]
path = "{data}/rows.jsonl"
user = "What is {name}?"
assistant = "{text}"
source = "made up texts"
license = "CC0"
"#;

#[cfg(feature = "protein")]
const ESM: &str = r#"
[model]
model_type = "esm"
hidden_size = 16
num_hidden_layers = 1
num_attention_heads = 2
intermediate_size = 24
max_position_embeddings = 66
position_embedding_type = "rotary"
token_dropout = true
emb_layer_norm_before = false
[masked]
records = "protein"
[[corpus]]
path = "{data}/proteins.jsonl"
sequence = "seq"
about = "{text}"
source = "made up proteins"
license = "CC0"
"#;

const BERT: &str = r#"
[model]
model_type = "bert"
hidden_size = 16
num_hidden_layers = 1
num_attention_heads = 2
intermediate_size = 24
max_position_embeddings = 40
type_vocab_size = 2
[masked]
records = "text"
[[corpus]]
path = "{data}/rows.jsonl"
text = "{name}: {text}"
source = "made up texts"
license = "CC0"
"#;

#[cfg(feature = "single-cell")]
const SCGPT: &str = r#"
[model]
embsize = 16
nheads = 2
d_hid = 24
nlayers = 1
n_bins = 8
[[corpus]]
path = "{data}/cells.jsonl"
components = 2
source = "made up cells"
license = "CC0"
"#;

/// Rows of proteins and cells, the second of two kinds with their own residues and genes.
fn other_rows(dir: &Path) {
    let (mut proteins, mut cells) = (String::new(), String::new());
    for i in 0..48_usize {
        let (motif, word, high) = match i % 2 {
            0 => ("MKTAYIAK", "kinase", 0),
            _ => ("GWGGHPLC", "channel", 6),
        };
        let seq = format!(
            "{}{}",
            motif.repeat(2 + i % 5),
            &"ACDEFGHIKLMNPQRSTVWY"[i % 19..]
        );
        let row = serde_json::json!({"seq": seq, "text": format!("A {word} of many.")});
        writeln!(proteins, "{row}").unwrap();
        let count = |gene: usize| 1 + (gene * 7 + i) % 3 + if gene / 6 * 6 == high { 9 } else { 0 };
        let genes: Vec<String> = (0..12).map(|gene| format!("GENE{gene}")).collect();
        let values: Vec<usize> = (0..12).map(count).collect();
        let row =
            serde_json::json!({"id": format!("c{i}"), "cell": {"genes": genes, "values": values}});
        writeln!(cells, "{row}").unwrap();
    }
    std::fs::write(dir.join("proteins.jsonl"), proteins).unwrap();
    std::fs::write(dir.join("cells.jsonl"), cells).unwrap();
}

/// A folder with rows and a configuration of `kind` in it.
fn folder(kind: &str, rest: &str) -> tempfile::TempDir {
    let dir = tempfile::tempdir().unwrap();
    let mut rows = String::new();
    for middle in ["", "C", "CC", "CO", "CN", "CS", "CF", "CBr", "CCC", "C(C)C"] {
        for (head, tail) in [
            ("CC", "O"),
            ("c1ccccc1", "N"),
            ("C1CCCC1", "Cl"),
            ("CCC", "C(=O)O"),
        ] {
            let smiles = format!("{head}{middle}{tail}");
            let text = format!(
                "A molecule with {} letters that ends in {tail}.",
                smiles.len()
            );
            let name = format!("molecule {smiles}");
            let row = serde_json::json!({"smiles": smiles, "name": name, "text": text});
            writeln!(rows, "{row}").unwrap();
        }
    }
    std::fs::write(dir.path().join("rows.jsonl"), rows).unwrap();
    std::fs::write(
        dir.path().join("excluded.jsonl"),
        "{\"smiles\":\"OCC\",\"split\":\"test\"}\n",
    )
    .unwrap();
    other_rows(dir.path());
    let at = dir.path().display();
    let config = format!(
        "kind = '{kind}'\ntitle = 'Tiny'\noutput = '{at}/model'\nrun_dir = '{at}/run'\ndata = '{at}'\n{TRAIN}{rest}"
    );
    std::fs::write(dir.path().join("run.toml"), config).unwrap();
    dir
}

fn train(dir: &Path, resume: bool) -> PathBuf {
    run(&dir.join("run.toml"), &[], resume).unwrap()
}

fn weights(model: &Path) -> Vec<u8> {
    std::fs::read(model.join("model.safetensors")).unwrap()
}

fn losses(dir: &Path) -> Vec<f64> {
    let text = std::fs::read_to_string(dir.join("run/metrics.jsonl")).unwrap();
    let loss = |line: &str| {
        serde_json::from_str::<Value>(line).unwrap()["loss"]
            .as_f64()
            .unwrap()
    };
    text.lines().map(loss).collect()
}

/// A run whose loss falls, with its card; going on from its end changes nothing.
fn learns(kind: &str, rest: &str) -> (tempfile::TempDir, PathBuf) {
    let dir = folder(kind, rest);
    let model = train(dir.path(), false);
    let first = weights(&model);
    let again = weights(&train(dir.path(), true));
    assert!(
        first == again,
        "nothing was left to do, and the model changed"
    );
    let losses = losses(dir.path());
    assert_eq!(losses.len(), 12);
    assert!(losses[11] < losses[0], "{losses:?}");
    let card = std::fs::read_to_string(model.join("README.md")).unwrap();
    for part in [
        "# Tiny",
        "| made up",
        "Seed 5, 12 steps",
        "pretrain --config",
    ] {
        assert!(card.contains(part), "`{part}` is missing in\n{card}");
    }
    (dir, model)
}

#[cfg(feature = "molecule")]
#[test]
fn an_encoder_is_made_that_loads_like_any_other() {
    let (_dir, model) = learns("masked", ROBERTA);
    let tokenizer = bioverse_nn::Tokenizer::load(&model).unwrap();
    let encoder = bioverse_nn::TransformerEncoder::load(&model, &Device::flex()).unwrap();
    assert_eq!(encoder.config().vocab_size, tokenizer.vocab_size());
    let ids = tokenizer.encode_with_special("c1ccccc1CO").unwrap();
    assert_eq!(
        ids.len(),
        12,
        "one token per atom or ring closure, and two ends"
    );
}

#[cfg(feature = "molecule")]
#[test]
fn excluded_molecules_are_in_neither_part() {
    let dir = folder("masked", ROBERTA);
    let config = PretrainConfig::load(&dir.path().join("run.toml"), &[]).unwrap();
    let parts = corpus::molecules(&config).unwrap();
    let records = parts.train.iter().chain(&parts.held_out);
    let records: Vec<&str> = records.map(|passage| passage.text.as_str()).collect();
    let all = || records.iter().copied();
    assert!(all().any(|smiles| smiles == "CCCO"));
    assert!(
        !all().any(|smiles| smiles == "CCO"),
        "written OCC in the excluded file"
    );
    let distinct: std::collections::BTreeSet<_> = all().collect();
    assert_eq!(distinct.len(), all().count());
    assert_eq!(parts.rows, [all().count()]);
}

#[cfg(feature = "protein")]
#[test]
fn an_esm_is_made_that_the_protein_plugin_reads() {
    use bioverse_core::Modality;
    let (_dir, model) = learns("masked", ESM);
    let config = bioverse_protein::Config {
        path: model,
        ..Default::default()
    };
    let protein = bioverse_protein::Protein::load(&config, &Device::flex()).unwrap();
    let tokens = protein.tokenize(&"MKTAYIAK".to_string()).unwrap();
    assert_eq!((tokens.len(), protein.d_hidden()), (10, 16));
}

#[cfg(feature = "protein")]
#[test]
fn what_a_run_holds_out_at_random_is_not_learnt_from() {
    let dir = folder("masked", &format!("{ESM}split_fraction = 0.4\n"));
    let config = PretrainConfig::load(&dir.path().join("run.toml"), &[]).unwrap();
    let parts = corpus::passages(&config).unwrap();
    let seen: Vec<&str> = parts
        .train
        .iter()
        .chain(&parts.held_out)
        .map(|p| p.text.as_str())
        .collect();
    let data = crate::config::DataSection {
        train: dir.path().join("proteins.jsonl"),
        modality: Some("protein".into()),
        input_field: Some("seq".into()),
        text_field: Some("text".into()),
        split_by: Some("random".into()),
        split_fraction: 0.4,
        ..Default::default()
    };
    let registry = crate::registry::standard();
    let held = crate::data::read_examples(&data, crate::data::Split::Eval, &["protein"], &registry)
        .unwrap();
    assert!(held.len() > 4);
    for example in &held {
        let sequence = example.records[0].1.as_str().unwrap();
        assert!(!seen.contains(&sequence), "{sequence}");
    }
}

#[test]
fn a_bert_is_made_that_loads_like_any_other() {
    let (_dir, model) = learns("masked", BERT);
    let tokenizer = bioverse_nn::Tokenizer::load(&model).unwrap();
    let encoder = bioverse_nn::TransformerEncoder::load(&model, &Device::flex()).unwrap();
    assert_eq!(encoder.config().vocab_size, tokenizer.vocab_size());
    let ids = tokenizer.encode_with_special("molecule").unwrap();
    assert_eq!((ids[0], ids.last()), (2, Some(&3)));
}

#[cfg(feature = "single-cell")]
#[test]
fn a_scgpt_is_made_that_the_cell_plugin_reads() {
    use bioverse_core::Modality;
    let (_dir, model) = learns("cell", SCGPT);
    let config = bioverse_single_cell::Config {
        path: model,
        ..Default::default()
    };
    let cell = bioverse_single_cell::Cell::load(&config, &Device::flex()).unwrap();
    let record = serde_json::json!({"genes": ["GENE3", "GENE4"], "values": [2, 5]});
    let tokens = cell
        .tokenize(&serde_json::from_value(record).unwrap())
        .unwrap();
    assert_eq!((tokens.input_ids.len(), cell.d_hidden()), (3, 16));
}

#[test]
fn a_language_model_is_made_that_loads_and_talks() {
    let (_dir, model) = learns("causal", LLAMA);
    let tokenizer = bioverse_nn::Tokenizer::load(&model).unwrap();
    let lm = CausalLm::load(&model, &Device::flex()).unwrap();
    assert_eq!(lm.config().vocab_size, tokenizer.vocab_size());
    assert_eq!(lm.config().eos_token_id, [2]);
    let question = [bioverse_nn::chat::ChatMessage::new("user", "What is it?")];
    let text = tokenizer
        .chat_template()
        .unwrap()
        .render(&question, true)
        .unwrap();
    assert_eq!(text, "<|bos|><|user|>What is it?<|eos|><|assistant|>");
    assert_eq!(
        tokenizer.tokens(&tokenizer.encode(&text).unwrap())[..2],
        ["<|bos|>", "<|user|>"]
    );
}

#[test]
fn another_configuration_does_not_go_on_from_this_checkpoint() {
    let dir = folder("causal", LLAMA);
    let file = dir.path().join("run.toml");
    run(&file, &[], false).unwrap();
    let error = run(&file, &["train.lr=0.5".into()], true).unwrap_err();
    assert!(error.to_string().contains("train.lr"), "{error}");
    run(&file, &["train.log_every=3".into()], true).unwrap();
}

const CHILD: &str = "BIOVERSE_PRETRAIN_TEST_DIR";

#[test]
#[ignore = "started by the test below: Burn's generator is shared by all tests of a process"]
fn one_run_alone() {
    if let Ok(dir) = std::env::var(CHILD) {
        train(Path::new(&dir), false);
    }
}

#[test]
fn the_same_seed_gives_the_same_model() {
    let made = |sets: &str| {
        let dir = folder("causal", LLAMA);
        let file = dir.path().join("run.toml");
        let text = std::fs::read_to_string(&file).unwrap();
        std::fs::write(&file, text.replace("seed = 5", sets)).unwrap();
        let child = std::process::Command::new(std::env::current_exe().unwrap())
            .args(["--ignored", "--exact", "pretrain::tests::one_run_alone"])
            .env(CHILD, dir.path())
            .output()
            .unwrap();
        assert!(child.status.success(), "{child:?}");
        weights(&dir.path().join("model"))
    };
    let first = made("seed = 5");
    assert!(first == made("seed = 5"));
    assert!(first != made("seed = 6"));
}
