//! `bioverse generate`: plain text from a language model, without any record.

use std::path::PathBuf;

use bioverse_nn::{CausalLm, Tokenizer, chat::ChatMessage, generate};
use burn::prelude::*;
use clap::Args;

use super::{out, sampling::Sampling};
use crate::{
    convert, device,
    error::{Error, Result},
    hub,
};

/// Continues a text with a language model of the Llama family.
#[derive(Debug, Args)]
#[command(after_long_help = EXAMPLES)]
pub struct Generate {
    /// A Hugging Face folder, or a model of the Hub as `org/name[@revision]`.
    #[arg(long, value_name = "MODEL")]
    model: PathBuf,
    /// A LoRA in PEFT's format: a folder, or `org/name[@revision]`.
    #[arg(long, value_name = "MODEL")]
    adapter: Option<PathBuf>,
    /// The text to continue.
    #[arg(long, value_name = "TEXT")]
    prompt: String,
    /// Puts the prompt into the model's chat template, as the user's turn.
    #[arg(long)]
    chat: bool,
    /// `cpu`, `cuda:0` or `wgpu`.
    #[arg(long, default_value = "cpu")]
    device: String,
    #[command(flatten)]
    sampling: Sampling,
}

const EXAMPLES: &str = "\
Examples:
  bioverse generate --model models/pocket/lm --prompt \"A ketone is\" --max-new-tokens 24
  bioverse generate --model models/pocket/lm --chat --prompt \"What is an ester?\" --temperature 0.8 --seed 1
  bioverse generate --model models/pocket/lm --adapter runs/pocket/finetune/bundle/adapter --prompt \"It is\"
  bioverse generate --model Qwen/Qwen2.5-0.5B-Instruct --chat --prompt \"What is an ester?\"";

impl Generate {
    /// Prints the continuation as it comes.
    pub fn run(self) -> Result<()> {
        let device = device::parse(&self.device)?;
        let model = hub::locate(&self.model)?.dir;
        let tokenizer = Tokenizer::load(&model)?;
        let ids = self.prompt_ids(&tokenizer)?;
        let mut lm = CausalLm::load(&model, &device)?;
        if let Some(adapter) = &self.adapter {
            let adapter = hub::locate(adapter)?.dir;
            convert::merge::warn_of_another_base(&model, &adapter)?;
            lm = lm.load_adapter(&adapter, &device)?.merge_lora();
        }
        let eos = match lm.config().eos_token_id.clone() {
            ids if ids.is_empty() => tokenizer.eos().into_iter().collect(),
            ids => ids,
        };
        let config = self.sampling.config(eos);
        let width = ids.len();
        let data: Vec<i64> = ids.iter().map(|id| i64::from(*id)).collect();
        let ids = Tensor::<2, Int>::from_data(TensorData::new(data, [1, width]), &device);
        let mask = ids.clone().greater_equal_elem(0);
        let decode = |ids: &[u32]| tokenizer.decode(ids).unwrap_or_default();
        let mut stream = Stream::default();
        let rows = generate::generate(&lm, lm.embed(ids), mask, &config, &decode, &mut |_, id| {
            stream.push(id, &config.stop, &decode)
        })?;
        let text = decode(rows.first().map_or(&[][..], Vec::as_slice));
        stream.finish(generate::before_stop(&text, &config.stop))
    }

    fn prompt_ids(&self, tokenizer: &Tokenizer) -> Result<Vec<u32>> {
        let ids = if self.chat {
            let template = tokenizer.chat_template().ok_or_else(|| {
                Error::Input(format!(
                    "{} has no chat template; leave out --chat",
                    self.model.display()
                ))
            })?;
            let message = ChatMessage::new("user", &self.prompt);
            // The template writes bos itself.
            tokenizer.encode(&template.render(&[message], true)?)?
        } else {
            let mut ids = tokenizer.encode_with_special(&self.prompt)?;
            // A text to be continued has not ended.
            if ids.len() > 1 && ids.last().copied() == tokenizer.eos() {
                ids.pop();
            }
            ids
        };
        if ids.is_empty() {
            return Err(Error::Input(
                "--prompt is empty and this tokenizer adds no start token; write at least one word"
                    .into(),
            ));
        }
        Ok(ids)
    }
}

/// Prints text as soon as later tokens cannot change it.
#[derive(Default)]
struct Stream {
    ids: Vec<u32>,
    printed: String,
    failed: Option<Error>,
}

impl Stream {
    fn push(&mut self, id: u32, stop: &[String], decode: &dyn Fn(&[u32]) -> String) {
        self.ids.push(id);
        let text = decode(&self.ids);
        // Half of a character, or text that may turn out to be the start of a stop string, waits.
        if text.ends_with('\u{FFFD}') || !stop.is_empty() {
            return;
        }
        self.print(&text);
    }

    fn print(&mut self, text: &str) {
        let Some(new) = text.strip_prefix(self.printed.as_str()) else {
            return;
        };
        if let Err(error) = out::text(new) {
            self.failed.get_or_insert(error);
        }
        self.printed = text.to_owned();
    }

    fn finish(mut self, text: &str) -> Result<()> {
        self.print(text);
        self.failed.map_or_else(|| out::line(""), Err)
    }
}
