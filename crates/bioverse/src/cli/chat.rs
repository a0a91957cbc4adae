//! `bioverse chat`: a conversation about records in the terminal, or from a pipe.

mod lines;

use std::io::{IsTerminal as _, Write as _};
use std::ops::ControlFlow;
use std::path::{Path, PathBuf};

use bioverse_core::{Example, Registry};
use bioverse_formats::Options;
use bioverse_nn::GenerationConfig;
use clap::Args;

use super::{
    ask,
    explaining::{self, Explaining},
    out,
    sampling::Sampling,
};
use crate::chat::{Attached, Conversation, Line, parse};
use crate::error::{Error, Result};
use crate::session::{End, Reply};
use crate::{Session, device, explain, interrupt};
use lines::Lines;

/// Talks with a bundle about records, and remembers both.
///
/// A line is a message; what begins with `/` is a command, and `/help` lists them. Records are attached with the name of their
/// modality (`/molecule CCO`, `/protein P53.fasta`, `/cell cells.h5ad#17`) or with flags, and stand where the next message has
/// their placeholder, `<molecule>`, or at its start. They stay until `/forget` or `/reset`. Ctrl-C stops an answer, Ctrl-D ends
/// the conversation. From a pipe, lines are read as they are.
#[derive(Debug, Args)]
#[command(after_long_help = EXAMPLES)]
pub struct Chat {
    /// The bundle, or the run directory that holds it.
    #[arg(long, value_name = "DIR")]
    bundle: PathBuf,
    /// Said to the model before everything else.
    #[arg(long, value_name = "TEXT")]
    system: Option<String>,
    /// `cpu`, `cuda:0` or `wgpu`.
    #[arg(long, default_value = "cpu")]
    device: String,
    #[command(flatten)]
    sampling: Sampling,
    /// Explain every answer; `/explain` explains the last one.
    #[arg(long)]
    explain: bool,
    #[command(flatten)]
    explaining: Explaining,
}

const EXAMPLES: &str = "\
Examples:
  bioverse chat --bundle runs/pocket/finetune
  bioverse chat --bundle runs/pocket/finetune --molecule CCO --system \"Answer in one word.\"
  printf '/molecule CCO\\nWhat is it?\\n' | bioverse chat --bundle runs/pocket/finetune";

const HELP: &str = "\
/<modality> VALUE  attach a record: itself, a file, or FILE#ID for one of several
                   (/molecule CCO, /protein P53.fasta, /cell cells.h5ad#17)
/records           the records, and the messages they belong to
/forget [N]        take record N out of the conversation, or all of them
/reset             start anew, without messages and records
/explain [FILE]    what carried the last answer; FILE.html or FILE.json writes it
/save FILE         append the conversation to FILE as one JSONL row
/help  /quit       this text; the end (Ctrl-D)
Anything else is a message; one that begins with a slash is written with two.
`<molecule>` in a message is where the record attached last stands; without it
the record stands at the start of the next message. Ctrl-C stops an answer.";

impl Chat {
    /// Reads lines until there are no more.
    pub fn run(self, given: Vec<(Option<String>, String)>, registry: &Registry) -> Result<()> {
        let conversation = Conversation::new(self.system)?;
        let options = ask::options(&self.bundle);
        let device = device::parse(&self.device)?;
        let session = Session::open(&self.bundle, registry, &device)?;
        interrupt::install_for_conversation();
        let mut talk = Talk {
            session: &session,
            registry,
            options,
            sampling: self.sampling.config(vec![]),
            explaining: self.explaining.options(),
            explain: self.explain,
            conversation,
            last: None,
        };
        for (name, value) in given {
            talk.attach_given(name, value)?;
        }
        talk.run(&mut Lines::open()?)
    }
}

/// A conversation with everything it needs.
struct Talk<'a> {
    session: &'a Session,
    registry: &'a Registry,
    options: Options,
    sampling: GenerationConfig,
    explaining: explain::Options,
    explain: bool,
    conversation: Conversation,
    /// The last question with its answer.
    last: Option<(Example, Vec<u32>)>,
}

