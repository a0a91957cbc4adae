//! Where models are looked for and how the Hub is spoken to, under the names that Python's `huggingface_hub` reads from the
//! environment. It opens no connection.

use std::{
    fmt,
    path::{Path, PathBuf},
    time::Duration,
};

/// The Hub of Hugging Face.
const HUB: &str = "https://huggingface.co";

/// What a search and a download go by.
#[derive(Clone)]
pub struct HubConfig {
    /// Folders of your own, `<models>/<org>/<name>` (`BIOVERSE_MODELS`).
    pub models: Option<PathBuf>,
    /// The cache that Python shares (`HF_HUB_CACHE`, else `HF_HOME/hub`, else `~/.cache/huggingface/hub`).
    pub cache: PathBuf,
    /// Nothing is downloaded (`HF_HUB_OFFLINE` or `TRANSFORMERS_OFFLINE`).
    pub offline: bool,
    /// The Hub or a mirror of it, without a slash at the end (`HF_ENDPOINT`).
    pub endpoint: String,
    /// Sent to the endpoint and to nobody else (`HF_TOKEN`, else the file at `HF_TOKEN_PATH`, else `HF_HOME/token`).
    pub token: Option<String>,
    /// PEM file of authorities to trust in place of Mozilla's (`REQUESTS_CA_BUNDLE`, `CURL_CA_BUNDLE`, `SSL_CERT_FILE`).
    pub certificates: Option<PathBuf>,
    /// How often a request is made before the error is reported; a download that got further starts counting anew.
    pub attempts: usize,
    /// Wait before the second attempt; it doubles with each.
    pub backoff: Duration,
    /// The longest wait that a server may ask for (`Retry-After`).
    pub patience: Duration,
    /// A connection that sends nothing for so long counts as broken (`HF_HUB_DOWNLOAD_TIMEOUT`, in seconds).
    pub stall: Duration,
}

impl HubConfig {
    /// The settings of the program: from the environment.
    pub fn from_env() -> Self {
        let home = std::env::home_dir().unwrap_or_else(|| PathBuf::from("."));
        Self::from_vars(&home, &|name| {
            let value = std::env::var_os(name)?;
            Some(value.to_string_lossy().into_owned())
        })
    }

    /// As [`from_env`](Self::from_env), with the home folder and the environment given. An empty variable counts as not set.
    pub fn from_vars(home: &Path, var: &dyn Fn(&str) -> Option<String>) -> Self {
        let var = |name: &str| var(name).filter(|value| !value.trim().is_empty());
        let path = |name: &str| var(name).map(|value| expanded(home, &value));
        let hf_home = path("HF_HOME").unwrap_or_else(|| {
            let caches = path("XDG_CACHE_HOME").unwrap_or_else(|| home.join(".cache"));
            caches.join("huggingface")
        });
        let cache = path("HF_HUB_CACHE").or_else(|| path("HUGGINGFACE_HUB_CACHE"));
        let endpoint = var("HF_ENDPOINT").unwrap_or_else(|| HUB.into());
        let seconds = var("HF_HUB_DOWNLOAD_TIMEOUT").and_then(|value| value.trim().parse().ok());
        Self {
            models: path("BIOVERSE_MODELS"),
            cache: cache.unwrap_or_else(|| hf_home.join("hub")),
            offline: var("HF_HUB_OFFLINE")
                .or_else(|| var("TRANSFORMERS_OFFLINE"))
                .is_some_and(|value| is_true(&value)),
            endpoint: endpoint.trim().trim_end_matches('/').into(),
            token: token(
                &var,
                path("HF_TOKEN_PATH").unwrap_or_else(|| hf_home.join("token")),
            ),
            certificates: ["REQUESTS_CA_BUNDLE", "CURL_CA_BUNDLE", "SSL_CERT_FILE"]
                .iter()
                .find_map(|name| path(name)),
            attempts: 5,
            backoff: Duration::from_millis(500),
            patience: Duration::from_secs(120),
            stall: Duration::from_secs(seconds.filter(|s| *s > 0).unwrap_or(60)),
        }
    }
}

impl fmt::Debug for HubConfig {
    /// The token is nobody's business.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("HubConfig")
            .field("models", &self.models)
            .field("cache", &self.cache)
            .field("offline", &self.offline)
            .field("endpoint", &self.endpoint)
            .field("token", &self.token.as_ref().map(|_| "…"))
            .finish_non_exhaustive()
    }
}

