//! The real program: what it says and how it ends, above all on bad input. Each mistake ends in one sentence that names
//! the offender, with exit code 2 for bad input and 1 for a failed run.

use std::{
    fs,
    path::{Path, PathBuf},
    process::Stdio,
    sync::OnceLock,
};

use bioverse_tests::{Ended, bioverse, root, run, stage, tiny_align, tiny_finetune};
use tempfile::TempDir;

/// A bundle of both stages, made once.
fn trained() -> &'static Path {
    static RUNS: OnceLock<TempDir> = OnceLock::new();
    let dir = RUNS.get_or_init(|| {
        let dir = tempfile::tempdir().expect("a scratch directory");
        let (align, finetune) = (dir.path().join("align"), dir.path().join("finetune"));
        run(tiny_align(&align)).ok();
        run(tiny_finetune(&align, &finetune)).ok();
        dir
    });
    dir.path()
}

fn bundle() -> String {
    trained().join("finetune").display().to_string()
}

fn scratch() -> TempDir {
    tempfile::tempdir().expect("a scratch directory")
}

/// Copies a folder of files.
fn copy(from: &Path, to: &Path) -> PathBuf {
    fs::create_dir_all(to).expect("a new directory");
    for entry in fs::read_dir(from).expect("a readable directory") {
        let path = entry.expect("a readable entry").path();
        let target = to.join(path.file_name().expect("a name"));
        if path.is_dir() {
            copy(&path, &target);
        } else {
            fs::copy(&path, &target).expect("a copy");
        }
    }
    to.to_owned()
}

/// Bad input: exit code 2 and one sentence with each of `names` in it.
fn refused<S: AsRef<str>>(args: &[S], names: &[&str]) {
    fails(&run(args.iter().map(AsRef::as_ref)), 2, names);
}

fn fails(ended: &Ended, code: i32, names: &[&str]) {
    let error = ended.error();
    assert_eq!(ended.code, code, "{error}");
    for name in names {
        assert!(error.contains(name), "no `{name}` in: {error}");
    }
    assert!(!error.contains("bug"), "{error}");
}

/// `align` with one value replaced, into a scratch directory.
fn align_with(set: &str) -> Ended {
    let dir = scratch();
    run(stage(
        "align",
        &[format!("run.dir={}", dir.path().display()), set.into()],
    ))
}

#[test]
fn every_command_explains_itself() {
    let verbs = [
        "align",
        "finetune",
        "ask",
        "chat",
        "eval",
        "generate",
        "encode",
        "convert",
        "merge-adapter",
        "download",
        "inspect",
        "pretrain",
    ];
    let all = run(["--help"]).ok().stdout;
    for verb in verbs {
        assert!(all.contains(verb), "{all}");
        let help = run([verb, "--help"]).ok().stdout;
        assert!(help.contains("Examples"), "{verb}: {help}");
    }
    assert!(run(["--version"]).ok().stdout.contains("bioverse"));
}

#[test]
fn every_shipped_config_is_accepted() {
    let mut checked = 0;
    for folder in ["configs", "configs/pocket", "configs/hub"] {
        for entry in fs::read_dir(root().join(folder)).expect(folder) {
            let path = entry.expect("a readable entry").path();
            let name = path
                .file_name()
                .expect("a name")
                .to_string_lossy()
                .into_owned();
            if !name.ends_with(".toml") || name.starts_with("pretrain") {
                continue;
            }
            run(["inspect", &path.display().to_string()]).ok();
            checked += 1;
        }
    }
    assert!(checked >= 7, "only {checked} configs were found");
}

#[test]
fn dry_runs_show_rows_and_write_nothing() {
    let dir = scratch();
    let target = dir.path().join("run");
    for mut args in [
        tiny_align(&target),
        tiny_finetune(&trained().join("align"), &target),
    ] {
        args.push("--dry-run".into());
        let shown = run(&args).ok().stdout;
        assert!(shown.contains("row 1"), "{shown}");
        assert!(!target.exists(), "{args:?} wrote something");
    }
}

#[test]
fn the_origin_of_every_value_is_printed() {
    let dir = scratch();
    let mut args = stage(
        "align",
        &[
            format!("run.dir={}", dir.path().display()),
            "align.lr=0.002".into(),
        ],
    );
    args.push("--dry-run".into());
    let said = run(&args).ok().stderr;
    let origin = |key: &str| {
        let line = said.lines().find(|line| line.contains(key));
        line.unwrap_or_else(|| panic!("no {key} in {said}"))
            .to_owned()
    };
    assert!(origin("align.lr ").contains("--set"));
    assert!(origin("align.steps ").contains("file"));
    assert!(origin("align.temperature ").contains("default"));
}

#[test]
fn inspect_knows_models_bundles_and_data() {
    let cases = [
        ("tests/golden/llama".to_string(), "family       llama"),
        ("tests/golden/chemberta".into(), "family       roberta"),
        (bundle(), "stage        2"),
        ("tests/data/questions.jsonl".into(), "instruction rows"),
    ];
    for (path, expected) in cases {
        let shown = run(["inspect", &path]).ok().stdout;
        assert!(shown.contains(expected), "{path}: {shown}");
    }
}

