//! A Hub that says no, is not there, or is not the Hub: one sentence each, with the next step.

use std::{
    io::{Read, Write},
    path::Path,
};

use bioverse::{
    Error,
    hub::{Hub, HubConfig, RepoName},
};
use bioverse_tests::files_below;
use proptest::prelude::*;

use super::super::{REPO, client, config, honest, offline, serve, tiny};
use super::{
    cache::{assert_sound, has_snapshot},
    server::{Answer, COMMIT, Request, Server},
};

fn error_of(server: &Server, given: &str) -> Error {
    let dir = tempfile::tempdir().expect("a folder");
    let error = client(server, dir.path())
        .locate(given.as_ref())
        .expect_err(given);
    assert_sound(dir.path());
    assert!(!has_snapshot(dir.path()), "something is left of {given}");
    error
}

fn says(error: &Error, code: u8, parts: &[&str]) {
    for part in parts {
        assert!(error.to_string().contains(part), "no `{part}` in: {error}");
    }
    assert_eq!(error.exit_code(), code, "{error}");
    assert_eq!(error.to_string().lines().count(), 1, "{error}");
}

#[test]
fn each_status_has_its_sentence() {
    let all = |status: u16, kind: &'static str| {
        move |_: &Request, _: Answer| Answer::new(status, "").with("X-Error-Code", kind)
    };
    for (status, kind, code, parts) in [
        (
            401,
            "",
            2,
            &[
                "only to those who may see it",
                "set HF_TOKEN",
                "licence at http",
            ][..],
        ),
        (
            401,
            "RepoNotFound",
            2,
            &[
                "no repository org/tiny",
                "check the name",
                "huggingface-cli download org/tiny",
            ],
        ),
        (
            401,
            "GatedRepo",
            2,
            &[
                "is gated",
                "accept its licence at http",
                "/org/tiny",
                "HF_TOKEN",
            ],
        ),
        (
            403,
            "GatedRepo",
            2,
            &["is gated (403)", "accept its licence"],
        ),
        (403, "", 2, &["is gated (403)"]),
        (
            404,
            "",
            2,
            &[
                "no repository org/tiny (404)",
                "no folder `org/tiny` here",
                "BIOVERSE_MODELS is not set",
            ],
        ),
        (418, "", 1, &["answers with status 418"]),
        (500, "", 1, &["is out of order (500)", "later"]),
        (429, "", 1, &["429, too many requests", "HF_TOKEN"]),
    ] {
        let server = serve(all(status, kind));
        says(&error_of(&server, REPO), code, parts);
    }
}

#[test]
fn a_revision_that_is_not_there_is_told_from_a_repository_that_is_not() {
    let server = honest();
    says(
        &error_of(&server, "org/tiny@v7"),
        2,
        &["org/tiny has no revision `v7`", "/org/tiny/tree/main"],
    );
    says(
        &error_of(&server, "org/tinny"),
        2,
        &["no repository org/tinny"],
    );
    // A mirror that says no more than 404.
    let plain = serve(|_, mut answer| {
        answer.headers.retain(|(name, _)| name != "X-Error-Code");
        answer
    });
    says(
        &error_of(&plain, "org/tiny@v7"),
        2,
        &["org/tiny has no revision `v7`"],
    );
    says(
        &error_of(&plain, "org/tinny"),
        2,
        &["no repository org/tinny"],
    );
}

#[test]
fn files_of_a_gated_model_are_refused_with_its_licence() {
    let server = serve(|request, answer| match request.path.contains("/resolve/") {
        true => Answer::new(403, "").with("X-Error-Code", "GatedRepo"),
        false => answer,
    });
    says(
        &error_of(&server, REPO),
        2,
        &[
            "org/tiny is gated (403)",
            "accept its licence at http",
            "HF_TOKEN",
        ],
    );
}

#[test]
fn a_wait_that_is_too_long_is_told() {
    let server = serve(|_, _| Answer::new(429, "").with("Retry-After", 3600));
    says(
        &error_of(&server, REPO),
        1,
        &["asks to be left alone for 3600 s"],
    );
    assert_eq!(server.requests().len(), 1, "and it is left alone");
}

#[test]
fn a_web_page_is_no_model() {
    let page = || {
        Answer::new(200, "<!doctype html><title>Welcome to the airport</title>")
            .with("Content-Type", "text/html")
    };
    let portal = serve(move |_, _| page());
    says(
        &error_of(&portal, REPO),
        1,
        &["a web page came in place of data", "log in to the network"],
    );
    let unlabelled = serve(|_, _| Answer::new(200, "  <html>"));
    says(
        &error_of(&unlabelled, REPO),
        1,
        &["a web page came in place of data"],
    );
    let late = serve(move |request, answer| {
        if request.path.contains("/resolve/") {
            page()
        } else {
            answer
        }
    });
    says(
        &error_of(&late, REPO),
        1,
        &["a web page came in place of data"],
    );
}

