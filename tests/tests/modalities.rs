//! Several modalities in one command, through the real program: each is aligned by itself, whatever stands beside it.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use bioverse_tests::{bioverse, files_below, run};
use serde_json::{Value, json};
use sha2::{Digest, Sha256};

const RESIDUES: &[u8] = b"ACDEFGHIKLMNPQRSTVWY";

/// Sixteen proteins that are all different.
fn proteins(dir: &Path) -> PathBuf {
    let row = |n: usize| {
        let residue = |i: usize| char::from(RESIDUES[(n * 7 + i * (n + 3)) % RESIDUES.len()]);
        let sequence: String = (0..12 + n).map(residue).collect();
        json!({"sequence": sequence, "says": format!("a chain of {} residues, number {n}", 12 + n)})
    };
    let text: String = (0..16).map(|n| format!("{}\n", row(n))).collect();
    let file = dir.join("proteins.jsonl");
    std::fs::write(&file, text).unwrap();
    file
}

/// A run with a source for each of two modalities.
fn config(dir: &Path, name: &str, modalities: &[&str], steps: usize) -> (PathBuf, PathBuf) {
    let (file, out) = (dir.join(format!("{name}.toml")), dir.join(name));
    let text = format!(
        "[run]\ndir = '{}'\nseed = 7\nlog_every = 1\ncheckpoint_every = 2\n[llm]\npath = 'tests/golden/llama'\n\
         [projector]\nhidden_sizes = [16, 16]\nnum_soft_tokens = 2\n\
         [modality.molecule]\npath = 'tests/golden/chemberta'\n[modality.protein]\npath = 'tests/golden/esm2'\n\
         [[data.mixture]]\ntrain = 'tests/data/molecules.jsonl'\nmodality = 'molecule'\ninput_field = 'smiles'\n\
         text_field = 'text'\nsplit_field = 'split'\n\
         [[data.mixture]]\ntrain = '{}'\nmodality = 'protein'\ninput_field = 'sequence'\ntext_field = 'says'\n\
         split_by = 'cluster'\n\
         [align]\nmodalities = {}\nbatch_size = 8\nsteps = {steps}\nwarmup_steps = 1\neval_every = 5\n",
        out.display(),
        proteins(dir).display(),
        json!(modalities),
    );
    std::fs::write(&file, text).unwrap();
    (file, out)
}

fn align(config: &Path) {
    run(["align", "--config", &config.display().to_string()]).ok();
}

/// sha256 of every projector and metric of a bundle, and what the manifest says of each modality.
fn trained(run: &Path) -> BTreeMap<String, String> {
    let bundle = run.join("bundle");
    let mut found = BTreeMap::new();
    for file in files_below(&bundle) {
        let name = file.display().to_string();
        if name.ends_with(".safetensors") {
            let bytes = std::fs::read(bundle.join(&file)).unwrap();
            let hash = Sha256::digest(bytes)
                .iter()
                .map(|byte| format!("{byte:02x}"))
                .collect();
            found.insert(name, hash);
        }
    }
    let manifest: Value =
        serde_json::from_str(&std::fs::read_to_string(bundle.join("bundle.json")).unwrap())
            .unwrap();
    for (name, entry) in manifest["modalities"].as_object().unwrap() {
        found.insert(format!("manifest {name}"), entry.to_string());
    }
    found
}

fn of(all: &BTreeMap<String, String>, modality: &str) -> BTreeMap<String, String> {
    let own = all.iter().filter(|(name, _)| name.contains(modality));
    own.map(|(name, hash)| (name.clone(), hash.clone()))
        .collect()
}

#[test]
fn what_is_listed_beside_a_modality_and_in_which_order_changes_nothing() {
    let dir = tempfile::tempdir().unwrap();
    let at = |name: &str, modalities: &[&str]| {
        let (file, out) = config(dir.path(), name, modalities, 6);
        align(&file);
        trained(&out)
    };
    let both = at("both", &["molecule", "protein"]);
    assert_eq!(
        both.len(),
        6,
        "a projector, a metric and an entry of each: {both:#?}"
    );
    assert_eq!(both, at("turned", &["protein", "molecule"]));
    assert_eq!(both, at("all", &[]));
    for modality in ["molecule", "protein"] {
        assert_eq!(of(&both, modality), at(modality, &[modality]));
    }
    for modality in ["molecule", "protein"] {
        let vectors = dir
            .path()
            .join("both/vectors")
            .join(format!("{modality}.safetensors"));
        assert!(vectors.is_file());
    }
}

#[test]
fn a_modality_that_comes_later_touches_nothing() {
    let dir = tempfile::tempdir().unwrap();
    let (first, out) = config(dir.path(), "run", &["molecule"], 6);
    align(&first);
    let before = trained(&out);
    let (second, _) = config(dir.path(), "run", &["protein"], 6);
    align(&second);
    let after = trained(&out);
    assert_eq!(of(&after, "molecule"), before);
    assert_eq!(of(&after, "protein").len(), 3);
}

#[test]
fn a_run_that_dies_keeps_what_it_has_finished() {
    let dir = tempfile::tempdir().unwrap();
    let (whole, out) = config(dir.path(), "whole", &["molecule", "protein"], 40);
    align(&whole);
    let expected = trained(&out);
    let (killed, out) = config(dir.path(), "killed", &["molecule", "protein"], 40);
    let args = ["align", "--config", &killed.display().to_string()].map(String::from);
    let mut child = bioverse(&args)
        .stderr(std::process::Stdio::null())
        .spawn()
        .unwrap();
    let begun = Instant::now();
    loop {
        let metrics = std::fs::read_to_string(out.join("metrics.jsonl")).unwrap_or_default();
        if metrics
            .lines()
            .filter(|line| line.contains("align protein"))
            .count()
            > 5
        {
            break;
        }
        assert!(
            begun.elapsed() < Duration::from_secs(300),
            "the second modality never began"
        );
        assert!(
            child.try_wait().unwrap().is_none(),
            "it ended before it was stopped"
        );
        std::thread::sleep(Duration::from_millis(2));
    }
    child.kill().unwrap();
    child.wait().unwrap();
    assert_eq!(
        trained(&out),
        of(&expected, "molecule"),
        "the first is in the bundle, the second is not"
    );
    run(args.into_iter().chain(["--resume".to_owned()])).ok();
    assert_eq!(
        trained(&out),
        expected,
        "and resuming ends as if nothing had happened"
    );
}
