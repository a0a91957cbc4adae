//! Conversations and explanations with the real program, over a bundle of four modalities that was trained for two steps: what it
//! says means nothing, how it comes about is checked.

use std::io::Write as _;
use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::sync::OnceLock;

use bioverse_tests::{Ended, bioverse, run};
use serde_json::{Value, json};
use tempfile::TempDir;

/// One pair of every modality but molecules, which have a file.
fn pairs(dir: &Path) -> PathBuf {
    let proteins = (0..8)
        .map(|n| json!({"records": [["protein", format!("MKTAYIAK{}", "QR".repeat(n))]], "n": n}));
    let cells = (0..8).map(|n| {
        let genes: Vec<String> = (0..6)
            .map(|i| format!("GENE{}", (n * 5 + i) % 60))
            .collect();
        json!({"records": [["cell", {"genes": genes, "values": [1, 2, 3, 4, 5, 6]}]], "n": n})
    });
    let texts =
        (0..8).map(|n| json!({"records": [["text", format!("a cell of kind {n}")]], "n": n}));
    let rows = proteins.chain(cells).chain(texts).map(|mut row| {
        let name = row["records"][0][0].as_str().expect("a name").to_owned();
        row["messages"] = json!([
            {"role": "user", "content": format!("What is <{name}>?")},
            {"role": "assistant", "content": format!("It is number {}.", row["n"])},
        ]);
        format!("{row}\n")
    });
    let file = dir.join("pairs.jsonl");
    std::fs::write(&file, rows.collect::<String>()).expect("a data file");
    file
}

/// What both stages have in common, with their results in `dir`.
fn models(dir: &Path) -> String {
    format!(
        "[run]\ndir = '{}'\nseed = 7\n[llm]\npath = 'tests/golden/llama'\n\
         [projector]\nhidden_sizes = [16, 16]\nnum_soft_tokens = 2\npooling = 'mean'\n\
         [modality.molecule]\npath = 'tests/golden/chemberta'\n[modality.protein]\npath = 'tests/golden/esm2'\n\
         [modality.cell]\npath = 'tests/golden/scgpt'\n[modality.text]\npath = 'tests/golden/bert'\n",
        dir.display()
    )
}

/// The bundle, made once.
fn bundle() -> String {
    static RUN: OnceLock<TempDir> = OnceLock::new();
    let dir = RUN.get_or_init(|| {
        let dir = tempfile::tempdir().expect("a scratch directory");
        let config = dir.path().join("run.toml");
        let text = format!(
            "{}[[data.mixture]]\ntrain = 'tests/data/molecules.jsonl'\nmodality = 'molecule'\ninput_field = 'smiles'\n\
             text_field = 'text'\nsplit_field = 'split'\n[[data.mixture]]\ntrain = '{}'\n\
             [align]\nbatch_size = 4\nsteps = 2\nwarmup_steps = 1\n",
            models(&dir.path().join("run")),
            pairs(dir.path()).display(),
        );
        std::fs::write(&config, text).expect("a config");
        run(["align", "--config", &config.display().to_string()]).ok();
        dir
    });
    dir.path().join("run").display().to_string()
}

/// A conversation from a pipe.
fn talk(args: &[&str], script: &str) -> Ended {
    let bundle = bundle();
    let mut all = vec!["chat", "--bundle", &bundle, "--max-new-tokens", "4"];
    all.extend(args);
    let mut child = bioverse(all)
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .expect("the program starts");
    let mut stdin = child.stdin.take().expect("a pipe");
    stdin
        .write_all(script.as_bytes())
        .expect("the script is read");
    drop(stdin);
    child.wait_with_output().expect("it ends").into()
}

fn ask(args: &[&str]) -> Ended {
    let bundle = bundle();
    let mut all = vec!["ask", "--bundle", &bundle, "--max-new-tokens", "4"];
    all.extend(args);
    run(all)
}

fn read(path: &Path) -> Value {
    serde_json::from_str(&std::fs::read_to_string(path).expect("a file")).expect("JSON")
}