/// The token that requests carry, if any.
fn token(var: &dyn Fn(&str) -> Option<String>, file: PathBuf) -> Option<String> {
    if var("HF_HUB_DISABLE_IMPLICIT_TOKEN").is_some_and(|value| is_true(&value)) {
        return None;
    }
    let given = var("HF_TOKEN").or_else(|| var("HUGGING_FACE_HUB_TOKEN"));
    let given = given.or_else(|| std::fs::read_to_string(file).ok());
    given
        .map(|token| token.trim().to_owned())
        .filter(|token| !token.is_empty())
}

/// What Python's tools take for yes.
fn is_true(value: &str) -> bool {
    ["1", "ON", "YES", "TRUE"].contains(&value.trim().to_uppercase().as_str())
}

/// `~` is the home folder.
fn expanded(home: &Path, value: &str) -> PathBuf {
    match value.strip_prefix('~') {
        Some("") => home.into(),
        Some(rest) if rest.starts_with('/') => home.join(rest.trim_start_matches('/')),
        _ => value.into(),
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, clippy::expect_used)]
    use super::*;

    fn config(vars: &[(&str, &str)]) -> HubConfig {
        HubConfig::from_vars(Path::new("/home/me"), &|name| {
            let found = vars.iter().find(|(key, _)| *key == name);
            found.map(|(_, value)| (*value).to_owned())
        })
    }

    #[test]
    fn the_cache_is_where_python_has_it() {
        for (vars, expected) in [
            (&[][..], "/home/me/.cache/huggingface/hub"),
            (&[("XDG_CACHE_HOME", "/x")], "/x/huggingface/hub"),
            (
                &[("HF_HOME", "~/hf"), ("XDG_CACHE_HOME", "/x")],
                "/home/me/hf/hub",
            ),
            (
                &[("HUGGINGFACE_HUB_CACHE", "/old"), ("HF_HOME", "/h")],
                "/old",
            ),
            (&[("HF_HUB_CACHE", "/c"), ("HF_HOME", "/h")], "/c"),
            (&[("HF_HUB_CACHE", ""), ("HF_HOME", "/h")], "/h/hub"),
        ] {
            assert_eq!(config(vars).cache, Path::new(expected), "{vars:?}");
        }
    }

    #[test]
    fn offline_is_what_python_takes_for_yes() {
        for (vars, expected) in [
            (&[][..], false),
            (&[("HF_HUB_OFFLINE", "1")], true),
            (&[("HF_HUB_OFFLINE", "true")], true),
            (
                &[("HF_HUB_OFFLINE", "0"), ("TRANSFORMERS_OFFLINE", "1")],
                false,
            ),
            (&[("TRANSFORMERS_OFFLINE", "yes")], true),
            (&[("HF_HUB_OFFLINE", "no")], false),
        ] {
            assert_eq!(config(vars).offline, expected, "{vars:?}");
        }
    }

    #[test]
    fn a_token_comes_from_the_environment_or_the_file_and_is_never_shown() {
        let dir = tempfile::tempdir().unwrap();
        std::fs::write(dir.path().join("token"), "hf_file\n").unwrap();
        let home = dir.path().to_str().unwrap();
        assert_eq!(config(&[("HF_HOME", home)]).token.unwrap(), "hf_file");
        let file = format!("{home}/token");
        assert_eq!(
            config(&[("HF_TOKEN_PATH", &file)]).token.unwrap(),
            "hf_file"
        );
        let both = config(&[("HF_HOME", home), ("HF_TOKEN", " hf_env\n")]);
        assert_eq!(both.token.as_deref(), Some("hf_env"));
        assert!(!format!("{both:?}").contains("hf_env"), "{both:?}");
        let off = [("HF_TOKEN", "x"), ("HF_HUB_DISABLE_IMPLICIT_TOKEN", "1")];
        assert_eq!(config(&off).token, None);
    }

    #[test]
    fn an_endpoint_has_no_slash_at_its_end() {
        let mirror = config(&[("HF_ENDPOINT", "https://mirror.example/hf/")]);
        assert_eq!(mirror.endpoint, "https://mirror.example/hf");
        assert_eq!(config(&[]).endpoint, HUB);
    }
}