#[test]
fn an_answer_that_makes_no_sense_is_refused() {
    for (body, part) in [
        ("not json", "does not parse"),
        ("[1, 2]", "does not parse"),
        ("{}", "gives `` for a commit"),
        (
            r#"{"sha": "../../x", "siblings": []}"#,
            "gives `../../x` for a commit",
        ),
        (
            r#"{"sha": "C", "siblings": [{"rfilename": "../../evil"}]}"#,
            "\"../../evil\", which would be written outside",
        ),
        (
            r#"{"sha": "C", "siblings": [{"rfilename": "/etc/cron.d/x"}]}"#,
            "would be written outside",
        ),
        (
            r#"{"sha": "C", "siblings": [{"rfilename": "a\\..\\..\\x"}]}"#,
            "would be written outside",
        ),
        (
            r#"{"sha": "C", "siblings": [{"rfilename": "config.json", "blobId": "../../x"}]}"#,
            "gives the hash \"../../x\"",
        ),
        (
            r#"{"sha": "C", "siblings": [{"rfilename": "config.json", "size": -1}]}"#,
            "does not parse",
        ),
    ] {
        let body = body.replace("\"C\"", &format!("\"{COMMIT}\""));
        let server = serve(move |_, _| Answer::new(200, &body));
        says(&error_of(&server, REPO), 1, &[part, "check HF_ENDPOINT"]);
    }
}

#[test]
fn a_description_that_breaks_off_is_asked_for_again() {
    let server = serve(|request, answer| Answer {
        cut: (request.earlier < 2 && request.path.starts_with("/api/")).then_some(40),
        ..answer
    });
    let dir = tempfile::tempdir().expect("a folder");
    client(&server, dir.path())
        .locate(REPO.as_ref())
        .expect("a model");
}

#[test]
fn an_endless_answer_is_not_read_to_its_end() {
    let server = serve(|_, _| Answer::new(200, &" ".repeat(70 << 20)));
    says(
        &error_of(&server, REPO),
        1,
        &["sends more than 67108864 bytes"],
    );
}

#[test]
fn a_disk_that_is_too_small_is_known_beforehand() {
    let server = serve(|request, answer| match request.path.starts_with("/api/") {
        true => {
            let body = String::from_utf8(answer.body.clone()).expect("text");
            let size = format!("\"size\":{}", tiny()["model.safetensors"].len());
            Answer {
                body: body.replace(&size, "\"size\":4611686018427387904").into(),
                ..answer
            }
        }
        false => answer,
    });
    says(
        &error_of(&server, REPO),
        1,
        &["needs", "TB more", "HF_HUB_CACHE"],
    );
    assert!(
        server
            .requests()
            .iter()
            .all(|(request, _)| !request.path.contains("/resolve/"))
    );
}

#[test]
fn weights_that_cannot_be_read_are_named() {
    let files = [("config.json", "{}"), ("model-q4.gguf", "x")]
        .map(|(name, text)| (name.to_owned(), text.into()));
    let server = Server::new(&[(REPO, files.into())], |_, answer| answer);
    says(
        &error_of(&server, REPO),
        2,
        &["has weights only as gguf", "model.safetensors"],
    );
}

#[test]
fn nobody_there_and_no_network_wanted() {
    let dir = tempfile::tempdir().expect("a folder");
    // A port that was free a moment ago.
    let closed = std::net::TcpListener::bind("127.0.0.1:0")
        .and_then(|listener| listener.local_addr())
        .expect("a port");
    let hub = Hub::new(config(&format!("http://{closed}"), dir.path()));
    let error = hub.locate(REPO.as_ref()).expect_err("nobody");
    says(
        &error,
        1,
        &[
            "cannot be reached",
            "HF_ENDPOINT",
            "huggingface-cli download org/tiny",
            "HTTPS_PROXY",
        ],
    );
    let error = offline(dir.path())
        .locate("org/tiny@v1".as_ref())
        .expect_err("offline");
    says(
        &error,
        2,
        &[
            "HF_HUB_OFFLINE",
            "no folder `org/tiny@v1` here",
            "huggingface-cli download org/tiny --revision v1",
        ],
    );
    let hub = Hub::new(config("ftp://x", dir.path()));
    says(
        &hub.locate(REPO.as_ref()).expect_err("no address"),
        2,
        &["HF_ENDPOINT is `ftp://x`"],
    );
}