#[test]
fn a_conversation_goes_on_from_what_was_said_with_its_records() {
    let dir = tempfile::tempdir().expect("a scratch directory");
    let file = |name: &str| dir.path().join(name);
    std::fs::write(file("p.fasta"), ">a\nMKTAYIAK\n>b\nMKTWWWW\n").expect("a file");
    std::fs::write(file("t.txt"), "A cell\n\nof some kind.\n").expect("a file");
    let (saved, proteins, text) = (file("talk.jsonl"), file("p.fasta"), file("t.txt"));
    let script = format!(
        "/molecule CCO\nWhat is it?\nSure?\n/protein {}#b\n/text {}\nDoes <molecule> bind <protein>?\n/records\n/save {}\n/quit\nnever\n",
        proteins.display(),
        text.display(),
        saved.display()
    );
    let ended = talk(&["--system", "Be brief."], &script).ok();
    assert!(
        ended.stdout.contains("  1  molecule  CCO"),
        "{}",
        ended.stdout
    );
    assert!(ended.stdout.contains("message 3"), "{}", ended.stdout);
    let row = read(&saved);
    let contents: Vec<&str> = row["messages"]
        .as_array()
        .expect("messages")
        .iter()
        .map(|m| m["content"].as_str().expect("text"))
        .collect();
    assert_eq!(contents.len(), 7, "{row}");
    assert_eq!(
        [contents[0], contents[1], contents[3], contents[5]],
        [
            "Be brief.",
            "<molecule> What is it?",
            "Sure?",
            "<text> Does <molecule> bind <protein>?"
        ]
    );
    assert_eq!(
        row["records"],
        json!([
            ["molecule", "CCO"],
            ["text", "A cell\nof some kind."],
            ["molecule", "CCO"],
            ["protein", "MKTWWWW"]
        ])
    );
    // What was said in the conversation is what one question with all of it before gets.
    let first = ask(&["--molecule", "CCO", "What is it?"]).ok().stdout;
    let alone = talk(&["--molecule", "CCO"], "What is it?\n").ok().stdout;
    assert_eq!(first, alone, "chat answers as ask does");
    let answer = contents[2].replace("\\<", "<");
    assert!(
        ended.stdout.starts_with(&answer),
        "{answer}: {}",
        ended.stdout
    );
    // The row is one that stage 2 reads.
    let config = file("tune.toml");
    let text = format!(
        "{}[data]\ntrain = '{}'\n[finetune]\nfrom = '{}'\nbatch_size = 1\nsteps = 1\nwarmup_steps = 0\nmax_length = 512\n",
        models(dir.path()),
        saved.display(),
        bundle()
    );
    std::fs::write(&config, text).expect("a config");
    let config = config.display().to_string();
    let shown = run(["finetune", "--config", &config, "--dry-run"]).ok();
    assert!(shown.stdout.contains("‹protein ×2›"), "{}", shown.stdout);
}

#[test]
fn what_cannot_be_followed_is_said_and_the_conversation_goes_on() {
    let script = "/rna ACGU\n/molecul CCO\n/molecule C1CC\n/protein missing.fasta\nIs it <protein>?\n/explain\n/forget 1\n/molecule CCO\nWhat is it?\n";
    let ended = talk(&[], script);
    assert_eq!(ended.code, 2, "{ended:#?}");
    for said in [
        "`/rna` is neither a command nor a modality",
        "did you mean `/molecule`?",
        "C1CC",
        "missing.fasta",
        "`<protein>` has no record",
        "there is no answer to explain yet",
        "there is no record 1",
        "7 lines of the conversation were refused",
    ] {
        assert!(
            ended.stderr.contains(said),
            "no `{said}` in {}",
            ended.stderr
        );
    }
    assert!(!ended.stderr.contains("bug"), "{}", ended.stderr);
    assert!(
        !ended.stdout.trim().is_empty(),
        "the good message was answered"
    );
}

#[test]
fn a_conversation_that_grows_too_long_is_refused_whole() {
    let long = "word ".repeat(600);
    let ended = talk(
        &[],
        &format!("/molecule CCO\n{long}\nWhat is it?\n/records\n"),
    );
    assert_eq!(ended.code, 2, "{ended:#?}");
    assert!(
        ended
            .stderr
            .contains("the LLM reads 512 at most; the message was not sent"),
        "{}",
        ended.stderr
    );
    // The record waited for the next message.
    assert!(ended.stdout.contains("message 1"), "{}", ended.stdout);
}

#[test]
fn forgetting_and_starting_anew_take_records_away() {
    let ended = talk(
        &["--molecule", "CCO"],
        "What is it?\n/forget\n/records\n/molecule C\n/reset\n/records\n",
    )
    .ok();
    assert_eq!(
        ended.stdout.matches("no records").count(),
        2,
        "{}",
        ended.stdout
    );
    assert!(
        ended.stderr.contains("gone: 1 message and 1 record"),
        "{}",
        ended.stderr
    );
}

