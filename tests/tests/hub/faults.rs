//! Connections that break and bytes that are wrong: the result is right, or there is none.

use std::time::{Duration, Instant};

use bioverse::hub::{Hub, HubConfig};

use super::super::{REPO, client, config, honest, offline, serve, tiny};
use super::{
    cache::{assert_is_tiny, assert_sound, has_snapshot, wanted},
    server::{Answer, Request, sha256},
};

/// Where the weights are sent from.
fn store() -> String {
    format!("/cdn/{}", sha256(&tiny()["model.safetensors"]))
}

fn size() -> usize {
    tiny()["model.safetensors"].len()
}

/// Changes answers about the weights only.
fn about_weights(
    change: impl Fn(&Request, Answer) -> Answer + Send + Sync + 'static,
) -> impl Fn(&Request, Answer) -> Answer + Send + Sync {
    let store = store();
    move |request, answer| match request.path == store {
        true => change(request, answer),
        false => answer,
    }
}

#[test]
fn a_dropped_connection_is_continued_where_it_broke() {
    let server = serve(about_weights(|request, answer| Answer {
        cut: (request.earlier < 3).then_some(100_000),
        ..answer
    }));
    let dir = tempfile::tempdir().expect("a folder");
    assert_is_tiny(
        &client(&server, dir.path())
            .locate(REPO.as_ref())
            .expect("a model")
            .dir,
    );
    assert_sound(dir.path());
    assert_eq!(server.sent(&store()), size(), "no byte was sent twice");
    let requests = server.requests();
    let starts = requests
        .iter()
        .filter(|(request, _)| request.path == store())
        .map(|(request, _)| request.from);
    assert_eq!(
        starts.collect::<Vec<_>>(),
        [None, Some(100_000), Some(200_000), Some(300_000)]
    );
}

#[test]
fn what_one_run_left_the_next_goes_on_from() {
    let server = serve(about_weights(|request, answer| Answer {
        cut: (request.earlier == 0).then_some(150_000),
        ..answer
    }));
    let dir = tempfile::tempdir().expect("a folder");
    let once = Hub::new(HubConfig {
        attempts: 1,
        ..config(&server.url, dir.path())
    });
    let error = once.locate(REPO.as_ref()).expect_err("a broken connection");
    assert_eq!(error.exit_code(), 1);
    assert!(
        error
            .to_string()
            .contains("it goes on from what has arrived"),
        "{error}"
    );
    assert!(!has_snapshot(dir.path()), "half a model is not seen");
    let part = dir.path().join("models--org--tiny/blobs").join(format!(
        "{}.incomplete",
        sha256(&tiny()["model.safetensors"])
    ));
    assert_eq!(part.metadata().expect("the part").len(), 150_000);
    assert_is_tiny(
        &client(&server, dir.path())
            .locate(REPO.as_ref())
            .expect("a model")
            .dir,
    );
    assert_eq!(server.sent(&store()), size());
    assert!(!part.exists());
    assert_sound(dir.path());
}

#[test]
fn a_server_without_ranges_starts_again() {
    let bytes = tiny()["model.safetensors"].clone();
    let server = serve(about_weights(move |request, _| Answer {
        status: 200,
        body: bytes.clone(),
        cut: (request.earlier < 2).then_some(90_000),
        ..Answer::default()
    }));
    let dir = tempfile::tempdir().expect("a folder");
    assert_is_tiny(
        &client(&server, dir.path())
            .locate(REPO.as_ref())
            .expect("a model")
            .dir,
    );
    assert_sound(dir.path());
    assert_eq!(server.sent(&store()), size() + 2 * 90_000);
}

#[test]
fn a_connection_that_never_gets_further_is_given_up() {
    let server = serve(about_weights(|_, answer| Answer {
        cut: Some(0),
        ..answer
    }));
    let dir = tempfile::tempdir().expect("a folder");
    let error = client(&server, dir.path())
        .locate(REPO.as_ref())
        .expect_err("no bytes")
        .to_string();
    assert!(error.contains("broke 5 times in a row"), "{error}");
    assert!(!has_snapshot(dir.path()));
}

#[test]
fn a_stalled_connection_counts_as_broken() {
    let server = serve(about_weights(|request, answer| Answer {
        slow: (request.earlier == 0).then_some(Duration::from_secs(60)),
        ..answer
    }));
    let dir = tempfile::tempdir().expect("a folder");
    let start = Instant::now();
    let hub = Hub::new(HubConfig {
        stall: Duration::from_millis(300),
        ..config(&server.url, dir.path())
    });
    assert_is_tiny(&hub.locate(REPO.as_ref()).expect("a model").dir);
    assert!(
        start.elapsed() < Duration::from_secs(30),
        "{:?}",
        start.elapsed()
    );
}

