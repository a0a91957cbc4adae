//! Ctrl-C and SIGTERM as a flag: the first asks the loop to finish its step and save, or a conversation to end its answer; the
//! second ends the process at once. What is to be saved, and where, is the loop's business.

use std::sync::{
    Once, OnceLock,
    atomic::{AtomicBool, Ordering},
};

use crate::telemetry::screen;

/// Whether what is interrupted is one answer of many, which has nothing to save.
static CONVERSATION: AtomicBool = AtomicBool::new(false);
static REQUESTED: AtomicBool = AtomicBool::new(false);
static INSTALL: Once = Once::new();
static RESUME: OnceLock<String> = OnceLock::new();

/// What a shell expects of a program ended by Ctrl-C.
const ENDED_BY_CTRL_C: i32 = 130;

/// Installs the handler once; later calls do nothing.
pub fn install() {
    INSTALL.call_once(|| {
        let handler = || {
            if REQUESTED.swap(true, Ordering::SeqCst) {
                screen::try_clear();
                std::process::exit(ENDED_BY_CTRL_C);
            }
            if !CONVERSATION.load(Ordering::SeqCst) {
                tracing::warn!(
                    "asked to stop: finishing this step and saving; Ctrl-C again stops at once"
                );
            }
        };
        if let Err(error) = ctrlc::set_handler(handler) {
            tracing::warn!("Ctrl-C will end the program without saving: {error}");
        }
    });
}

/// [`install`] for a program that stops what it is about and goes on: it asks with [`take`].
pub fn install_for_conversation() {
    CONVERSATION.store(true, Ordering::SeqCst);
    install();
}

/// Whether Ctrl-C was pressed, which is forgotten by that.
pub fn take() -> bool {
    REQUESTED.swap(false, Ordering::SeqCst)
}

/// Whether Ctrl-C was pressed.
pub fn requested() -> bool {
    REQUESTED.load(Ordering::SeqCst)
}

/// Says which command goes on with this run, as the shell reads it.
pub fn resume_with(command: String) {
    let _ = RESUME.set(command);
}

/// What to type to go on.
pub fn resume_command() -> String {
    match RESUME.get() {
        Some(command) => format!("`{command}`"),
        None => "the same command and --resume".into(),
    }
}
