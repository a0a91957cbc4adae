//! `bioverse ask`: one question about records.

use std::ops::ControlFlow;
use std::path::{Path, PathBuf};

use bioverse_core::{Example, Message, Record, Registry};
use bioverse_formats::Options;
use clap::{Arg, ArgAction, ArgMatches, Args, Command};

use super::{
    explaining::{self, Explaining},
    out,
    sampling::Sampling,
};
use crate::{
    Bundle, Session,
    data::attachment,
    device,
    error::{Error, Result},
    explain,
};

/// Answers one question about the records given.
///
/// A record stands where the question has its placeholder, `<molecule>`; a question without any gets the records in
/// front. Records go with their placeholders in the order given. A record is written out, or it is that of a file: the only
/// one (`P53.fasta`), one by name (`proteins.fasta#P04637`), or one by place (`cells.h5ad#17`; cells count from 0, rows of
/// other formats from 1).
#[derive(Debug, Args)]
#[command(after_long_help = EXAMPLES)]
pub struct Ask {
    /// The bundle, or the run directory that holds it.
    #[arg(long, value_name = "DIR")]
    bundle: PathBuf,
    /// The question.
    #[arg(value_name = "QUESTION")]
    question: String,
    /// `cpu`, `cuda:0` or `wgpu`.
    #[arg(long, default_value = "cpu")]
    device: String,
    #[command(flatten)]
    sampling: Sampling,
    /// Show which soft tokens and which parts of the records carried the answer.
    #[arg(long)]
    explain: bool,
    /// Write the explanation to this JSON file.
    #[arg(long, value_name = "FILE")]
    explain_json: Option<PathBuf>,
    /// Write the explanation to this HTML page.
    #[arg(long, value_name = "FILE")]
    explain_html: Option<PathBuf>,
    #[command(flatten)]
    explaining: Explaining,
}

const EXAMPLES: &str = "\
Examples:
  bioverse ask --bundle runs/pocket/finetune --molecule CC(=O)Oc1ccccc1C(=O)O \"What kind of compound is it?\"
  bioverse ask --bundle runs/pocket/finetune --molecule aspirin.smi \"Does <molecule> contain a benzene ring?\"
  bioverse ask --bundle runs/cells --cell pbmc.h5ad#AAACATACAACCAC-1 \"What kind of cell is it?\"
  bioverse ask --bundle runs/pocket/finetune --record molecule=CCO \"Describe <molecule>.\"
  bioverse ask --bundle runs/all --molecule CCO --protein P53.fasta \"Does <molecule> bind <protein>?\"
  bioverse ask --bundle runs/pocket/finetune --molecule CCO --explain \"What kind of compound is it?\"";

const RECORD: &str = "record";

/// Adds one flag for each modality, and `--record NAME=VALUE` for all.
pub fn with_modalities(command: Command, names: &[&str]) -> Command {
    let value = |id: &'static str| Arg::new(id).action(ArgAction::Append);
    let any = value(RECORD)
        .long(RECORD)
        .value_name("NAME=VALUE")
        .help("A record of the modality NAME; may be repeated");
    let taken: Vec<String> = command
        .get_arguments()
        .filter_map(|arg| arg.get_long())
        .map(str::to_owned)
        .collect();
    let command = command.arg(any);
    names
        .iter()
        // A modality called like one of our own flags is still reached by --record.
        .filter(|name| !taken.iter().any(|long| long == *name) && **name != RECORD)
        .fold(command, |command, name| {
            let help = format!(
                "A {name}, a file that holds one, or FILE#ID for one of several; may be repeated"
            );
            let flag = value(forever(id_of(name))).long(forever((*name).to_owned()));
            command.arg(flag.value_name("VALUE").help(help))
        })
}

/// Flags are built once, and clap wants their names for as long as the program runs.
fn forever(text: String) -> &'static str {
    Box::leak(text.into_boxed_str())
}

fn id_of(name: &str) -> String {
    format!("modality {name}")
}

/// Name and value of every record on the command line, in the order given.
pub fn records_of(matches: &ArgMatches, names: &[&str]) -> Vec<(Option<String>, String)> {
    let mut found = vec![];
    let ids = names.iter().map(|name| (Some(*name), id_of(name)));
    for (name, id) in ids.chain([(None, RECORD.to_owned())]) {
        let Ok(Some(values)) = matches.try_get_many::<String>(&id) else {
            continue;
        };
        let positions = matches.indices_of(&id).into_iter().flatten();
        for (position, value) in positions.zip(values) {
            found.push((position, (name.map(str::to_owned), value.clone())));
        }
    }
    found.sort_by_key(|(position, _)| *position);
    found.into_iter().map(|(_, record)| record).collect()
}

