//! What an explanation claims, checked against the model asked directly: occlusion by its definition, gradient × input by finite
//! differences along the input (Richardson's extrapolation of two step widths).

use std::sync::OnceLock;

use bioverse::explain::{Baseline, Explanation, LIMIT, Options, explain};
use bioverse::{Session, registry, session::prompt_of};
use bioverse_core::{
    BoxError, Example, Hidden, Layout, Message, PadSide, Record, Slot, SoftTokens,
};
use bioverse_nn::GenerationConfig;
use bioverse_tests::{run, tiny_align};
use burn::prelude::*;
use tempfile::TempDir;

fn session() -> Session {
    static RUN: OnceLock<TempDir> = OnceLock::new();
    let dir = RUN.get_or_init(|| {
        let dir = tempfile::tempdir().expect("a scratch directory");
        run(tiny_align(dir.path())).ok();
        dir
    });
    // Models are named from the root of the workspace.
    std::env::set_current_dir(bioverse_tests::root()).expect("the root");
    Session::open(dir.path(), &registry::standard(), &Device::flex()).expect("a session")
}

fn example() -> Example {
    Example {
        messages: vec![Message {
            role: "user".into(),
            content: "What is <molecule>?".into(),
        }],
        records: vec![("molecule".into(), Record::from("CC(=O)O"))],
        group: None,
    }
}

const OPTIONS: Options = Options {
    baseline: Baseline::Zero,
    limit: LIMIT,
};

fn said(session: &Session) -> Vec<u32> {
    let config = GenerationConfig {
        max_new_tokens: 5,
        ..Default::default()
    };
    let reply = session.reply(&example(), &config, &mut |_| {
        std::ops::ControlFlow::Continue(())
    });
    reply.expect("an answer").ids
}

fn explained(session: &Session, ids: &[u32]) -> Explanation {
    explain(session, &registry::standard(), (&example(), ids), OPTIONS).expect("an explanation")
}

/// The question with its answer, laid out without the code under test.
struct Direct<'s> {
    session: &'s Session,
    layout: Layout,
    hidden: Hidden,
    soft: Tensor<3>,
}

impl<'s> Direct<'s> {
    fn new(session: &'s Session, ids: &[u32]) -> Self {
        let prompt =
            prompt_of(&session.tokenizer, &example(), &["molecule"], false).expect("a prompt");
        let encode = |texts: &[&str]| session.tokenizer.encode_run(texts).map_err(BoxError::from);
        let projector = session.model.projector("molecule").expect("a projector");
        let soft_len = projector.soft_len();
        let mut layout = Layout::of_runs(&[prompt], 0, PadSide::Right, encode, |_| Ok(soft_len))
            .expect("a layout");
        for id in ids {
            layout.rows[0].slots.push(Slot::Token(*id));
            layout.rows[0].loss.push(true);
        }
        let encoder = session.encoders["molecule"].get().expect("an encoder");
        let hidden = encoder
            .encode(&[example().records[0].1.clone()])
            .expect("states");
        let soft = projector.forward(hidden.clone()).embeds;
        Self {
            session,
            layout,
            hidden,
            soft,
        }
    }

    fn log_probability(&self, soft: Tensor<3>) -> f64 {
        let (model, device) = (&self.session.model, &self.session.device);
        let embeds =
            model.inputs_embeds_with(&self.layout, vec![SoftTokens { embeds: soft }], device);
        let hidden = model.read(&self.layout, embeds, device);
        let scores = model.scores_at(hidden, &self.layout.targets());
        -scores.iter().map(|score| score.loss).sum::<f64>()
    }

    /// The soft tokens with one of them times `factor`.
    fn scaled(&self, index: usize, factor: f64) -> Tensor<3> {
        let [_, _, width] = self.soft.dims();
        let token = self.soft.clone().narrow(1, index, 1) * factor;
        self.soft
            .clone()
            .slice_assign([0..1, index..index + 1, 0..width], token)
    }

    /// As [`scaled`](Self::scaled), for a hidden state.
    fn state_scaled(&self, at: usize, factor: f64) -> Tensor<3> {
        let [_, _, width] = self.hidden.states.dims();
        let state = self.hidden.states.clone().narrow(1, at, 1) * factor;
        let states = self
            .hidden
            .states
            .clone()
            .slice_assign([0..1, at..at + 1, 0..width], state);
        let hidden = Hidden {
            states,
            mask: self.hidden.mask.clone(),
        };
        self.session
            .model
            .projector("molecule")
            .expect("a projector")
            .forward(hidden)
            .embeds
    }

    /// The slope of the log-probability at 1 of a factor.
    fn slope(&self, scaled: impl Fn(f64) -> Tensor<3>) -> f64 {
        let at = |step: f64| {
            let (up, down) = (
                self.log_probability(scaled(1.0 + step)),
                self.log_probability(scaled(1.0 - step)),
            );
            (up - down) / (2.0 * step)
        };
        (4.0 * at(5e-2) - at(1e-1)) / 3.0
    }
}

fn near(found: f64, wanted: f64, what: &str) {
    // Log-probabilities are sums in f32; a difference of two over a step of 0.05 has an error of a few 1e-4.
    let room = 1e-2 * wanted.abs().max(0.1);
    assert!(
        (found - wanted).abs() < room,
        "{what}: {found} and {wanted}"
    );
}

