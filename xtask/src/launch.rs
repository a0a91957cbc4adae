//! From a device to Cargo features, and on to the program.

use std::{
    ffi::OsString,
    process::{Command, ExitCode},
};

use anyhow::{Result, bail};
use clap::Args;

use crate::process;

/// How to build the program, and what to tell it.
#[derive(Debug, Args)]
#[command(disable_help_flag = true)]
pub struct Launch {
    /// `cpu`, `cuda`, `cuda:0` or `wgpu`: decides the Cargo features and is passed on.
    #[arg(long, default_value = "cpu")]
    device: String,
    /// A package of this workspace whose program to run instead, with modalities of its own.
    #[arg(long)]
    package: Option<String>,
    /// Everything else goes to the program as it is.
    #[arg(trailing_var_arg = true, allow_hyphen_values = true)]
    rest: Vec<OsString>,
}

impl Launch {
    /// Builds and runs `bioverse <verb>`; its exit code is ours.
    pub fn run(self, verb: &str) -> Result<ExitCode> {
        let (device, package, rest) = separate(self)?;
        let mut command = run(&device, package.as_deref())?;
        command.arg("--").arg(verb).args(&rest);
        if device != "cpu" && !rest.iter().any(|arg| arg == "--help" || arg == "-h") {
            command.args(told(verb, &device));
        }
        process::status(&mut command).map(process::exit_code)
    }

    /// As `run`, for a pocket model by its name.
    pub fn pretrain(mut self) -> Result<ExitCode> {
        let named = self.rest.first().and_then(|first| first.to_str());
        if let Some(name @ ("molecule" | "protein" | "cell" | "text" | "lm")) = named {
            let config = format!("configs/pocket/pretrain-{name}.toml");
            self.rest.splice(..1, ["--config".into(), config.into()]);
        }
        self.run("pretrain")
    }
}

/// How `verb` is told the device: through its configuration, with a flag, or not at all, where nothing runs on it.
fn told(verb: &str, device: &str) -> Vec<String> {
    match verb {
        "align" | "finetune" | "sweep" => vec!["--set".into(), format!("run.device={device}")],
        "pretrain" | "report" | "split" | "cache" => vec![],
        _ => vec!["--device".into(), device.into()],
    }
}

/// `--device` and `--package` count wherever they stand, also after words for the program.
fn separate(launch: Launch) -> Result<(String, Option<String>, Vec<OsString>)> {
    let (mut device, mut package, mut rest) = (launch.device, launch.package, vec![]);
    let mut words = launch.rest.into_iter();
    while let Some(word) = words.next() {
        let text = word.to_string_lossy().into_owned();
        let (flag, inline) = match text.split_once('=') {
            Some((flag, value)) => (flag.to_owned(), Some(value.to_owned())),
            None => (text.clone(), None),
        };
        if flag != "--device" && flag != "--package" {
            rest.push(word);
            continue;
        }
        let value = inline.or_else(|| words.next().map(|next| next.to_string_lossy().into_owned()));
        let Some(value) = value else {
            bail!("{flag} needs a value");
        };
        if flag == "--device" {
            device = value;
        } else {
            package = Some(value);
        }
    }
    Ok((device, package, rest))
}

/// `cargo run` of the program, without its arguments.
fn run(device: &str, package: Option<&str>) -> Result<Command> {
    let mut command = process::cargo();
    command.args(["run", "--release", "--quiet"]);
    match package {
        Some(package) => command.args(["--package", package]),
        None => command.args(["--package", "bioverse", "--bin", "bioverse"]),
    };
    let features = features(device)?;
    if !features.is_empty() {
        // Features of `bioverse` reach it through another package too.
        let prefix = package.map_or("", |_| "bioverse/");
        let features: Vec<String> = features.iter().map(|f| format!("{prefix}{f}")).collect();
        command.args(["--features", &features.join(",")]);
    }
    Ok(command)
}

/// The Cargo features that a device needs.
pub fn features(device: &str) -> Result<Vec<&'static str>> {
    let kind = device.split(':').next().unwrap_or(device);
    Ok(match kind {
        "cpu" => vec![],
        "cuda" => vec!["cuda"],
        "wgpu" => vec!["wgpu"],
        "ndarray" => vec!["ndarray"],
        other => bail!("no device is called `{other}`; use cpu, cuda:0 or wgpu"),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn launch(rest: &[&str]) -> Launch {
        Launch {
            device: "cpu".into(),
            package: None,
            rest: rest.iter().map(OsString::from).collect(),
        }
    }

    #[test]
    fn our_flags_count_anywhere_and_the_rest_is_passed_on() {
        let words = [
            "--config",
            "c.toml",
            "--device",
            "cuda:0",
            "--set",
            "a=1",
            "--package=my-app",
        ];
        let (device, package, rest) = separate(launch(&words)).expect("well-formed");
        assert_eq!(
            (device.as_str(), package.as_deref()),
            ("cuda:0", Some("my-app"))
        );
        assert_eq!(rest, ["--config", "c.toml", "--set", "a=1"]);
        assert!(separate(launch(&["--device"])).is_err());
    }

    #[test]
    fn a_device_decides_the_features() {
        assert_eq!(features("cuda:1").expect("known"), ["cuda"]);
        assert!(features("cpu").expect("known").is_empty());
        assert!(features("tpu").is_err());
    }

    #[test]
    fn each_command_is_told_the_device_in_its_own_way() {
        assert_eq!(told("sweep", "cuda:0"), ["--set", "run.device=cuda:0"]);
        assert_eq!(told("audit", "cuda:0"), ["--device", "cuda:0"]);
        assert!(told("report", "cuda:0").is_empty());
    }

    #[test]
    fn another_package_gets_the_features_of_bioverse() {
        let command = run("wgpu", Some("my-app")).expect("known");
        let shown = process::shown(&command);
        assert!(
            shown.contains("--package my-app --features bioverse/wgpu"),
            "{shown}"
        );
    }
}
