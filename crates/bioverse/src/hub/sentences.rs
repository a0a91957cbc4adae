//! What went wrong, in one sentence with the next step. It decides nothing.

use std::path::Path;

use super::{
    config::HubConfig,
    fetch::Failed,
    name::RepoName,
    trouble::{Status, Trouble},
};
use crate::{config::suggest, error::Error};

/// Why a model did not come from the Hub. `known` tells whether the repository is there at all, where that was asked.
pub(super) fn refused(
    name: &RepoName,
    config: &HubConfig,
    trouble: &Trouble,
    known: bool,
) -> Error {
    let endpoint = &config.endpoint;
    let offline = format!(
        "on a machine that reaches it run `{}`, and copy its cache to {}",
        name.python_command(),
        config.cache.display()
    );
    match trouble {
        Trouble::Status(status) => status_error(name, config, status, known),
        Trouble::Unreachable(why) => Error::Run(format!(
            "{name}: {endpoint} cannot be reached ({why}); check the network and HTTPS_PROXY, or set HF_ENDPOINT to a mirror, or \
             {offline}"
        )),
        Trouble::Broken(why) => Error::Run(format!(
            "{name}: the connection to {endpoint} broke {} times in a row ({why}); run the same command again, it goes on from \
             what has arrived",
            config.attempts
        )),
        Trouble::Insecure(why) => Error::Run(format!(
            "{name}: {endpoint} cannot prove who it is ({why}); if a proxy of your network stands in between, name its \
             authority in SSL_CERT_FILE, or {offline}"
        )),
        Trouble::Page => Error::Run(format!(
            "{name}: a web page came in place of data from {endpoint}; log in to the network if it asks for that, check \
             HTTPS_PROXY and HF_ENDPOINT, or {offline}"
        )),
        Trouble::Nonsense(why) => Error::Run(format!(
            "{name}: {endpoint} does not answer as the Hub does: {why}; check HF_ENDPOINT, or {offline}"
        )),
    }
}

fn status_error(name: &RepoName, config: &HubConfig, status: &Status, known: bool) -> Error {
    let (endpoint, id) = (&config.endpoint, name.id());
    let token = match config.token {
        Some(_) => "the token was sent but does not open it: check HF_TOKEN",
        None => "set HF_TOKEN to a token that may read it",
    };
    match (status.code, status.kind.as_str()) {
        (_, "GatedRepo") | (403, _) => Error::Input(format!(
            "{name} is gated ({}): accept its licence at {endpoint}/{id} with your account, and {token}",
            status.code
        )),
        (_, "RevisionNotFound") => no_revision(name, endpoint),
        (404, _) if known => no_revision(name, endpoint),
        (401 | 404, "RepoNotFound") | (404, _) => Error::Input(format!(
            "{endpoint} has no repository {id} ({}); check the name, and if it is private, {token}",
            status.code
        )),
        (401, _) => Error::Input(format!(
            "{endpoint} shows {id} only to those who may see it (401): check the name, and {token}; if it is gated, accept its \
             licence at {endpoint}/{id} first"
        )),
        (429, _) => Error::Run(format!(
            "{name}: {endpoint} asks to be left alone for {} (429, too many requests); run the same command again then{}",
            status
                .retry_after
                .map_or("a while".into(), |wait| format!("{} s", wait.as_secs())),
            match config.token {
                Some(_) => "",
                None => ", or set HF_TOKEN, which allows more",
            }
        )),
        (code @ 500..=599, _) => Error::Run(format!(
            "{name}: {endpoint} is out of order ({code}); what has arrived is kept, run the same command again later"
        )),
        (code, _) => Error::Run(format!(
            "{name}: {endpoint} answers with status {code}; check HF_ENDPOINT"
        )),
    }
}

fn no_revision(name: &RepoName, endpoint: &str) -> Error {
    Error::Input(format!(
        "{} has no revision `{}`; its branches and tags are listed at {endpoint}/{}/tree/main",
        name.id(),
        name.revision(),
        name.id()
    ))
}

/// Why a file of a model did not arrive.
pub(super) fn not_fetched(
    name: &RepoName,
    file: &str,
    config: &HubConfig,
    failed: Failed,
) -> Error {
    match failed {
        // A file that is listed but gone is no question of the revision.
        Failed::Remote(Trouble::Status(Status { code: 404, .. })) => Error::Run(format!(
            "{name}: {} lists the file `{file}` but does not have it (404); check HF_ENDPOINT",
            config.endpoint
        )),
        Failed::Remote(trouble) => refused(name, config, &trouble, true),
        Failed::Local(path, error) => Error::io(path, error),
        Failed::Corrupt(difference) => Error::Run(format!(
            "{name}: `{file}` arrived damaged twice ({difference}); nothing of it was kept: run the same command again later, or \
             set HF_ENDPOINT to another mirror than {}",
            config.endpoint
        )),
        Failed::Interrupted => Error::Run(format!(
            "{name}: interrupted while downloading `{file}`; what has arrived is kept, and the same command goes on from there"
        )),
    }
}

