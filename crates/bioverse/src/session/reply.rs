//! One answer as it comes: streamed, stoppable, never beyond what the LLM can read, with the ids that were said and why it
//! ended. Who listens is unknown.

use std::ops::ControlFlow;

use bioverse_core::{Example, PadSide};
use bioverse_nn::GenerationConfig;

use super::Session;
use crate::error::Result;

/// One answer.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Reply {
    /// The text, trimmed.
    pub text: String,
    /// The ids that were said, the one that ended the answer included.
    pub ids: Vec<u32>,
    /// Why it ended.
    pub end: End,
}

/// Why an answer ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum End {
    /// The model was done, or came to a stop string.
    Done,
    /// It was as long as `max_new_tokens` allows.
    Length,
    /// The LLM reads no more tokens than question and answer have.
    Room,
    /// Whoever listened had enough.
    Stopped,
}

impl Session {
    /// As [`answer`](Self::answer) for one conversation, streaming text pieces.
    pub fn answer_streaming(
        &self,
        example: &Example,
        config: &GenerationConfig,
        on_text: &mut dyn FnMut(&str),
    ) -> Result<String> {
        let reply = self.reply(example, config, &mut |piece| {
            on_text(piece);
            ControlFlow::Continue(())
        })?;
        Ok(reply.text)
    }

    /// The answer to a conversation, streamed until `on_text` breaks; it is also called with an empty piece for tokens that
    /// add no text yet, so that it can break at any of them.
    ///
    /// # Errors
    /// A conversation without a question, with a placeholder that has no record, or longer than the LLM reads.
    pub fn reply(
        &self,
        example: &Example,
        config: &GenerationConfig,
        on_text: &mut dyn FnMut(&str) -> ControlFlow<()>,
    ) -> Result<Reply> {
        let mut config = self.with_eos(config);
        let prompt = self.prompt(example)?;
        let layout = self.layout(std::slice::from_ref(&prompt), PadSide::Left)?;
        let wanted = config.max_new_tokens;
        let most = self.model.llm.config().max_position_embeddings;
        config.max_new_tokens = wanted.min(most.saturating_sub(layout.width()).max(1));
        let encoded = self.encode_all([&prompt].into_iter())?;
        let mut stream = Stream::default();
        let mut stopped = false;
        let rows = self.go_on(&layout, &encoded, &config, &mut |_, id| {
            stream.ids.push(id);
            let flow = stream.send(&self.text(&stream.ids, &config), on_text);
            stopped |= flow.is_break();
            flow
        })?;
        let ids = rows.into_iter().next().unwrap_or_default();
        let text: String = self.text(&ids, &config).trim().into();
        if !stopped {
            let _ = stream.finish(&text, on_text);
        }
        let full = ids.len() == config.max_new_tokens;
        let ended = ids
            .last()
            .is_some_and(|id| config.eos_token_id.contains(id));
        let end = match () {
            () if stopped => End::Stopped,
            () if ended || !full => End::Done,
            () if config.max_new_tokens < wanted => End::Room,
            () => End::Length,
        };
        Ok(Reply { text, ids, end })
    }
}

/// Text sent piece by piece.
#[derive(Default)]
struct Stream {
    ids: Vec<u32>,
    sent: String,
}

impl Stream {
    /// Sends what is new in `text`. An unfinished character waits for its other bytes, and trailing white space for what
    /// follows it, since answers are trimmed.
    fn send(
        &mut self,
        text: &str,
        on_text: &mut dyn FnMut(&str) -> ControlFlow<()>,
    ) -> ControlFlow<()> {
        let text = text.trim_start();
        match text.ends_with(char::REPLACEMENT_CHARACTER) {
            true => on_text(""),
            false => self.finish(text.trim_end(), on_text),
        }
    }

    /// Sends the rest of the whole answer.
    fn finish(
        &mut self,
        answer: &str,
        on_text: &mut dyn FnMut(&str) -> ControlFlow<()>,
    ) -> ControlFlow<()> {
        match answer.strip_prefix(self.sent.as_str()) {
            Some(new) => {
                let flow = on_text(new);
                self.sent = answer.to_string();
                flow
            }
            None => on_text(""),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_stream_sends_whole_characters_and_adds_up_to_the_answer() {
        let mut stream = Stream::default();
        let mut pieces = vec![];
        let mut on_text = |piece: &str| {
            pieces.push(piece.to_string());
            ControlFlow::Continue(())
        };
        for text in [" ", " al", " al\u{fffd}", " alé ", " alé b"] {
            let _ = stream.send(text, &mut on_text);
        }
        let _ = stream.finish("alé b.", &mut on_text);
        pieces.retain(|piece| !piece.is_empty());
        assert_eq!(pieces, ["al", "é", " b", "."]);
    }

    #[test]
    fn a_stream_tells_of_tokens_without_text_and_passes_the_break_on() {
        let mut stream = Stream::default();
        let mut told = 0;
        let flow = stream.send("\u{fffd}", &mut |_| {
            told += 1;
            ControlFlow::Break(())
        });
        assert_eq!((told, flow), (1, ControlFlow::Break(())));
    }
}
