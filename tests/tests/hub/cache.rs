//! What a download leaves: the right files, in Python's layout, once.

use std::{
    fs,
    path::{Path, PathBuf},
};

use bioverse::hub::{Found, Hub, HubConfig, Located};
use bioverse_tests::files_below;

use super::super::{REPO, client, config, honest, offline, serve, tiny};
use super::server::{Answer, COMMIT, Files, Request, git, sha256};

/// What is wanted of [`tiny`].
pub fn wanted() -> Files {
    let unwanted = |name: &str| {
        name.contains('/')
            || [
                "README.md",
                "tf_model.h5",
                "pytorch_model.bin",
                ".gitattributes",
            ]
            .contains(&name)
    };
    tiny()
        .into_iter()
        .filter(|(name, _)| !unwanted(name))
        .collect()
}

/// Fails unless `dir` holds the files that were served.
pub fn assert_is_tiny(dir: &Path) {
    let names: Vec<PathBuf> = files_below(dir);
    assert_eq!(
        names,
        wanted().keys().map(PathBuf::from).collect::<Vec<_>>()
    );
    for (name, bytes) in wanted() {
        assert!(
            fs::read(dir.join(&name)).expect("a file") == bytes,
            "{name} differs"
        );
    }
}

/// Fails unless every blob has the bytes that its name promises and nothing is half written. Says how many there are.
pub fn assert_sound(cache: &Path) -> usize {
    let blobs = cache
        .join(format!("models--{}", REPO.replace('/', "--")))
        .join("blobs");
    if !blobs.is_dir() {
        return 0;
    }
    let files = files_below(&blobs);
    for file in &files {
        let (bytes, name) = (
            fs::read(blobs.join(file)).expect("a blob"),
            file.to_string_lossy(),
        );
        assert!(
            [sha256(&bytes), git(&bytes)].contains(&name.to_string()),
            "{name} is not what it says"
        );
    }
    files.len()
}

/// Whether any snapshot can be seen.
pub fn has_snapshot(cache: &Path) -> bool {
    cache.join("models--org--tiny/snapshots").exists()
}

#[test]
fn a_model_is_downloaded_once_and_then_found() {
    let (server, dir) = (honest(), tempfile::tempdir().expect("a folder"));
    let found = client(&server, dir.path())
        .locate(REPO.as_ref())
        .expect("a model");
    assert_eq!(found.source, Some(format!("{REPO}@{COMMIT}")));
    assert_is_tiny(&found.dir);
    assert_eq!(assert_sound(dir.path()), wanted().len());
    let repo = dir.path().join("models--org--tiny");
    assert_eq!(
        fs::read_to_string(repo.join("refs/main")).expect("a ref"),
        COMMIT
    );
    assert_eq!(found.dir, repo.join("snapshots").join(COMMIT));
    let weights = sha256(&tiny()["model.safetensors"]);
    let link = fs::read_link(found.dir.join("model.safetensors")).expect("a link");
    assert_eq!(link, Path::new("../../blobs").join(weights));
    let before = server.requests().len();
    for name in [
        REPO.to_owned(),
        format!("{REPO}@main"),
        format!("{REPO}@{COMMIT}"),
    ] {
        assert_eq!(
            client(&server, dir.path())
                .locate(name.as_ref())
                .expect("cached"),
            found,
            "{name}"
        );
        assert_eq!(
            offline(dir.path()).locate(name.as_ref()).expect("cached"),
            found,
            "{name}"
        );
    }
    assert_eq!(
        server.requests().len(),
        before,
        "what is in the cache is not asked for"
    );
}