/// A download that `HF_HUB_OFFLINE` forbids. `cached` is what the snapshot in the cache lacks, if there is one.
pub(super) fn offline(name: &RepoName, config: &HubConfig, cached: Option<Option<&str>>) -> Error {
    let found = match cached {
        None => format!("{name} is not on this machine, and HF_HUB_OFFLINE forbids to download it"),
        Some(None) => format!("{name} is in the cache, and HF_HUB_OFFLINE forbids to ask for more"),
        Some(Some(lacks)) => {
            format!(
                "{name} is in the cache without {lacks}, and HF_HUB_OFFLINE forbids to download the rest"
            )
        }
    };
    let typo = match cached {
        None => typo(Path::new(name.id()), config),
        Some(_) => String::new(),
    };
    Error::Input(format!(
        "{found} ({}){typo}; unset HF_HUB_OFFLINE, or run `{}` where there is a network and copy the cache here",
        places(name, config),
        name.python_command()
    ))
}

/// A path that leads nowhere and is no name either.
pub(super) fn no_such_model(given: &Path, config: &HubConfig) -> Error {
    if given.as_os_str().is_empty() {
        return Error::Input(
            "the path of a model is empty; give a folder, or a model of the Hub as `org/name`"
                .into(),
        );
    }
    let shown = given.display();
    let on_the_hub = shown.to_string();
    let pasted = on_the_hub
        .split_once("huggingface.co/")
        .map(|(_, rest)| rest);
    let pasted: Option<String> =
        pasted.map(|rest| rest.split('/').take(2).collect::<Vec<_>>().join("/"));
    let next = match pasted {
        Some(id) => format!("; write `{id}`"),
        None => typo(given, config),
    };
    Error::Input(format!(
        "there is no folder {shown}{next}; paths are relative to the directory the command runs in, and a model of the Hub is \
         written `org/name` or `org/name@revision` (`huggingface-cli download org/name` fetches it with Python's tool)"
    ))
}

/// Adds to an error of the Hub where else was looked.
pub(super) fn after_all(name: &RepoName, config: &HubConfig, error: Error) -> Error {
    let typo = typo(Path::new(name.id()), config);
    let places = format!("{error} ({}){typo}", places(name, config));
    match error {
        Error::Input(_) => Error::Input(format!(
            "{places}; with Python's tool: `{}`",
            name.python_command()
        )),
        Error::Run(_) => Error::Run(places),
        other => other,
    }
}

/// Every place that was looked at on this machine.
fn places(name: &RepoName, config: &HubConfig) -> String {
    let own = match &config.models {
        Some(models) => format!("no folder {}", models.join(name.to_string()).display()),
        None => "BIOVERSE_MODELS is not set".into(),
    };
    format!(
        "no folder `{name}` here; {own}; nothing whole in the cache {}",
        config.cache.display()
    )
}

/// A folder or a cached model whose name is near.
fn typo(given: &Path, config: &HubConfig) -> String {
    let (Some(wanted), parent) = (
        given.file_name().and_then(|name| name.to_str()),
        given.parent(),
    ) else {
        return String::new();
    };
    let here = match parent {
        Some(parent) if !parent.as_os_str().is_empty() => parent,
        _ => Path::new("."),
    };
    let siblings = names(here);
    if let Some(near) = suggest::nearest(wanted, siblings.iter().map(String::as_str)) {
        let near = parent.unwrap_or(Path::new("")).join(near);
        return format!("; did you mean `{}`?", near.display());
    }
    let cached = names(&config.cache).into_iter().filter_map(|folder| {
        let (org, name) = folder.strip_prefix("models--")?.split_once("--")?;
        Some(format!("{org}/{name}"))
    });
    let mut known: Vec<String> = cached.collect();
    for org in config.models.iter().flat_map(|models| names(models)) {
        let models = config
            .models
            .iter()
            .flat_map(|models| names(&models.join(&org)));
        known.extend(models.map(|name| format!("{org}/{name}")));
    }
    // The same name is in the cache at another revision: no slip.
    let given = given.to_string_lossy();
    known.retain(|known| *known != given);
    let near = suggest::nearest(&given, known.iter().map(String::as_str));
    near.map_or(String::new(), |near| format!("; did you mean `{near}`?"))
}

/// Names in a folder; none if it cannot be read.
fn names(folder: &Path) -> Vec<String> {
    let entries = std::fs::read_dir(folder).into_iter().flatten();
    let mut names: Vec<String> = entries
        .filter_map(|entry| entry.ok()?.file_name().into_string().ok())
        .collect();
    names.sort();
    names
}
