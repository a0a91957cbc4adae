//! A conversation about records: what was said, which records it is about, and what a line that a person typed means. It is
//! laid out anew for every answer, from the first word to the last record, so a record of the first message is as present in the
//! tenth as it was; nothing is dropped to make room. It reads no line, prints nothing and knows no model.

mod command;
mod conversation;

pub use command::{Line, parse};
pub use conversation::{Attached, Conversation, Draft};
