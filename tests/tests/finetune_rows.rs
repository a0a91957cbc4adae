//! Rows of stage 2 with the real program: conversations with records of several modalities, how often rows of a mixture are
//! drawn, and chat templates that would teach something else.

use std::fs;
use std::path::{Path, PathBuf};

use bioverse_tests::tuning::{aligned, dry, metrics};
use bioverse_tests::{root, run};
use serde_json::{Value, json};
use tempfile::TempDir;

fn scratch() -> TempDir {
    tempfile::tempdir().expect("a scratch directory")
}

/// A copy of the tiny LLM with another chat template.
fn llm_with(dir: &Path, template: &str) -> PathBuf {
    let (from, to) = (root().join("tests/golden/llama"), dir.join("llm"));
    fs::create_dir_all(&to).unwrap();
    for file in [
        "config.json",
        "generation_config.json",
        "model.safetensors",
        "tokenizer.json",
    ] {
        fs::copy(from.join(file), to.join(file)).unwrap();
    }
    let settings = fs::read_to_string(from.join("tokenizer_config.json")).unwrap();
    let mut settings: Value = serde_json::from_str(&settings).unwrap();
    settings["chat_template"] = json!(template);
    fs::write(to.join("tokenizer_config.json"), settings.to_string()).unwrap();
    to
}

#[test]
fn a_wrong_chat_template_is_refused_by_the_dry_run() {
    let turn = "<|start_header_id|>{{ m.role }}<|end_header_id|>{{ '\\n\\n' + m.content | trim }}<|eot_id|>";
    let prompt = "<|start_header_id|>assistant<|end_header_id|>{{ '\\n\\n' }}";
    let style = |turn: &str, prompt: &str| {
        format!(
            "{{% for m in messages %}}{turn}{{% endfor %}}{{% if add_generation_prompt %}}{prompt}{{% endif %}}"
        )
    };
    let changed = |to: &str| style(&turn.replace("m.content | trim", to), prompt);
    for (name, template, reason) in [
        ("good", style(turn, prompt), None),
        (
            "upper",
            changed("m.content | upper"),
            Some("drops or changes the text of turn 1 (user)"),
        ),
        (
            "drops",
            changed("('' if m.role == 'assistant' else m.content)"),
            Some("drops or changes the text of turn 2 (assistant)"),
        ),
        ("twice", changed("m.content + m.content"), Some("2 times")),
        ("no-prompt", style(turn, ""), Some("in front of the answer")),
        (
            "other-prompt",
            style(turn, "<|start_header_id|>model<|end_header_id|>"),
            Some("ends a question with"),
        ),
        (
            "alike",
            style("{{ m.content }}<|eot_id|>", ""),
            Some("user and assistant turns alike"),
        ),
        (
            "endless",
            style(&turn.replace("<|eot_id|>", "."), prompt),
            Some("does not end a text for this LLM"),
        ),
    ] {
        let dir = scratch();
        let llm = format!("llm.path={}", llm_with(dir.path(), &template).display());
        let start = aligned(dir.path(), &[&llm]);
        let ended = dry(&start, &dir.path().join("dry"), &[&llm]);
        match reason {
            None => assert_eq!(ended.code, 0, "{name}: {ended:?}"),
            Some(reason) => {
                assert_eq!(ended.code, 2, "{name}: {ended:?}");
                assert!(ended.error().contains(reason), "{name}: {}", ended.error());
                assert!(
                    ended.error().contains("questions.jsonl row"),
                    "{}",
                    ended.error()
                );
            }
        }
    }
}

/// Writes a configuration with two modalities; `data` is its last table and `rest` what follows.
fn two_modalities(dir: &Path, name: &str, rest: &str) -> PathBuf {
    let golden = root().join("tests/golden").display().to_string();
    let text = format!(
        "[run]\ndir = '{run}'\nseed = 3\nlog_every = 1\ncheckpoint_every = 0\n[llm]\npath = '{golden}/llama'\n\
         [modality.molecule]\npath = '{golden}/chemberta'\n[modality.protein]\npath = '{golden}/esm2'\n\
         [projector]\nhidden_sizes = [24, 24]\nnum_soft_tokens = 2\n{rest}",
        run = dir.join(name).display(),
    );
    let file = dir.join(format!("{name}.toml"));
    fs::write(&file, text).unwrap();
    file
}

