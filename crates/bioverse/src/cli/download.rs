//! `bioverse download`: a model of the Hub into the cache, for machines or times without a network.

use std::path::Path;

use clap::Args;

use super::out;
use crate::{
    error::{Error, Result},
    hub::{self, Found, Hub, RepoName},
};

/// Downloads models of the Hugging Face Hub into the cache that Python's tools share.
///
/// Every command that takes a model downloads it when it is needed; this does so beforehand, and brings a branch up to
/// date. Only what a model needs is fetched, each file is checked against the hash that the Hub gives, and what was
/// interrupted goes on where it ended.
#[derive(Debug, Args)]
#[command(after_long_help = EXAMPLES)]
pub struct Download {
    /// Models as `org/name` or `org/name@revision`, a revision being a branch, a tag or a commit.
    #[arg(required = true, value_name = "MODEL")]
    models: Vec<String>,
    /// Says what would be downloaded and how large it is, without downloading it.
    #[arg(long)]
    dry_run: bool,
}

const EXAMPLES: &str = "\
Examples:
  bioverse download facebook/esm2_t6_8M_UR50D
  bioverse download Qwen/Qwen2.5-0.5B@main DeepChem/ChemBERTa-77M-MLM
  bioverse download --dry-run ibm-granite/granite-3.1-2b-instruct
  HF_ENDPOINT=https://mirror.example HF_HUB_CACHE=/data/models bioverse download facebook/esm2_t6_8M_UR50D";

impl Download {
    /// Prints where each model lies and how large it is.
    pub fn run(self) -> Result<()> {
        let hub = Hub::from_env();
        for model in &self.models {
            let Some(name) = RepoName::parse(model) else {
                return Err(refused(&hub, model));
            };
            if self.dry_run {
                let plan = hub.plan(&name)?;
                out::line(&format!(
                    "{}: {} files, {}, of which {} would be downloaded to {}",
                    plan.name,
                    plan.files,
                    hub::readable(plan.bytes),
                    hub::readable(plan.missing),
                    plan.dir.display()
                ))?;
                continue;
            }
            let plan = hub.download(&name)?;
            out::line(&format!(
                "{}: {} files, {}, in {}",
                plan.name,
                plan.files,
                hub::readable(plan.bytes),
                plan.dir.display()
            ))?;
        }
        Ok(())
    }
}

/// Why a text is not the name of a model that could be downloaded.
fn refused(hub: &Hub, model: &str) -> Error {
    match hub.look(Path::new(model)) {
        Err(error) => error,
        Ok(Found::Here(_) | Found::Missing(_)) => Error::Input(format!(
            "{model} is on this machine already; `bioverse download` takes names of the Hub, `org/name` or `org/name@revision`"
        )),
    }
}