#[test]
fn occlusion_and_gradient_are_what_the_model_says_when_asked_directly() {
    let session = session();
    let ids = said(&session);
    let explanation = explained(&session, &ids);
    let direct = Direct::new(&session, &ids);
    let whole = direct.log_probability(direct.soft.clone());
    near(explanation.log_probability, whole, "log-probability");
    let part = &explanation.records[0];
    near(
        part.occlusion,
        whole - direct.log_probability(direct.soft.zeros_like()),
        "the record",
    );
    assert_eq!(part.soft.len(), 2);
    for (i, soft) in part.soft.iter().enumerate() {
        near(
            soft.occlusion,
            whole - direct.log_probability(direct.scaled(i, 0.0)),
            "occlusion",
        );
        near(
            soft.gradient,
            direct.slope(|factor| direct.scaled(i, factor)),
            "gradient × input",
        );
    }
    let states = direct.hidden.states.dims()[1];
    assert_eq!(
        part.tokens.len() + 2,
        states,
        "all but the two special tokens"
    );
    for token in &part.tokens {
        // The first state is that of the token that begins every record.
        let slope = direct.slope(|factor| direct.state_scaled(token.at, factor));
        near(token.gradient, slope, "gradient × input at a state");
    }
    let ends = [0, states - 1].map(|at| direct.slope(|factor| direct.state_scaled(at, factor)));
    near(part.special_gradient, ends.iter().sum(), "special tokens");
    assert!(
        part.soft.iter().any(|soft| soft.occlusion.abs() > 1e-3),
        "the test would see nothing: {part:?}"
    );
}

#[test]
fn a_token_is_taken_out_by_masking_it() {
    let session = session();
    let ids = said(&session);
    let part = explained(&session, &ids).records.remove(0);
    let direct = Direct::new(&session, &ids);
    let encoder = session.encoders["molecule"].get().expect("an encoder");
    let record = &example().records[0].1;
    let projector = session.model.projector("molecule").expect("a projector");
    let whole = direct.log_probability(direct.soft.clone());
    for token in &part.tokens {
        let hidden = encoder
            .encode_occluded(record, std::slice::from_ref(&(token.at..token.at + 1)))
            .expect("states");
        assert_eq!(
            hidden.states.dims(),
            direct.hidden.states.dims(),
            "masked, not left out"
        );
        let without = direct.log_probability(projector.forward(hidden).embeds);
        near(token.occlusion, whole - without, "occlusion of a token");
    }
    let spelt: String = part
        .tokens
        .iter()
        .flat_map(|token| token.labels.clone())
        .collect();
    assert_eq!(
        spelt, "CC(=O)O",
        "the canonical form is what the encoder read"
    );
}

#[test]
fn an_answer_that_ignores_the_record_is_explained_by_zeros() {
    let mut session = session();
    for projector in &mut session.model.projectors {
        let zeros = projector.to_tensors().into_iter().map(|(name, data)| {
            let shape = data.shape().as_slice().to_vec();
            let count: usize = shape.iter().product();
            (
                name,
                burn::tensor::TensorData::new(vec![0.0_f32; count], shape),
            )
        });
        *projector = projector
            .clone()
            .load_tensors(&zeros.collect())
            .expect("zeros");
    }
    let ids = said(&session);
    let explanation = explained(&session, &ids);
    let part = &explanation.records[0];
    let numbers = part
        .soft
        .iter()
        .flat_map(|soft| [soft.occlusion, soft.gradient]);
    let numbers = numbers.chain(
        part.tokens
            .iter()
            .flat_map(|token| [token.occlusion, token.gradient]),
    );
    for number in numbers.chain([part.occlusion, part.special_gradient]) {
        assert!(number.abs() < 1e-5, "{part:?}");
    }
}

#[test]
fn the_same_answer_has_the_same_explanation() {
    let session = session();
    let ids = said(&session);
    assert_eq!(explained(&session, &ids), explained(&session, &ids));
}

#[test]
fn a_record_that_takes_its_own_place_changes_nothing() {
    // The mean of training records that are all this one is this one.
    let session = session();
    let ids = said(&session);
    let dir = tempfile::tempdir().expect("a scratch directory");
    let bundle = dir.path().join("bundle");
    std::fs::create_dir(&bundle).expect("a folder");
    for file in bioverse_tests::files_below(&session.bundle.dir) {
        let to = bundle.join(&file);
        std::fs::create_dir_all(to.parent().expect("a folder")).expect("a folder");
        std::fs::copy(session.bundle.dir.join(&file), to).expect("a copy");
    }
    let data = dir.path().join("same.jsonl");
    let row = "{\"smiles\": \"CC(=O)O\", \"text\": \"An acid.\", \"split\": \"train\"}\n";
    std::fs::write(&data, row.repeat(3)).expect("rows");
    let file = bundle.join("config.toml");
    let config = std::fs::read_to_string(&file).expect("a config");
    let changed = config.replace("tests/data/molecules.jsonl", &data.display().to_string());
    assert_ne!(changed, config);
    std::fs::write(&file, changed).expect("a config");
    let session =
        Session::open(dir.path(), &registry::standard(), &Device::flex()).expect("a session");
    let options = Options {
        baseline: Baseline::Mean,
        ..OPTIONS
    };
    let explanation = explain(&session, &registry::standard(), (&example(), &ids), options)
        .expect("an explanation");
    let part = &explanation.records[0];
    for lost in part
        .soft
        .iter()
        .map(|soft| soft.occlusion)
        .chain([part.occlusion])
    {
        assert!(lost.abs() < 1e-5, "{part:?}");
    }
}