fn write_lines(file: &Path, rows: impl IntoIterator<Item = Value>) -> String {
    let text: String = rows.into_iter().map(|row| format!("{row}\n")).collect();
    fs::write(file, text).unwrap();
    file.display().to_string()
}

const PROTEINS: [&str; 4] = ["MKTAYIAKQR", "GSHMLEDPAA", "MVLSPADKTN", "MNIFEMLRID"];
const MOLECULES: [&str; 4] = ["CCO", "c1ccccc1", "CC(=O)C", "NCC(=O)O"];

/// Stage 1 for both modalities.
fn both_aligned(dir: &Path) -> PathBuf {
    let pair = |(record, text): (&&str, usize)| json!({"record": record, "text": format!("number {text}")});
    let file = |name: &str, records: [&str; 4]| {
        write_lines(&dir.join(name), records.iter().zip(0..).map(pair))
    };
    let (molecules, proteins) = (file("m.jsonl", MOLECULES), file("p.jsonl", PROTEINS));
    let config = two_modalities(
        dir,
        "align",
        &format!(
            "[data]\ninput_field = 'record'\ntext_field = 'text'\n[[data.mixture]]\ntrain = '{molecules}'\nmodality = \
             'molecule'\n[[data.mixture]]\ntrain = '{proteins}'\nmodality = 'protein'\n[align]\nbatch_size = 4\nsteps = \
             2\nwarmup_steps = 1\n"
        ),
    );
    run(["align", "--config", &config.display().to_string()]).ok();
    dir.join("align")
}

#[test]
fn conversations_with_records_of_two_modalities_learn_every_answer_and_nothing_else() {
    let dir = scratch();
    let start = both_aligned(dir.path());
    let answers = ["It binds.", "That one too, like \u{3c}protein>.", "No."];
    let rows = MOLECULES.iter().zip(PROTEINS).map(|(molecule, protein)| {
        json!({
            "messages": [
                {"role": "system", "content": "Be brief."},
                {"role": "user", "content": "Does <molecule> bind <protein>?"},
                {"role": "assistant", "content": answers[0]},
                {"role": "user", "content": "And <molecule>?"},
                {"role": "assistant", "content": answers[1]},
                {"role": "user", "content": "Both?"},
                {"role": "assistant", "content": answers[2]},
            ],
            "records": [["molecule", molecule], ["protein", protein], ["molecule", "CCO"], ["protein", "GSHM"]],
        })
    });
    let rows = write_lines(&dir.path().join("talk.jsonl"), rows);
    let config = |name: &str, more: &str| {
        let rest = format!(
            "[data]\ntrain = '{rows}'\n[finetune]\nfrom = '{}'\nlr = 1e-2\nbatch_size = 2\nsteps = 3\nwarmup_steps = 1\n\
             audit = false\n{more}",
            start.display()
        );
        two_modalities(dir.path(), name, &rest)
            .display()
            .to_string()
    };
    let file = config("tuned", "");
    let text = run(["finetune", "--config", &file, "--dry-run"])
        .ok()
        .stdout;
    let row = text
        .split("talk.jsonl row 1: ")
        .nth(1)
        .and_then(|row| row.split("\n\n").next());
    let (counts, row) = text
        .split("talk.jsonl row 1: ")
        .nth(1)
        .and_then(|row| row.split_once('\n'))
        .unwrap_or_else(|| panic!("{row:?}"));
    assert!(counts.contains(" 8 soft "), "{counts}");
    let row = row.split("talk.jsonl row 2").next().unwrap_or(row);
    let learnt: Vec<&str> = row
        .split('⟦')
        .skip(1)
        .filter_map(|part| part.split('⟧').next())
        .collect();
    assert_eq!(
        learnt,
        [
            "It binds.<|eot_id|>",
            "That one too, like ",
            ".<|eot_id|>",
            "No.<|eot_id|>"
        ]
    );
    let soft: Vec<&str> = row
        .split('‹')
        .skip(1)
        .filter_map(|part| part.split(' ').next())
        .collect();
    assert_eq!(soft, ["molecule", "protein", "molecule", "protein"]);

    run(["finetune", "--config", &file]).ok();
    for modality in ["molecule", "protein"] {
        let file = format!("bundle/projectors/{modality}.safetensors");
        let [before, after] =
            [&start, &dir.path().join("tuned")].map(|run| fs::read(run.join(&file)).unwrap());
        assert_ne!(before, after, "{modality}");
    }
    let packed = config(
        "packed",
        "packing = true\nmax_length = 400\ngradient_checkpointing = true\n",
    );
    run(["finetune", "--config", &packed]).ok();
    let losses: Vec<f64> = metrics(&dir.path().join("packed"))
        .iter()
        .filter_map(|line| line["loss"].as_f64())
        .collect();
    assert!(losses.len() == 3 && losses[2] < losses[0], "{losses:?}");
}