impl Talk<'_> {
    fn run(&mut self, lines: &mut Lines) -> Result<()> {
        if lines.is_terminal() {
            out::note(&format!(
                "This bundle knows: {}. /help lists the commands, Ctrl-D ends.",
                self.names().join(", ")
            ));
        }
        let mut refused = 0;
        while let Some(line) = lines.next()? {
            match self.line(&line) {
                Ok(ControlFlow::Continue(())) => {}
                Ok(ControlFlow::Break(())) => break,
                // Nothing was changed; whoever types can mend it.
                Err(error) => {
                    out::note(&format!("error: {}", out::sentence(&error.to_string())));
                    refused += 1;
                }
            }
        }
        match refused {
            0 => Ok(()),
            _ if lines.is_terminal() => Ok(()),
            1 => Err(Error::Input(
                "a line of the conversation was refused; see above".into(),
            )),
            n => Err(Error::Input(format!(
                "{n} lines of the conversation were refused; see above"
            ))),
        }
    }

    fn names(&self) -> Vec<&str> {
        self.session
            .model
            .names()
            .iter()
            .map(String::as_str)
            .collect()
    }

    /// The name of the modality that a word stands for.
    fn modality(&self, word: &str) -> Option<String> {
        let name = self.registry.canonical(word).unwrap_or(word);
        self.names().contains(&name).then(|| name.to_owned())
    }

    fn line(&mut self, line: &str) -> Result<ControlFlow<()>> {
        let names = self.names();
        let read = parse(line, |word| self.modality(word), &names)?;
        match read {
            Line::Empty => {}
            Line::Quit => return Ok(ControlFlow::Break(())),
            Line::Help => out::line(HELP)?,
            Line::Say(text) => self.say(&text)?,
            Line::Attach { modality, value } => self.attach(modality, value)?,
            Line::Records => self.list()?,
            Line::Forget(number) => {
                let gone = self.conversation.forget(number)?;
                out::note(&format!("forgotten: {}", count(gone, "record")));
            }
            Line::Reset => {
                let (messages, records) = self.conversation.reset();
                self.last = None;
                out::note(&format!(
                    "gone: {} and {}",
                    count(messages, "message"),
                    count(records, "record")
                ));
            }
            Line::Explain(file) => self.explain(file.as_deref())?,
            Line::Save(file) => self.save(&file)?,
        }
        Ok(ControlFlow::Continue(()))
    }

    fn attach_given(&mut self, name: Option<String>, value: String) -> Result<()> {
        let (name, value) = match name {
            Some(name) => (name, value),
            None => match value.split_once('=') {
                Some((name, value)) => (name.to_owned(), value.to_owned()),
                None => return ask::record((None, value), &self.options).map(drop),
            },
        };
        // A modality that the bundle does not have is refused by name.
        self.session.model.projector(&name)?;
        self.attach(name, value)
    }

    /// Reads a record, and refuses a bad one here rather than with the next message.
    fn attach(&mut self, modality: String, value: String) -> Result<()> {
        let (_, record) = ask::record((Some(modality.clone()), value.clone()), &self.options)?;
        if let Some(encoder) = self.session.encoders.get(&modality) {
            encoder.get()?.check(&record)?;
        }
        out::note(&format!("attached: {modality} {}", brief(&value)));
        self.conversation.attach(Attached {
            modality,
            record,
            given: value,
        });
        Ok(())
    }

    fn list(&self) -> Result<()> {
        let mut any = false;
        for (number, (turn, record)) in (1..).zip(self.conversation.records()) {
            let place = turn.map_or("next message".into(), |turn| format!("message {turn}"));
            let name = &record.modality;
            out::line(&format!(
                "{number:>3}  {name:<9} {:<42}  {place}",
                brief(&record.given)
            ))?;
            any = true;
        }
        match any {
            true => Ok(()),
            false => out::line("no records; /<modality> VALUE attaches one"),
        }
    }

    fn say(&mut self, text: &str) -> Result<()> {
        let draft = self.conversation.draft(text, &self.names())?;
        let example = self.conversation.with(&draft);
        self.check_room(&example)?;
        let Some(reply) = self.reply(&example)? else {
            out::note("stopped; the message was not kept");
            return Ok(());
        };
        out::line("")?;
        match reply.end {
            End::Done => {}
            End::Length => out::note("(--max-new-tokens ends the answer here)"),
            End::Room => out::note("(the LLM reads no further than this; /reset starts anew)"),
            End::Stopped => out::note("(stopped)"),
        }
        self.conversation.answered(draft, reply.text);
        self.last = Some((example, reply.ids));
        // Without records there is nothing to explain.
        match self.explain && self.conversation.records().next().is_some() {
            true => self.explain(None),
            false => Ok(()),
        }
    }

    /// Nothing is left out to make room: who talks decides what may go.
    fn check_room(&self, example: &Example) -> Result<()> {
        let room = self.session.model.llm.config().max_position_embeddings;
        let width = self.session.width(&self.session.prompt(example)?)?;
        match width < room {
            true => Ok(()),
            false => Err(Error::Input(format!(
                "with this message the conversation has {width} tokens, and the LLM reads {room} at most; the message was not \
                 sent: shorten it, take records out with `/forget`, or start anew with `/reset`"
            ))),
        }
    }

    /// The answer as it comes; `None` when it was stopped before its first token.
    fn reply(&self, example: &Example) -> Result<Option<Reply>> {
        interrupt::take();
        // Of two equal questions the second is answered anew.
        let seed = self
            .sampling
            .seed
            .wrapping_add(self.conversation.len() as u64);
        let config = GenerationConfig {
            seed,
            ..self.sampling.clone()
        };
        let mut printed = Ok(());
        let reply = self.session.reply(example, &config, &mut |piece| {
            if printed.is_ok() {
                printed = out::text(piece);
            }
            match interrupt::take() {
                true => ControlFlow::Break(()),
                false => ControlFlow::Continue(()),
            }
        });
        printed?;
        match reply {
            Err(Error::Interrupted { .. }) => {
                interrupt::take();
                Ok(None)
            }
            Ok(reply) if reply.end == End::Stopped && reply.text.is_empty() => Ok(None),
            other => other.map(Some),
        }
    }

    fn explain(&self, file: Option<&Path>) -> Result<()> {
        let (example, ids) = self.last.as_ref().ok_or_else(|| {
            Error::Input("there is no answer to explain yet; ask something first".into())
        })?;
        interrupt::take();
        let told = explain::explain(self.session, self.registry, (example, ids), self.explaining);
        let told = match told {
            Err(Error::Interrupted { .. }) => {
                interrupt::take();
                out::note("stopped");
                return Ok(());
            }
            other => other?,
        };
        let Some(file) = file else {
            return explaining::show(&told);
        };
        match file.extension().and_then(|ending| ending.to_str()) {
            Some("html") => explaining::write_page(&told, Some(file)),
            Some("json") => explaining::write_json(&told, Some(file)),
            _ => Err(Error::Input(format!(
                "`/explain {}`: give a file that ends in .html or .json, or none",
                file.display()
            ))),
        }
    }

    /// Appends the conversation as one row that `finetune` and `eval` read.
    fn save(&self, file: &Path) -> Result<()> {
        if self.conversation.is_empty() {
            return Err(Error::Input(
                "there is nothing to save yet; ask something first".into(),
            ));
        }
        let row = serde_json::to_string(&self.conversation.row())
            .map_err(|error| Error::Run(format!("the conversation cannot be written: {error}")))?;
        let fail = |error| Error::io(file, error);
        let mut options = std::fs::OpenOptions::new();
        let mut to = options.append(true).create(true).open(file).map_err(fail)?;
        to.write_all(format!("{row}\n").as_bytes()).map_err(fail)?;
        out::note(&format!(
            "saved: {} as one row of {}",
            count(self.conversation.len(), "message"),
            file.display()
        ));
        Ok(())
    }
}

fn count(n: usize, what: &str) -> String {
    match n {
        1 => format!("1 {what}"),
        n => format!("{n} {what}s"),
    }
}

/// Enough of what was typed to recognise it.
fn brief(text: &str) -> String {
    const SHOWN: usize = 40;
    match text.char_indices().nth(SHOWN) {
        Some((end, _)) => format!("{}…", &text[..end]),
        None => text.to_owned(),
    }
}

/// Whether a person reads and types.
fn at_terminal() -> bool {
    std::io::stdin().is_terminal() && std::io::stdout().is_terminal()
}