#[test]
fn a_server_that_cannot_prove_who_it_is_is_not_spoken_to() {
    let listener = std::net::TcpListener::bind("127.0.0.1:0").expect("a port");
    let port = listener.local_addr().expect("an address").port();
    std::thread::spawn(move || {
        // It knows no encryption, as a proxy that expects plain requests.
        for mut stream in listener.incoming().filter_map(Result::ok) {
            let _ = stream.write_all(b"HTTP/1.1 400 Bad Request\r\n\r\n");
            let _ = stream.read(&mut [0; 1024]);
        }
    });
    let dir = tempfile::tempdir().expect("a folder");
    let hub = Hub::new(config(&format!("https://127.0.0.1:{port}"), dir.path()));
    let error = hub.locate(REPO.as_ref()).expect_err("not encrypted");
    says(&error, 1, &["cannot prove who it is", "SSL_CERT_FILE"]);
}

#[test]
fn a_slip_is_pointed_out() {
    let dir = tempfile::tempdir().expect("a folder");
    std::fs::create_dir_all(dir.path().join("models/pocket/molecule")).expect("a folder");
    let hub = Hub::new(HubConfig {
        models: Some(dir.path().join("models")),
        ..config("http://127.0.0.1:9", &dir.path().join("cache"))
    });
    let slip = dir.path().join("models/pocket/molecul");
    let error = hub.locate(&slip).expect_err("no such folder");
    let near = dir.path().join("models/pocket/molecule");
    says(
        &error,
        2,
        &[
            "there is no folder",
            &format!("did you mean `{}`?", near.display()),
            "huggingface-cli download org/name",
        ],
    );
    let address = "https://huggingface.co/facebook/esm2_t6_8M_UR50D/tree/main";
    says(
        &hub.locate(address.as_ref()).expect_err("an address"),
        2,
        &["write `facebook/esm2_t6_8M_UR50D`"],
    );
    says(
        &hub.locate(Path::new("")).expect_err("nothing"),
        2,
        &["path of a model is empty"],
    );
    let error = Hub::new(HubConfig {
        offline: true,
        models: Some(dir.path().join("models")),
        ..config("http://127.0.0.1:9", dir.path())
    });
    says(
        &error.locate("pocket/molecle".as_ref()).expect_err("a slip"),
        2,
        &["did you mean `pocket/molecule`?"],
    );
}

#[test]
fn the_token_goes_to_the_endpoint_and_nowhere_else() {
    let store = honest();
    let elsewhere = store.url.clone();
    let server = serve(move |_, mut answer| {
        for (name, value) in &mut answer.headers {
            if name == "Location" {
                let path = value.find("/cdn/").expect("the store");
                *value = format!("{elsewhere}{}", &value[path..]);
            }
        }
        answer
    });
    let dir = tempfile::tempdir().expect("a folder");
    let hub = Hub::new(HubConfig {
        token: Some("hf_secret".into()),
        ..config(&server.url, dir.path())
    });
    hub.locate(REPO.as_ref()).expect("a model");
    assert!(
        server
            .requests()
            .iter()
            .all(|(request, _)| request.authorization.as_deref() == Some("Bearer hf_secret"))
    );
    assert!(!store.requests().is_empty());
    assert!(
        store
            .requests()
            .iter()
            .all(|(request, _)| request.authorization.is_none())
    );
    let strange = Hub::new(HubConfig {
        token: Some("two\nlines".into()),
        ..config(&server.url, &dir.path().join("other"))
    });
    says(
        &strange.locate(REPO.as_ref()).expect_err("no header"),
        1,
        &["HF_TOKEN"],
    );
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 128, failure_persistence: None, ..ProptestConfig::default() })]

    /// Whatever a file is called, nothing is written outside of the cache, and nothing panics.
    #[test]
    fn no_name_leads_out_of_the_cache(name in "[./\\\\a:~ ]{0,8}(config.json|model.safetensors)?", dir in "[./a]{0,4}") {
        let files = [format!("{dir}{name}"), "model.safetensors".into()];
        let files = files.map(|name| (name, b"{}".to_vec()));
        let server = Server::new(&[(REPO, files.into())], |_, answer| answer);
        let place = tempfile::tempdir().expect("a folder");
        let cache = place.path().join("a/b/cache");
        let _ = client(&server, &cache).locate(REPO.as_ref());
        for file in files_below(place.path()) {
            prop_assert!(file.starts_with("a/b/cache/models--org--tiny") || file.starts_with("a/b/cache/.locks"), "{}", file.display());
        }
    }

    /// A name of the Hub is read as it was written, and its folders stay below the cache.
    #[test]
    fn names_are_read_back(text in "[a-zA-Z0-9._@/-]{0,24}") {
        if let Some(name) = RepoName::parse(&text) {
            prop_assert_eq!(name.to_string(), text);
            prop_assert!(!name.id().contains("..") && !name.revision().contains(".."));
            prop_assert_eq!(name.id().split('/').count(), 2);
        }
    }
}
