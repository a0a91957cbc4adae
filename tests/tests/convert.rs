//! `bioverse convert`: llama2.c models and PyTorch checkpoints become Hugging Face folders that compute the same.

mod convert {
    pub mod llama2c;
}

use std::{
    fs,
    path::{Path, PathBuf},
};

use bioverse::convert::{Conversion, Replace};
use bioverse_nn::{CausalLm, Tokenizer, Weights};
use bioverse_tests::{root, run};
use burn::prelude::*;
use convert::llama2c::{Model, tokenizer};
use proptest::prelude::*;

/// A model and its tokenizer on disk.
fn written(dir: &Path, model: &[u8]) -> PathBuf {
    fs::write(dir.join("tok266.bin"), tokenizer()).expect("a tokenizer");
    let path = dir.join("model.bin");
    fs::write(&path, model).expect("a model");
    path
}

fn path(path: &Path) -> String {
    path.display().to_string()
}

fn logits(folder: &Path, ids: &[usize]) -> Vec<f32> {
    let device = Device::flex();
    let lm = CausalLm::load(folder, &device).expect("a model");
    let ids: Vec<i64> = ids.iter().map(|id| *id as i64).collect();
    let shape = [1, ids.len()];
    let ids = Tensor::<2, Int>::from_data(TensorData::new(ids, shape), &device);
    let mask = ids.clone().greater_equal_elem(0);
    let hidden = lm.forward(lm.embed(ids), mask, None);
    lm.logits(hidden).into_data().iter::<f32>().collect()
}

#[test]
fn a_llama2c_model_computes_what_it_did() {
    let ids = [1, 259, 263, 70, 264, 2, 261, 265];
    for (tied, first) in [(true, true), (false, true), (true, false), (false, false)] {
        let dir = tempfile::tempdir().expect("a scratch directory");
        let model = Model::random(266, tied);
        let bytes = match first {
            true => model.first_layout(),
            false => model.layout_one(),
        };
        let (input, output) = (written(dir.path(), &bytes), dir.path().join("out"));
        let said = run(["convert", &path(&input), "--output", &path(&output)]).ok();
        assert!(said.stdout.contains("llama2.c"), "{said:?}");
        let want: Vec<f32> = model.logits(&ids).concat();
        let got = logits(&output, &ids);
        let worst = want
            .iter()
            .zip(&got)
            .map(|(a, b)| (a - b).abs())
            .fold(0.0, f32::max);
        assert_eq!(want.len(), got.len());
        assert!(worst < 1e-4, "tied {tied}, first layout {first}: {worst}");
        let tokenizer = Tokenizer::load(&output).expect("a tokenizer");
        let ids = tokenizer.encode_with_special("ab c").expect("ids");
        assert_eq!(tokenizer.tokens(&ids), ["<s>", "▁ab", "▁", "c"]);
        assert_eq!(tokenizer.decode(&ids).expect("a text"), "ab c");
        run(["inspect", &path(&output)]).ok();
        run([
            "generate",
            "--model",
            &path(&output),
            "--prompt",
            "ab",
            "--max-new-tokens",
            "4",
        ])
        .ok();
    }
}

#[test]
fn a_folder_that_is_there_stays_unless_forced() {
    let dir = tempfile::tempdir().expect("a scratch directory");
    let input = path(&written(
        dir.path(),
        &Model::random(266, true).first_layout(),
    ));
    let output = path(&dir.path().join("out"));
    let convert = |more: &[&str]| run([&["convert", &input, "--output", &output], more].concat());
    assert!(convert(&["--dry-run"]).ok().stdout.contains("would write"));
    assert!(!Path::new(&output).exists(), "a dry run writes nothing");
    convert(&[]).ok();
    let refused = convert(&[]);
    assert_eq!(refused.code, 2);
    assert!(refused.error().contains("--force"), "{refused:?}");
    convert(&["--force", "--dtype", "f16"]).ok();
    let weights = Weights::open(Path::new(&output)).expect("weights");
    assert_eq!(weights.dtype("model.norm.weight").expect("a tensor"), "F16");
}

