//! The real program with names of models in place of folders.

use std::{
    path::Path,
    process::{Command, Stdio},
};

use bioverse_tests::{Ended, bioverse, root, stage};

use super::super::{REPO, honest, serve, tiny};
use super::{
    cache::{assert_is_tiny, assert_sound, has_snapshot},
    server::{Answer, COMMIT, Server, files_of, sha256},
};

/// The program with one cache and one server, and nothing of this machine's settings.
fn program(server: &str, cache: &Path, args: &[&str]) -> Command {
    let mut command = bioverse(args);
    for name in [
        "HF_TOKEN",
        "HF_HUB_OFFLINE",
        "TRANSFORMERS_OFFLINE",
        "BIOVERSE_MODELS",
        "HTTP_PROXY",
        "http_proxy",
        "ALL_PROXY",
        "all_proxy",
    ] {
        command.env_remove(name);
    }
    command
        .env("HF_ENDPOINT", server)
        .env("HF_HUB_CACHE", cache)
        .env("HF_TOKEN_PATH", cache.join("none"));
    command
}

fn ended(mut command: Command) -> Ended {
    command.output().expect("the program starts").into()
}

#[test]
fn a_model_is_downloaded_by_name_and_then_used_offline() {
    let (server, dir) = (honest(), tempfile::tempdir().expect("a folder"));
    let args = |model: &'static str| {
        [
            "generate",
            "--model",
            model,
            "--prompt",
            "a b c",
            "--max-new-tokens",
            "8",
        ]
    };
    let online = ended(program(&server.url, dir.path(), &args(REPO))).ok();
    let mut command = program("http://127.0.0.1:9", dir.path(), &args(REPO));
    command.env("HF_HUB_OFFLINE", "1");
    assert_eq!(ended(command).ok().stdout, online.stdout);
    let folder = ended(program(
        "http://127.0.0.1:9",
        dir.path(),
        &args("tests/golden/llama"),
    ))
    .ok();
    assert_eq!(
        folder.stdout, online.stdout,
        "the same model, whichever way it is named"
    );
    assert_sound(dir.path());
}

#[test]
fn two_programs_at_once_leave_one_good_copy() {
    let store = format!("/cdn/{}", sha256(&tiny()["model.safetensors"]));
    let server = {
        let store = store.clone();
        serve(move |request, answer| Answer {
            slow: (request.path == store).then_some(std::time::Duration::from_millis(10)),
            ..answer
        })
    };
    let dir = tempfile::tempdir().expect("a folder");
    let start = || {
        let mut command = program(&server.url, dir.path(), &["download", REPO]);
        command
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .expect("the program starts")
    };
    let outputs = [start(), start()].map(|child| {
        Ended::from(child.wait_with_output().expect("an end"))
            .ok()
            .stdout
    });
    assert_eq!(outputs[0], outputs[1]);
    let snapshot = dir.path().join("models--org--tiny/snapshots").join(COMMIT);
    assert!(
        outputs[0].contains(&format!("{REPO}@{COMMIT}"))
            && outputs[0].contains(&snapshot.display().to_string()),
        "{}",
        outputs[0]
    );
    assert_is_tiny(&snapshot);
    assert_sound(dir.path());
    assert_eq!(
        server.sent(&store),
        tiny()["model.safetensors"].len(),
        "sent once"
    );
}

#[test]
fn a_killed_download_goes_on_where_it_was() {
    let store = format!("/cdn/{}", sha256(&tiny()["model.safetensors"]));
    let server = {
        let store = store.clone();
        serve(move |request, answer| Answer {
            slow: (request.path == store && request.earlier == 0)
                .then_some(std::time::Duration::from_millis(100)),
            ..answer
        })
    };
    let dir = tempfile::tempdir().expect("a folder");
    let mut command = program(&server.url, dir.path(), &["download", REPO]);
    let mut child = command
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .spawn()
        .expect("the program starts");
    let part = dir.path().join("models--org--tiny/blobs").join(format!(
        "{}.incomplete",
        sha256(&tiny()["model.safetensors"])
    ));
    let length = || part.metadata().map_or(0, |part| part.len() as usize);
    while length() < 50_000 {
        assert!(
            child.try_wait().expect("a state").is_none(),
            "it was to be killed before it ended"
        );
        std::thread::sleep(std::time::Duration::from_millis(5));
    }
    child.kill().and_then(|()| child.wait()).expect("killed");
    assert!(!has_snapshot(dir.path()));
    let kept = length();
    ended(program(&server.url, dir.path(), &["download", REPO])).ok();
    let requests = server.requests();
    let last = requests
        .iter()
        .rfind(|(request, _)| request.path == store)
        .expect("a request");
    assert_eq!(last.0.from, Some(kept));
    assert_eq!(last.1, tiny()["model.safetensors"].len() - kept);
    assert_sound(dir.path());
}

