//! Models by name, against a Hub on this machine that misbehaves: what arrives is right or absent, errors name the cause and
//! the next step, and Python's tools share the cache.

mod hub {
    pub mod cache;
    pub mod faults;
    pub mod program;
    pub mod python;
    pub mod refusals;
    pub mod server;
}

use std::{path::Path, time::Duration};

use bioverse::hub::{Hub, HubConfig};
use hub::server::{Answer, Files, Request, Server, files_of};

/// The repository that most tests fetch.
const REPO: &str = "org/tiny";

/// A small language model as the Hub would have it, with files that nobody needs.
fn tiny() -> Files {
    let mut files = files_of(&bioverse_tests::root().join("tests/golden/llama"));
    for unwanted in [
        "README.md",
        "tf_model.h5",
        "pytorch_model.bin",
        "onnx/model.onnx",
        ".gitattributes",
    ] {
        files.insert(unwanted.into(), b"unwanted".to_vec());
    }
    files
}

/// Serves [`tiny`].
fn serve(fault: impl Fn(&Request, Answer) -> Answer + Send + Sync + 'static) -> Server {
    Server::new(&[(REPO, tiny())], fault)
}

/// Serves [`tiny`] as it should be.
fn honest() -> Server {
    serve(|_, answer| answer)
}

/// Settings that know one server and one cache, with short waits.
fn config(server: &str, cache: &Path) -> HubConfig {
    let nothing = HubConfig::from_vars(cache, &|_| None);
    HubConfig {
        cache: cache.into(),
        endpoint: server.into(),
        backoff: Duration::from_millis(2),
        stall: Duration::from_secs(5),
        ..nothing
    }
}

fn client(server: &Server, cache: &Path) -> Hub {
    Hub::new(config(&server.url, cache))
}

/// As `client`, without a network.
fn offline(cache: &Path) -> Hub {
    Hub::new(HubConfig {
        offline: true,
        ..config("http://127.0.0.1:9", cache)
    })
}