#[test]
fn sources_and_modalities_are_drawn_by_their_weights() {
    let dir = scratch();
    let start = both_aligned(dir.path());
    let ask = |modality: &str, record: &str| {
        json!({
            "messages": [{"role": "user", "content": format!("<{modality}>?")}, {"role": "assistant", "content": "Yes."}],
            "records": [[modality, record]],
        })
    };
    let many = (0..40).map(|n| ask("molecule", MOLECULES[n % 4]));
    let many = write_lines(&dir.path().join("many.jsonl"), many);
    let few = write_lines(
        &dir.path().join("few.jsonl"),
        (0..8).map(|n| ask("protein", PROTEINS[n % 4])),
    );
    let shares = |weights: [f64; 2], more: &str| -> Vec<f64> {
        let [heavy, light] = weights;
        let rest = format!(
            "[[data.mixture]]\ntrain = '{many}'\nweight = {heavy}\n[[data.mixture]]\ntrain = '{few}'\nweight = {light}\n\
             [finetune]\nfrom = '{}'\nbatch_size = 4\nsteps = 4\nwarmup_steps = 1\n{more}",
            start.display()
        );
        let config = two_modalities(dir.path(), "mixed", &rest)
            .display()
            .to_string();
        let text = run(["finetune", "--config", &config, "--dry-run"])
            .ok()
            .stdout;
        let drawn = text.lines().filter(|line| line.contains(" rows, drawn "));
        let count = |line: &str| line.split("drawn ").nth(1)?.split(' ').next()?.parse().ok();
        drawn
            .map(|line| count(line).unwrap_or_else(|| panic!("{line}")))
            .collect()
    };
    // In the order of their names: few (proteins), many (molecules).
    let near = |got: Vec<f64>, want: [f64; 2]| {
        assert_eq!(got.len(), 2);
        let sum: f64 = got.iter().sum();
        // What does not fill a batch of four waits for the next epoch, and every row may be one off.
        for (got, want) in got.iter().zip(want) {
            assert!(
                (got / sum - want).abs() < 0.13,
                "{got} of {sum}, not {want}"
            );
        }
    };
    near(shares([1.0, 1.0], ""), [8.0 / 48.0, 40.0 / 48.0]);
    near(shares([1.0, 5.0], ""), [0.5, 0.5]);
    near(
        shares([1.0, 1.0], "modality_weights = { protein = 5.0 }\n"),
        [0.5, 0.5],
    );
    near(shares([1.0, 1.0], "sampling = 'balanced'\n"), [0.5, 0.5]);
    near(
        shares(
            [1.0, 1.0],
            "sampling = 'balanced'\nmodality_weights = { molecule = 3.0 }\npacking = true\n",
        ),
        [0.25, 0.75],
    );
}