#[test]
fn what_is_no_model_is_named() {
    let dir = tempfile::tempdir().expect("a scratch directory");
    let whole = Model::random(266, true).first_layout();
    let mut eight_bit = Model::random(266, true).layout_one();
    eight_bit[4] = 2;
    for (bytes, says) in [
        (&whole[..whole.len() - 4], "bytes long"),
        (&whole[..10], "no sizes of a model"),
        (
            &b"hello, I am a text and no model"[..],
            "no sizes of a model",
        ),
        (&eight_bit[..], "version 2"),
        (&b"PK\x03\x04 and then nothing"[..], "PyTorch checkpoint"),
    ] {
        let input = path(&written(dir.path(), bytes));
        let ended = run([
            "convert",
            &input,
            "--output",
            &path(&dir.path().join("out")),
        ]);
        assert_eq!(ended.code, 2, "{ended:?}");
        assert!(
            ended.error().contains("model.bin") && ended.error().contains(says),
            "{ended:?}"
        );
        assert!(!dir.path().join("out").exists());
    }
    fs::write(dir.path().join("tok2.bin"), "").expect("a second tokenizer");
    let input = path(&written(dir.path(), &whole));
    let ended = run([
        "convert",
        &input,
        "--output",
        &path(&dir.path().join("out")),
    ]);
    assert!(ended.error().contains("--tokenizer"), "{ended:?}");
}

#[test]
fn a_pytorch_folder_keeps_its_tensors_and_its_files() {
    let dir = tempfile::tempdir().expect("a scratch directory");
    let golden = root().join("tests/golden/scgpt");
    let source = dir.path().join("scgpt");
    fs::create_dir(&source).expect("a folder");
    for name in ["best_model.pt", "args.json", "vocab.json"] {
        fs::copy(golden.join(name), source.join(name)).expect("a copy");
    }
    let output = dir.path().join("out");
    run(["convert", &path(&source), "--output", &path(&output)]).ok();
    let (got, want) = (
        Weights::open(&output).expect("converted"),
        Weights::open_file(&golden.join("best_model.pt")).expect("golden"),
    );
    assert!(!want.names().is_empty());
    for name in want.names() {
        assert_eq!(
            got.data(name).expect("a tensor"),
            want.data(name).expect("a tensor"),
            "{name}"
        );
    }
    for name in ["args.json", "vocab.json"] {
        assert_eq!(
            fs::read(output.join(name)).expect("copied"),
            fs::read(golden.join(name)).expect("golden")
        );
    }
    assert!(!output.join("best_model.pt").exists());
}

/// A real model that anyone can get (stories260K, MIT), when `BIOVERSE_DATA` names a folder with it.
#[test]
fn the_real_storyteller_tells_its_story() {
    let data = std::env::var_os("BIOVERSE_DATA").map(PathBuf::from);
    let input = data.map(|data| data.join("weights/stories260K/stories260K.bin"));
    let Some(input) = input.filter(|input| input.is_file()) else {
        eprintln!("skipped: set BIOVERSE_DATA to a folder with weights/stories260K");
        return;
    };
    let dir = tempfile::tempdir().expect("a scratch directory");
    let output = path(&dir.path().join("stories260K"));
    run(["convert", &path(&input), "--output", &output]).ok();
    let prompt = ["--prompt", "Once upon a time", "--max-new-tokens", "60"];
    let told = run([&["generate", "--model", &output][..], &prompt].concat())
        .ok()
        .stdout;
    let told: Vec<&str> = told.split_whitespace().collect();
    let story = "there was a little girl named Lily. She loved to play outside in the park. One day, she saw a big, red ball.";
    assert!(told.join(" ").contains(story), "{told:?}");
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 128, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn a_damaged_model_is_an_error_or_another_model(
        one in any::<bool>(),
        at in 0..64usize,
        byte in any::<u8>(),
        keep in any::<prop::sample::Index>(),
        cut in any::<bool>(),
        token in any::<prop::sample::Index>(),
    ) {
        let model = Model::random(266, true);
        let mut bytes = if one { model.layout_one() } else { model.first_layout() };
        bytes[at] = byte;
        if cut {
            bytes.truncate(keep.index(bytes.len()));
        }
        let dir = tempfile::tempdir().expect("a scratch directory");
        let input = written(dir.path(), &bytes);
        let mut tokens = tokenizer();
        let at = token.index(tokens.len());
        tokens[at] ^= byte;
        fs::write(dir.path().join("tok266.bin"), tokens).expect("a tokenizer");
        let conversion = Conversion {
            input,
            output: dir.path().join("out"),
            tokenizer: None,
            dtype: None,
        };
        let ended = conversion.run(Replace::Never);
        prop_assert_eq!(ended.is_ok(), dir.path().join("out/config.json").exists());
    }
}