impl Ask {
    /// Prints the answer as it comes.
    pub fn run(self, given: Vec<(Option<String>, String)>, registry: &Registry) -> Result<()> {
        let example = conversation(self.question, given, &options(&self.bundle))?;
        // A modality of one's own vectors is not registered; the bundle knows it.
        let bundle = Bundle::open(&self.bundle)?;
        let mut names = registry.names();
        let own = bundle.manifest.modalities.keys().map(String::as_str);
        names.extend(own.filter(|name| !registry.contains(name)));
        example.check(&names)?;
        let device = device::parse(&self.device)?;
        let session = Session::open(&self.bundle, registry, &device)?;
        let config = self.sampling.config(vec![]);
        let mut printed = Ok(());
        let reply = session.reply(&example, &config, &mut |piece| {
            if printed.is_ok() {
                printed = out::text(piece);
            }
            ControlFlow::Continue(())
        })?;
        printed.and_then(|()| out::line(""))?;
        if !self.explain && self.explain_json.is_none() && self.explain_html.is_none() {
            return Ok(());
        }
        let asked = (&example, reply.ids.as_slice());
        let told = explain::explain(&session, registry, asked, self.explaining.options())?;
        if self.explain {
            explaining::show(&told)?;
        }
        explaining::write_json(&told, self.explain_json.as_deref())?;
        explaining::write_page(&told, self.explain_html.as_deref())
    }
}

/// How the files that the bundle was trained on were read: a cell asked about is read likewise.
pub fn options(bundle: &Path) -> Options {
    // A bundle that cannot be opened is told of where it is opened for use.
    let config = Bundle::open(bundle).and_then(|bundle| bundle.config());
    config.map_or_else(|_| Options::default(), |config| config.data.options())
}

/// The question as a conversation with its records.
fn conversation(
    question: String,
    given: Vec<(Option<String>, String)>,
    options: &Options,
) -> Result<Example> {
    let records = given
        .into_iter()
        .map(|given| record(given, options))
        .collect::<Result<Vec<(String, Record)>>>()?;
    let placeholder = |name: &str| format!("<{name}>");
    let placed = records
        .iter()
        .any(|(name, _)| question.contains(&placeholder(name)));
    let content = if placed {
        question
    } else {
        let front: String = records
            .iter()
            .map(|(name, _)| placeholder(name) + " ")
            .collect();
        front + &question
    };
    Ok(Example {
        messages: vec![Message {
            role: "user".into(),
            content,
        }],
        records,
        group: None,
    })
}

/// A record by the name of its modality, or as `NAME=VALUE`.
pub fn record(
    (name, value): (Option<String>, String),
    options: &Options,
) -> Result<(String, Record)> {
    let (name, value) = match name {
        Some(name) => (name, value),
        None => {
            let (name, value) = value.split_once('=').ok_or_else(|| {
                Error::Input(format!(
                    "--record `{value}` has no `=`; write --record NAME=VALUE, such as --record molecule=CCO"
                ))
            })?;
            (name.to_owned(), value.to_owned())
        }
    };
    let record = attachment::read(&name, &value, options)?;
    Ok((name, record))
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, clippy::expect_used)]
    use super::*;

    fn given(name: &str, value: &str) -> (Option<String>, String) {
        (Some(name.into()), value.into())
    }

    #[test]
    fn records_come_in_front_of_a_question_without_placeholder() {
        let example = conversation(
            "What is it?".into(),
            vec![given("molecule", "CCO")],
            &Options::default(),
        )
        .unwrap();
        assert_eq!(example.messages[0].content, "<molecule> What is it?");
        assert_eq!(
            example.records,
            [("molecule".to_string(), Record::from("CCO"))]
        );
    }

    #[test]
    fn a_placeholder_stays_where_it_is() {
        let example = conversation(
            "Is <molecule> polar?".into(),
            vec![given("molecule", "[1]")],
            &Options::default(),
        );
        let example = example.unwrap();
        assert_eq!(example.messages[0].content, "Is <molecule> polar?");
        assert_eq!(example.records[0].1, serde_json::json!([1]));
    }

    #[test]
    fn flags_keep_their_order() {
        let command = Command::new("ask");
        let command = with_modalities(command, &["molecule", "rna"]);
        let args = [
            "ask",
            "--rna",
            "ACGU",
            "--record",
            "molecule=C=O",
            "--molecule",
            "CCO",
        ];
        let matches = command.try_get_matches_from(args).unwrap();
        let got = records_of(&matches, &["molecule", "rna"]);
        let values: Vec<&str> = got.iter().map(|(_, value)| value.as_str()).collect();
        assert_eq!(values, ["ACGU", "molecule=C=O", "CCO"]);
        let (name, value) = record(got[1].clone(), &Options::default()).unwrap();
        assert_eq!((name.as_str(), value), ("molecule", Record::from("C=O")));
    }

    #[test]
    fn a_record_may_be_in_a_file() {
        let dir = tempfile::tempdir().unwrap();
        let file = dir.path().join("x.smi");
        std::fs::write(&file, "CCO\n").unwrap();
        let path = file.display().to_string();
        assert_eq!(
            record(given("molecule", &path), &Options::default())
                .unwrap()
                .1,
            Record::from("CCO")
        );
        std::fs::write(&file, "\n").unwrap();
        assert!(record(given("molecule", &path), &Options::default()).is_err());
    }
}