#[test]
fn nothing_that_is_not_needed_is_fetched() {
    let (server, dir) = (honest(), tempfile::tempdir().expect("a folder"));
    client(&server, dir.path())
        .locate(REPO.as_ref())
        .expect("a model");
    for unwanted in [
        "README.md",
        "tf_model.h5",
        "pytorch_model.bin",
        "model.onnx",
    ] {
        assert!(
            server
                .requests()
                .iter()
                .all(|(request, _)| !request.path.ends_with(unwanted)),
            "{unwanted}"
        );
    }
    let size = tiny()["model.safetensors"].len();
    assert_eq!(
        server.sent(&sha256(&tiny()["model.safetensors"])),
        size,
        "the weights are sent once"
    );
}

#[test]
fn a_mirror_that_gives_no_sizes_is_asked_file_by_file() {
    let server = serve(|request, answer| {
        if request.path.starts_with("/api/") && request.method == "GET" {
            let names: Vec<_> = tiny()
                .into_keys()
                .map(|name| serde_json::json!({ "rfilename": name }))
                .collect();
            let body = serde_json::json!({ "sha": COMMIT, "siblings": names });
            return Answer::new(200, &body.to_string());
        }
        answer
    });
    let dir = tempfile::tempdir().expect("a folder");
    let found = client(&server, dir.path())
        .locate(REPO.as_ref())
        .expect("a model");
    assert_is_tiny(&found.dir);
    assert_eq!(assert_sound(dir.path()), wanted().len());
    let heads = server
        .requests()
        .iter()
        .filter(|(request, _)| request.method == "HEAD")
        .count();
    assert_eq!(heads, wanted().len(), "and only about what is wanted");
}

#[test]
fn a_mirror_that_knows_branches_only_is_asked_for_the_branch() {
    let branches = |request: &Request, answer: Answer| match request
        .path
        .contains(&format!("/resolve/{COMMIT}/"))
    {
        true => Answer::new(404, ""),
        false => answer,
    };
    let (server, dir) = (serve(branches), tempfile::tempdir().expect("a folder"));
    let found = client(&server, dir.path())
        .locate(REPO.as_ref())
        .expect("a model");
    assert_is_tiny(&found.dir);
    let moved = serve(move |request, answer| match answer.status {
        404 => answer,
        _ => branches(request, answer.with("X-Repo-Commit", "f".repeat(40))),
    });
    let dir = tempfile::tempdir().expect("a folder");
    let error = client(&moved, dir.path())
        .locate(REPO.as_ref())
        .expect_err("another commit");
    assert!(
        error.to_string().contains("and answered with ffff"),
        "{error}"
    );
    assert!(!has_snapshot(dir.path()));
}

#[test]
fn a_revision_gets_its_own_reference() {
    let (server, dir) = (honest(), tempfile::tempdir().expect("a folder"));
    let hub = client(&server, dir.path());
    let tagged = hub.locate(format!("{REPO}@v1").as_ref()).expect("a model");
    assert_eq!(
        fs::read_to_string(dir.path().join("models--org--tiny/refs/v1")).expect("a ref"),
        COMMIT
    );
    let sent = server.sent(".json");
    assert_eq!(hub.locate(REPO.as_ref()).expect("a model"), tagged);
    assert!(
        server
            .requests()
            .iter()
            .any(|(request, _)| request.path.ends_with("/revision/main"))
    );
    let answers = server.sent(".json") - sent;
    assert_eq!(
        answers, 0,
        "the files of the same commit are not fetched again"
    );
}

#[test]
fn a_repository_that_was_renamed_is_followed() {
    let server = serve(|request, answer| match request.path.contains("org/old") {
        true => Answer::new(307, "moved").with("Location", request.path.replace("org/old", REPO)),
        false => answer,
    });
    let dir = tempfile::tempdir().expect("a folder");
    let found = client(&server, dir.path())
        .locate("org/old".as_ref())
        .expect("a model");
    assert_eq!(found.source, Some(format!("org/old@{COMMIT}")));
    assert_is_tiny(&found.dir);
    assert_eq!(
        offline(dir.path())
            .locate("org/old".as_ref())
            .expect("cached"),
        found
    );
}