#[test]
fn encode_writes_one_vector_a_record() {
    let dir = scratch();
    let output = dir.path().join("out.safetensors");
    let args = [
        "encode",
        "--modality",
        "molecule",
        "--model",
        "tests/golden/chemberta",
        "--input",
        "tests/data/molecules.jsonl",
        "--input-field",
        "smiles",
        "--output",
        &output.display().to_string(),
    ];
    assert!(run(args).ok().stdout.contains("[64, 48]"));
    let bytes = fs::read(&output).expect("the output");
    let tensors = safetensors::SafeTensors::deserialize(&bytes).expect("a whole file");
    let embeddings = tensors.tensor("embeddings").expect("embeddings");
    assert_eq!(embeddings.shape(), [64, 48]);
}

#[test]
fn generate_continues_a_text_and_is_the_same_for_the_same_seed() {
    let args = [
        "generate",
        "--model",
        "tests/golden/llama",
        "--prompt",
        "the cell",
        "--max-new-tokens",
        "8",
        "--temperature",
        "1",
        "--seed",
        "3",
    ];
    assert_eq!(run(args).ok().stdout, run(args).ok().stdout);
}

#[test]
fn a_reader_that_leaves_early_is_no_failure() {
    let mut child = bioverse(["inspect", "tests/data/questions.jsonl"])
        .stdout(Stdio::piped())
        .spawn()
        .expect("the program starts");
    drop(child.stdout.take());
    assert_eq!(child.wait().expect("it ends").code(), Some(0));
}

#[test]
fn an_invalid_smiles_is_refused() {
    let bundle = bundle();
    refused(
        &[
            "ask",
            "--bundle",
            &bundle,
            "--molecule",
            "C1CC",
            "What is it?",
        ],
        &["molecule", "C1CC"],
    );
    let dir = scratch();
    let data = dir.path().join("bad.jsonl");
    let rows = "{\"smiles\":\"CCO\",\"text\":\"An alcohol.\",\"split\":\"train\"}\n{\"smiles\":\"C(\",\"text\":\"No molecule.\",\"split\":\"train\"}\n";
    fs::write(&data, rows).expect("a data file");
    let ended = run(stage(
        "align",
        &[
            format!("run.dir={}", dir.path().join("run").display()),
            format!("data.train={}", data.display()),
            format!(
                "data.eval={}",
                root().join("tests/data/molecules.jsonl").display()
            ),
        ],
    ));
    fails(&ended, 2, &["bad.jsonl", "row 2", "C("]);
}

#[test]
fn missing_and_truncated_weights_are_named() {
    let dir = scratch();
    let model = copy(
        &root().join("tests/golden/llama"),
        &dir.path().join("llama"),
    );
    let weights = model.join("model.safetensors");
    let bytes = fs::read(&weights).expect("weights");
    fs::write(&weights, &bytes[..bytes.len() / 2]).expect("half of the weights");
    let set = format!("llm.path={}", model.display());
    fails(&align_with(&set), 2, &["model.safetensors"]);
    let path = model.display().to_string();
    refused(&["inspect", &path], &["model.safetensors", "truncated"]);
    fs::remove_file(&weights).expect("removed");
    fails(&align_with(&set), 2, &["safetensors", &path]);
}

#[test]
fn an_unknown_key_is_refused_with_what_was_meant() {
    fails(
        &align_with("align.temprature=0.1"),
        2,
        &["temprature", "temperature"],
    );
    let dir = scratch();
    let config = dir.path().join("typo.toml");
    fs::write(&config, "[run]\nsede = 1\n").expect("a config");
    let path = config.display().to_string();
    refused(
        &["align", "--config", &path],
        &["typo.toml", "sede", "seed"],
    );
    fails(&align_with("modality.molecule.pth=x"), 2, &["pth"]);
}

#[test]
fn a_projector_of_another_width_is_refused() {
    let dir = scratch();
    let broken = copy(&trained().join("finetune"), &dir.path().join("wide"));
    let file = broken.join("bundle/bundle.json");
    let text = fs::read_to_string(&file).expect("the manifest");
    let mut manifest: serde_json::Value = serde_json::from_str(&text).expect("JSON");
    manifest["modalities"]["molecule"]["projector"]["hidden_sizes"] = serde_json::json!([32, 32]);
    fs::write(&file, manifest.to_string()).expect("a changed manifest");
    let path = broken.display().to_string();
    refused(
        &["ask", "--bundle", &path, "--molecule", "CCO", "What is it?"],
        &["molecule", "projector"],
    );
}