#[test]
fn damaged_bytes_are_fetched_again_and_then_refused() {
    let flip = |mut answer: Answer| {
        answer.body[1000] ^= 1;
        answer
    };
    let dir = tempfile::tempdir().expect("a folder");
    let always = serve(about_weights(move |_, answer| flip(answer)));
    let error = client(&always, dir.path())
        .locate(REPO.as_ref())
        .expect_err("damage");
    for part in [
        "`model.safetensors` arrived damaged twice (sha256 ",
        "nothing of it was kept",
    ] {
        assert!(error.to_string().contains(part), "no `{part}` in: {error}");
    }
    assert_eq!(always.sent(&store()), 2 * size(), "one more try, not more");
    assert!(assert_sound(dir.path()) < wanted().len());
    assert!(!has_snapshot(dir.path()));
    assert!(offline(dir.path()).locate(REPO.as_ref()).is_err());
    let once = serve(about_weights(move |request, answer| {
        match request.earlier {
            0 => flip(answer),
            _ => answer,
        }
    }));
    assert_is_tiny(
        &client(&once, dir.path())
            .locate(REPO.as_ref())
            .expect("healed")
            .dir,
    );
    assert_sound(dir.path());
}

#[test]
fn small_files_are_checked_too() {
    let server = serve(|request, mut answer| {
        if request.path.ends_with("/config.json") {
            answer.body[0] = b'[';
        }
        answer
    });
    let dir = tempfile::tempdir().expect("a folder");
    let error = client(&server, dir.path())
        .locate(REPO.as_ref())
        .expect_err("damage")
        .to_string();
    assert!(
        error.contains("`config.json` arrived damaged twice (git hash "),
        "{error}"
    );
    assert_sound(dir.path());
    assert!(!has_snapshot(dir.path()));
}

#[test]
fn a_rest_of_other_bytes_is_not_built_upon() {
    let (server, dir) = (honest(), tempfile::tempdir().expect("a folder"));
    let blobs = dir.path().join("models--org--tiny/blobs");
    std::fs::create_dir_all(&blobs).expect("a folder");
    let part = blobs.join(format!(
        "{}.incomplete",
        sha256(&tiny()["model.safetensors"])
    ));
    for rest in [vec![7; 5_000], vec![7; size()], vec![7; size() + 1]] {
        std::fs::write(&part, rest).expect("a rest");
        let found = client(&server, dir.path())
            .locate(REPO.as_ref())
            .expect("a model");
        assert_is_tiny(&found.dir);
        assert_sound(dir.path());
        std::fs::remove_dir_all(dir.path().join("models--org--tiny/snapshots")).expect("removed");
        std::fs::remove_file(blobs.join(sha256(&tiny()["model.safetensors"]))).expect("removed");
    }
}

#[test]
fn wrong_lengths_are_refused() {
    let short = |answer: Answer| Answer {
        body: answer.body[..answer.body.len() / 2].into(),
        ..answer
    };
    let long = |answer: Answer| Answer {
        body: [answer.body, vec![0; 10]].concat(),
        ..answer
    };
    let unsaid = |answer: Answer| Answer {
        cut: Some(1000),
        ..answer.with("Content-Length", size() + 7)
    };
    let faults: [Box<dyn Fn(Answer) -> Answer + Send + Sync>; 3] =
        [Box::new(short), Box::new(long), Box::new(unsaid)];
    for fault in faults {
        let server = serve(about_weights(move |_, answer| fault(answer)));
        let dir = tempfile::tempdir().expect("a folder");
        let error = client(&server, dir.path())
            .locate(REPO.as_ref())
            .expect_err("a wrong length")
            .to_string();
        assert!(
            error.contains("damaged twice") && error.contains(&format!("instead of {}", size())),
            "{error}"
        );
        assert_sound(dir.path());
        assert!(!has_snapshot(dir.path()));
    }
}

#[test]
fn a_busy_or_failing_server_is_asked_again() {
    for status in [429, 500, 502, 503] {
        let server = serve(move |request, answer| {
            match request.earlier < 2 && !request.path.starts_with("/cdn") {
                true => Answer::new(status, "later").with("Retry-After", 0),
                false => answer,
            }
        });
        let dir = tempfile::tempdir().expect("a folder");
        assert_is_tiny(
            &client(&server, dir.path())
                .locate(REPO.as_ref())
                .expect("a model")
                .dir,
        );
    }
}

#[test]
fn two_at_once_make_one_copy() {
    let server = serve(about_weights(|_, answer| Answer {
        slow: Some(Duration::from_millis(5)),
        ..answer
    }));
    let dir = tempfile::tempdir().expect("a folder");
    std::thread::scope(|scope| {
        let locate = || {
            client(&server, dir.path())
                .locate(REPO.as_ref())
                .expect("a model")
                .dir
        };
        let both = [scope.spawn(locate), scope.spawn(locate)];
        for one in both {
            assert_is_tiny(&one.join().expect("no panic"));
        }
    });
    assert_eq!(server.sent(&store()), size(), "one waits for the other");
    assert_eq!(assert_sound(dir.path()), wanted().len());
}