#[test]
fn folders_win_over_the_hub() {
    let (server, dir) = (honest(), tempfile::tempdir().expect("a folder"));
    let models = dir.path().join("models");
    fs::create_dir_all(models.join(REPO)).expect("a folder");
    let hub = Hub::new(HubConfig {
        models: Some(models.clone()),
        ..config(&server.url, &dir.path().join("cache"))
    });
    let own = Located {
        dir: models.join(REPO),
        source: Some(REPO.into()),
    };
    assert_eq!(hub.locate(REPO.as_ref()).expect("a folder"), own);
    let folder = Located {
        dir: models.clone(),
        source: None,
    };
    assert_eq!(hub.locate(&models).expect("a folder"), folder);
    assert_eq!(server.requests().len(), 0);
}

#[test]
fn pinning_and_planning_fetch_nothing() {
    let (server, dir) = (honest(), tempfile::tempdir().expect("a folder"));
    let hub = client(&server, dir.path());
    let pinned = hub.pin(REPO.as_ref()).expect("a commit");
    assert_eq!(pinned, Path::new(&format!("{REPO}@{COMMIT}")));
    let Found::Missing(name) = hub.look(REPO.as_ref()).expect("a name") else {
        panic!("nothing was downloaded yet");
    };
    let plan = hub.plan(&name).expect("a plan");
    let bytes: usize = wanted().values().map(Vec::len).sum();
    assert_eq!(
        (plan.files, plan.bytes, plan.missing),
        (wanted().len(), bytes as u64, bytes as u64)
    );
    assert_eq!(files_below(dir.path()), Vec::<PathBuf>::new());
    hub.locate(&pinned).expect("a download");
    let error = offline(dir.path())
        .locate(REPO.as_ref())
        .expect_err("no branch");
    assert!(!error.to_string().contains("did you mean"), "{error}");
    hub.note(REPO.as_ref(), &pinned).expect("noted");
    offline(dir.path())
        .locate(REPO.as_ref())
        .expect("the branch");
    assert_eq!(hub.plan(&name).expect("a plan").missing, 0);
    let folder = hub.locate(REPO.as_ref()).expect("a model").dir;
    assert_eq!(
        hub.pin(&folder).expect("a folder"),
        folder,
        "what was written stays"
    );
}

#[test]
fn half_a_snapshot_is_completed_online_and_refused_offline() {
    let (server, dir) = (honest(), tempfile::tempdir().expect("a folder"));
    let hub = client(&server, dir.path());
    let found = hub.locate(REPO.as_ref()).expect("a model");
    fs::remove_file(found.dir.join("model.safetensors")).expect("removed");
    let error = offline(dir.path())
        .locate(REPO.as_ref())
        .expect_err("half a model")
        .to_string();
    for part in [
        "without its weights",
        "HF_HUB_OFFLINE",
        "huggingface-cli download org/tiny",
    ] {
        assert!(error.contains(part), "no `{part}` in: {error}");
    }
    let weights = sha256(&tiny()["model.safetensors"]);
    let sent = server.sent(&weights);
    assert_is_tiny(&hub.locate(REPO.as_ref()).expect("a model").dir);
    assert_eq!(server.sent(&weights), sent, "the blob was still there");
    let blob = dir.path().join("models--org--tiny/blobs").join(&weights);
    let mut bytes = fs::read(&blob).expect("a blob");
    bytes[5000] ^= 1;
    fs::write(&blob, bytes).expect("a damaged blob");
    fs::remove_file(found.dir.join("model.safetensors")).expect("removed");
    assert_is_tiny(&hub.locate(REPO.as_ref()).expect("a model").dir);
    assert!(server.sent(&weights) > sent, "damage of the same length");
    fs::write(
        dir.path().join("models--org--tiny/blobs").join(&weights),
        "cut short",
    )
    .expect("a damaged blob");
    hub.download(&bioverse::hub::RepoName::parse(REPO).expect("a name"))
        .expect("mended");
    assert_is_tiny(&found.dir);
    assert_sound(dir.path());
}