#[test]
fn errors_of_the_hub_are_one_sentence_of_the_program() {
    let dir = tempfile::tempdir().expect("a folder");
    let gated = serve(|_, _| Answer::new(403, "").with("X-Error-Code", "GatedRepo"));
    for (server, args, code, parts) in [
        (
            gated.url.as_str(),
            &["generate", "--model", REPO, "--prompt", "x"][..],
            2,
            &["gated", "HF_TOKEN"][..],
        ),
        (
            gated.url.as_str(),
            &["download", REPO],
            2,
            &["accept its licence"],
        ),
        (
            gated.url.as_str(),
            &["download", "no-name"],
            2,
            &["there is no folder no-name", "org/name"],
        ),
        (
            "http://127.0.0.1:9",
            &["download", REPO],
            1,
            &["cannot be reached"],
        ),
        (
            "http://127.0.0.1:9",
            &["generate", "--model", "tests/golden/lama", "--prompt", "x"],
            2,
            &["did you mean `tests/golden/llama`?"],
        ),
    ] {
        let ended = ended(program(server, dir.path(), args));
        assert_eq!(ended.code, code, "{ended:?}");
        for part in parts {
            assert!(
                ended.error().contains(part),
                "no `{part}` in: {}",
                ended.error()
            );
        }
    }
    assert!(!has_snapshot(dir.path()));
}

/// A server with a language model and an encoder.
fn both() -> Server {
    let golden = |name: &str| files_of(&root().join("tests/golden").join(name));
    Server::new(
        &[(REPO, golden("llama")), ("org/chem", golden("chemberta"))],
        |_, answer| answer,
    )
}

#[test]
fn a_bundle_remembers_where_its_models_came_from() {
    let (server, dir) = (both(), tempfile::tempdir().expect("a folder"));
    let (cache, run) = (dir.path().join("cache"), dir.path().join("run"));
    let sets = [
        format!("run.dir={}", run.display()),
        format!("llm.path={REPO}"),
        "modality.molecule.path=org/chem".to_owned(),
    ];
    let args = stage("align", &sets);
    let args: Vec<&str> = args.iter().map(String::as_str).collect();

    let dry = ended(program(
        &server.url,
        &cache,
        &[&args[..], &["--dry-run"]].concat(),
    ))
    .ok();
    for part in [
        format!("{REPO}@{COMMIT}"),
        format!("org/chem@{COMMIT}"),
        "nothing was downloaded".into(),
    ] {
        assert!(dry.stdout.contains(&part), "no `{part}` in: {}", dry.stdout);
    }
    assert!(!cache.exists(), "a dry run fetches nothing");

    let trained = ended(program(&server.url, &cache, &args)).ok();
    assert!(
        trained.stderr.contains(&format!("\"{REPO}@{COMMIT}\"")),
        "the commit is shown: {}",
        trained.stderr
    );
    let manifest = std::fs::read_to_string(run.join("bundle/bundle.json")).expect("a manifest");
    let manifest: serde_json::Value = serde_json::from_str(&manifest).expect("JSON");
    assert_eq!(manifest["llm"]["source"], format!("{REPO}@{COMMIT}"));
    assert_eq!(
        manifest["modalities"]["molecule"]["encoder"]["source"],
        format!("org/chem@{COMMIT}")
    );

    let tuned = dir.path().join("tuned");
    let sets = [
        format!("run.dir={}", tuned.display()),
        format!("finetune.from={}", run.display()),
        format!("llm.path={REPO}"),
        "modality.molecule.path=org/chem".to_owned(),
        "finetune.steps=2".to_owned(),
    ];
    let args = stage("finetune", &sets);
    let args: Vec<&str> = args.iter().map(String::as_str).collect();
    ended(program("http://127.0.0.1:9", &cache, &args)).ok();
    let read = |path: &str| {
        let text = std::fs::read_to_string(tuned.join("bundle").join(path)).expect("a file");
        serde_json::from_str::<serde_json::Value>(&text).expect("JSON")
    };
    assert_eq!(read("bundle.json")["llm"], manifest["llm"]);
    assert_eq!(
        read("bundle.json")["modalities"]["molecule"]["encoder"],
        manifest["modalities"]["molecule"]["encoder"]
    );
    let base = &read("adapter/adapter_config.json")["base_model_name_or_path"];
    assert_eq!(base, REPO, "as other programs find it");

    // The cache is somewhere else now, as on another machine.
    let moved = dir.path().join("moved");
    std::fs::rename(&cache, &moved).expect("moved");
    let bundle = run.display().to_string();
    let ask = [
        "ask",
        "--bundle",
        &bundle,
        "--molecule",
        "CCO",
        "--max-new-tokens",
        "4",
        "What is it?",
    ];
    let mut command = program("http://127.0.0.1:9", &moved, &ask);
    command.env("HF_HUB_OFFLINE", "1");
    ended(command).ok();

    // Nowhere at all: fetched again. The same bytes, so the bundle takes them.
    ended(program(&server.url, &dir.path().join("new"), &ask)).ok();
    let lost = ended(program(
        "http://127.0.0.1:9",
        &dir.path().join("none"),
        &ask,
    ));
    assert!(
        lost.error().contains(REPO) && lost.error().contains("cannot be reached"),
        "{lost:?}"
    );

    // Other bytes under the same name are refused as ever.
    let weights = moved
        .join("models--org--chem/snapshots")
        .join(COMMIT)
        .join("model.safetensors");
    std::fs::remove_file(&weights)
        .and_then(|()| std::fs::write(&weights, "other"))
        .expect("replaced");
    let mut command = program("http://127.0.0.1:9", &moved, &ask);
    command.env("HF_HUB_OFFLINE", "1");
    let changed = ended(command);
    assert!(
        changed.error().contains("`model.safetensors` differs"),
        "{changed:?}"
    );
}
