//! Parity with the reference libraries: every folder of `$BIOVERSE_GOLDEN` (default `tests/golden`) holds a tiny model and
//! what PyTorch, `transformers` and PEFT compute with it. Our code loads the model through the ordinary path and has to
//! come to the same numbers.
//!
//! `BIOVERSE_GOLDEN` names one golden folder or a folder of them; other seeds, sizes and folder names run through the same
//! code, because the family stands in `golden.json`. Nothing is skipped: an unknown family, and a tensor that nobody
//! looked at, are failures.

mod golden {
    pub mod base_model;
    pub mod chat;
    pub mod check;
    pub mod decoder;
    pub mod distance;
    pub mod encoder;
    pub mod folder;
    pub mod lora;
    pub mod metrics;
    pub mod outcome;
    pub mod parameters;
    pub mod projector;
    pub mod scgpt;
    pub mod stage2;
    pub mod suite;
    pub mod text;
}

use std::io::Write;

#[test]
fn every_folder_agrees_with_its_reference() {
    let (root, outcomes) = golden::suite::run();
    // Straight to stderr: libtest would show a captured table only after a failure.
    let mut err = std::io::stderr().lock();
    let _ = writeln!(err, "\ngolden folders of {}", root.display());
    for outcome in &outcomes {
        let _ = writeln!(err, "{outcome}");
    }
    drop(err);
    let failed: Vec<String> = outcomes
        .iter()
        .filter(|o| o.failed())
        .map(|o| o.name.clone())
        .collect();
    assert!(
        !outcomes.is_empty(),
        "no folder with a golden.json in {}",
        root.display()
    );
    assert!(
        failed.is_empty(),
        "{} of {} folders differ: {}",
        failed.len(),
        outcomes.len(),
        failed.join(", ")
    );
}
