//! An explanation made by hand, for whoever shows one.

use super::occlusion::Method;
use super::{Baseline, Explanation, Part, Run, Soft};

/// Fourteen tokens: the last carries the answer (+2), the second speaks against it (-1), the first carries half a nat, the others
/// a tenth.
pub(super) fn example() -> Explanation {
    let run = |at: usize| Run {
        labels: vec![if at == 14 { "Br" } else { "C" }.to_owned()],
        at,
        occlusion: match at {
            14 => 2.0,
            2 => -1.0,
            1 => 0.5,
            _ => 0.1,
        },
        gradient: 0.25,
    };
    Explanation {
        question: "What is <molecule>?".into(),
        answer: "It is a long answer that says a lot of things, so many that they need more than a line of text.".into(),
        answer_tokens: 9,
        log_probability: -3.5,
        baseline: Baseline::Zero,
        records: vec![Part {
            modality: "molecule".into(),
            record: "CCCCCCCCCCCCCBr".repeat(9),
            occlusion: 2.5,
            soft: vec![
                Soft {
                    occlusion: 2.0,
                    gradient: 0.5,
                },
                Soft {
                    occlusion: -1.0,
                    gradient: -0.5,
                },
            ],
            method: Method::Encoded,
            tokens: (1..=14).map(run).collect(),
            special_gradient: 0.0,
        }],
    }
}