#[test]
fn every_modality_is_explained_by_the_names_of_its_tokens() {
    let dir = tempfile::tempdir().expect("a scratch directory");
    let (data, page) = (dir.path().join("why.json"), dir.path().join("why.html"));
    let cell = r#"{"genes": ["GENE1", "GENE2", "GENE3"], "values": [3, 1, 2]}"#;
    let (data_text, page_text) = (data.display().to_string(), page.display().to_string());
    let args = [
        "--molecule",
        "OCC",
        "--protein",
        "MKT",
        "--cell",
        cell,
        "--text",
        "a cell",
        "--explain",
        "--explain-json",
        data_text.as_str(),
        "--explain-html",
        page_text.as_str(),
        "Do <molecule>, <protein>, <cell> and <text> agree?",
    ];
    let ended = ask(&args).ok();
    let widest = ended
        .stdout
        .lines()
        .skip(1)
        .map(|line| line.chars().count())
        .max();
    assert!(
        widest.is_some_and(|widest| widest <= 80),
        "{}",
        ended.stdout
    );
    let explanation = read(&data);
    let records = explanation["records"].as_array().expect("records");
    let mut named = std::collections::BTreeMap::new();
    for record in records {
        let tokens = record["tokens"].as_array().expect("tokens");
        let labels = tokens
            .iter()
            .flat_map(|token| token["labels"].as_array().expect("labels"));
        let labels: Vec<String> = labels
            .map(|label| label.as_str().expect("text").trim().to_owned())
            .collect();
        assert_eq!(record["method"], "encoded");
        assert_eq!(record["soft"].as_array().expect("soft").len(), 2);
        named.insert(record["modality"].as_str().expect("a name"), labels);
    }
    assert_eq!(
        named["molecule"].concat(),
        "CCO",
        "the canonical form is what the encoder read"
    );
    assert_eq!(named["protein"], ["M", "K", "T"]);
    assert_eq!(named["cell"], ["GENE1", "GENE2", "GENE3"]);
    assert_eq!(named["text"].concat().replace("##", ""), "acell");
    let html = std::fs::read_to_string(&page).expect("a page");
    assert!(
        html.contains("GENE2") && !html.contains("<script"),
        "{html}"
    );
    assert!(!html.contains("http"), "the page needs nothing but itself");
    // The same again is the same.
    let again = dir.path().join("again.json");
    let again_text = again.display().to_string();
    let mut same = args;
    same[10] = &again_text;
    ask(&same).ok();
    assert_eq!(read(&again), explanation);
}

#[test]
fn a_long_record_is_occluded_in_runs() {
    let dir = tempfile::tempdir().expect("a scratch directory");
    let file = dir.path().join("why.json").display().to_string();
    let args = [
        "--protein",
        "MKTAYIAKQR",
        "--explain-json",
        file.as_str(),
        "--explain-limit",
        "4",
        "What is it?",
    ];
    let ended = ask(&args).ok();
    assert!(
        !ended.stdout.contains("occlusion"),
        "only a file was asked for"
    );
    let explanation = read(Path::new(&file));
    let tokens = explanation["records"][0]["tokens"]
        .as_array()
        .expect("tokens");
    let runs: Vec<String> = tokens
        .iter()
        .map(|run| {
            let labels = run["labels"].as_array().expect("labels").iter();
            labels.map(|label| label.as_str().expect("text")).collect()
        })
        .collect();
    assert_eq!(runs, ["MKT", "AYI", "AKQ", "R"]);
}

#[test]
fn an_explanation_in_a_conversation_is_about_its_last_answer() {
    let dir = tempfile::tempdir().expect("a scratch directory");
    let (data, bad) = (dir.path().join("why.json"), dir.path().join("why.txt"));
    let script = format!(
        "What is it?\n/protein MK\nAnd this?\n/explain {}\n/explain {}\n",
        data.display(),
        bad.display()
    );
    let ended = talk(&["--molecule", "CCO"], &script);
    assert_eq!(ended.code, 2);
    assert!(
        ended.stderr.contains("ends in .html or .json"),
        "{}",
        ended.stderr
    );
    let explanation = read(&data);
    assert_eq!(explanation["question"], "<protein> And this?");
    let names: Vec<&str> = explanation["records"]
        .as_array()
        .expect("records")
        .iter()
        .map(|r| r["modality"].as_str().expect("a name"))
        .collect();
    assert_eq!(names, ["molecule", "protein"]);
    let nothing = talk(&[], "What is it?\n/explain\n");
    assert!(
        nothing
            .stderr
            .contains("has no record, so there is nothing to explain"),
        "{}",
        nothing.stderr
    );
}