#[test]
fn a_model_that_changed_is_refused_by_name() {
    let dir = scratch();
    let model = copy(
        &root().join("tests/golden/llama"),
        &dir.path().join("llama"),
    );
    let run_dir = dir.path().join("run");
    let sets = [
        format!("run.dir={}", run_dir.display()),
        format!("llm.path={}", model.display()),
    ];
    run(stage("align", &sets)).ok();
    let weights = model.join("model.safetensors");
    let mut bytes = fs::read(&weights).expect("weights");
    *bytes.last_mut().expect("not empty") ^= 1;
    fs::write(&weights, bytes).expect("one bit flipped");
    let path = run_dir.display().to_string();
    refused(
        &["eval", "--bundle", &path, "--suite", "retrieval"],
        &["model.safetensors"],
    );
}

#[test]
fn a_modality_nobody_registered_is_refused() {
    let bundle = bundle();
    refused(
        &[
            "ask",
            "--bundle",
            &bundle,
            "--record",
            "rna=ACGU",
            "What is it?",
        ],
        &["rna", "registered"],
    );
    refused(
        &[
            "ask",
            "--bundle",
            &bundle,
            "--molecule",
            "CCO",
            "Does <molecule> bind <rna>?",
        ],
        &["<rna>", "registered"],
    );
    fails(&align_with("modality.rna.path=x"), 2, &["rna"]);
}

#[test]
fn placeholders_and_records_must_match() {
    let bundle = bundle();
    refused(
        &["ask", "--bundle", &bundle, "What is <molecule>?"],
        &["<molecule>", "no record"],
    );
    refused(
        &[
            "ask",
            "--bundle",
            &bundle,
            "--molecule",
            "CCO",
            "--molecule",
            "CC",
            "Is <molecule> small?",
        ],
        &["record 2", "placeholder"],
    );
    let dir = scratch();
    let data = dir.path().join("rows.jsonl");
    let row = r#"{"messages":[{"role":"user","content":"What?"},{"role":"assistant","content":"That."}],"records":[["molecule","CCO"]],"split":"train"}"#;
    fs::write(&data, format!("{row}\n")).expect("a data file");
    let mut args = tiny_finetune(&trained().join("align"), &dir.path().join("run"));
    args.extend(["--set".into(), format!("data.train={}", data.display())]);
    args.extend([
        "--set".into(),
        "data.eval=tests/data/questions.jsonl".into(),
    ]);
    refused(&args, &["rows.jsonl", "row 1", "placeholder"]);
}

#[test]
fn data_without_rows_or_fields_is_refused() {
    let dir = scratch();
    let empty = dir.path().join("empty.jsonl");
    fs::write(&empty, "").expect("an empty file");
    fails(
        &align_with(&format!("data.train={}", empty.display())),
        2,
        &["empty.jsonl"],
    );
    fails(
        &align_with("data.train=nowhere.jsonl"),
        2,
        &["nowhere.jsonl"],
    );
    fails(
        &align_with("data.input_field=smile"),
        2,
        &["smile", "row 1"],
    );
    fails(
        &align_with("data.train_split=training"),
        2,
        &["training", "split"],
    );
    let bundle = bundle();
    refused(
        &[
            "eval",
            "--bundle",
            &bundle,
            "--modality",
            "protein",
            "--suite",
            "retrieval",
        ],
        &["protein", "molecule"],
    );
}

#[test]
fn a_folder_that_is_no_bundle_is_refused() {
    let dir = scratch();
    let path = dir.path().display().to_string();
    refused(&["ask", "--bundle", &path, "Hello?"], &[&path, "align"]);
}

#[test]
fn a_device_this_build_lacks_is_refused() {
    fails(&align_with("run.device=quantum"), 2, &["quantum"]);
}

#[cfg(target_os = "linux")]
#[test]
fn a_full_disk_is_a_failed_run() {
    let bundle = bundle();
    let args = [
        "eval",
        "--bundle",
        &bundle,
        "--suite",
        "retrieval",
        "--json",
        "/dev/full",
    ];
    fails(&run(args), 1, &["/dev/full"]);
    let full = bioverse(["inspect", "tests/data/questions.jsonl"])
        .stdout(
            fs::File::options()
                .write(true)
                .open("/dev/full")
                .expect("/dev/full"),
        )
        .output();
    fails(&full.expect("the program starts").into(), 1, &["stdout"]);
}

/// A whole run on a file system of 64 kB. Mounting needs rights that not every machine gives.
#[cfg(target_os = "linux")]
#[test]
fn a_full_disk_leaves_nothing_half_written() {
    let dir = scratch();
    let path = dir.path().display().to_string();
    let mount = std::process::Command::new("mount")
        .args(["-t", "tmpfs", "-o", "size=64k", "tmpfs", &path])
        .output();
    if !mount.is_ok_and(|done| done.status.success()) {
        eprintln!("skipped: this machine does not let tests mount a small file system");
        return;
    }
    let target = dir.path().join("run");
    let ended = run(tiny_align(&target));
    let bundle = target.join("bundle");
    let there = bundle.exists();
    let _ = std::process::Command::new("umount").arg(&path).status();
    fails(&ended, 1, &[&path]);
    assert!(!there, "a bundle was left on the full disk");
}
