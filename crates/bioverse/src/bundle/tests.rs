//! Bundles of toy models: written, opened, verified, carried over, damaged.
#![allow(clippy::unwrap_used, clippy::expect_used)]

use std::{collections::BTreeMap, fs};

use bioverse_core::{BoxError, Hidden, Modality, Preset, ProjectorConfig};
use serde::{Deserialize, Serialize};

use super::*;
use crate::{cache::Cache, config::TextSpace};

/// A modality whose encoder is one file.
struct Toy<const RNA: bool>;

#[derive(Debug, Default, Serialize, Deserialize)]
struct ToyConfig {
    path: PathBuf,
}

impl<const RNA: bool> Modality for Toy<RNA> {
    const NAME: &'static str = if RNA { "rna" } else { "toy" };
    type Config = ToyConfig;
    type Input = String;
    type Tokens = String;
    fn load(_: &ToyConfig, _: &Device) -> std::result::Result<Self, BoxError> {
        Ok(Self)
    }
    fn tokenize(&self, input: &String) -> std::result::Result<String, BoxError> {
        Ok(input.clone())
    }
    fn encode(&self, _: &[String]) -> std::result::Result<Hidden, BoxError> {
        Err("not needed".into())
    }
    fn d_hidden(&self) -> usize {
        5
    }
    fn weights(config: &ToyConfig) -> Vec<PathBuf> {
        vec![
            config.path.join("config.json"),
            config.path.join("model.safetensors"),
        ]
    }
}

/// An LLM folder, an encoder folder and a configuration that names them.
struct Place {
    dir: tempfile::TempDir,
    config: RunConfig,
    registry: Registry,
}

impl Place {
    fn new() -> Self {
        let dir = tempfile::tempdir().unwrap();
        let (lm, encoder) = (dir.path().join("lm"), dir.path().join("encoder"));
        for folder in [&lm, &encoder] {
            fs::create_dir(folder).unwrap();
            fs::write(folder.join("config.json"), "{}").unwrap();
            fs::write(folder.join("model.safetensors"), folder.to_str().unwrap()).unwrap();
        }
        fs::write(lm.join("tokenizer.json"), "tokens").unwrap();
        let mut config = RunConfig::default();
        config.llm.path = lm;
        config.data.train = "rows.jsonl".into();
        for name in ["toy", "rna"] {
            let table =
                toml::Table::from_iter([("path".to_string(), encoder.to_str().unwrap().into())]);
            config.modality.insert(name.into(), table);
        }
        let registry = Registry::new().with::<Toy<false>>().with::<Toy<true>>();
        Self {
            dir,
            config,
            registry,
        }
    }

    fn path(&self, path: &str) -> PathBuf {
        self.dir.path().join(path)
    }

    fn write(&self, target: &str, names: &[&str], carried: Option<&Bundle>) -> Result<Bundle> {
        let mut space = LlmSpace::new("lm", 3);
        let texts = Tensor::<2>::from_data([[1.0, 2.0, 0.0], [0.0, 1.0, 5.0]], &Device::flex());
        let mut metrics = BTreeMap::new();
        for (i, name) in names.iter().enumerate() {
            space.register(name, projector(i as f32 + 0.5)).unwrap();
            metrics.insert(
                name.to_string(),
                TextMetric::fit(TextSpace::Centered, texts.clone()).unwrap(),
            );
        }
        let contents = Contents {
            config: &self.config,
            identities: &Identities::of(&self.config, &self.registry)?,
            space: &space,
            metrics: &metrics,
            readouts: &BTreeMap::new(),
            adapter: None,
            carried,
        };
        Bundle::write(&self.path(target), &contents)
    }
}

/// Known numbers, and a task token.
fn projector(value: f32) -> Projector {
    let config = ProjectorConfig {
        preset: Preset::Linear,
        task_token: true,
        ..ProjectorConfig::default()
    };
    let fresh = config.init(5, 3, &Device::flex());
    let tensors = fresh.to_tensors().into_iter().map(|(name, data)| {
        let values: Vec<f32> = (0..data.num_elements()).map(|i| value + i as f32).collect();
        (name, TensorData::new(values, data.shape()))
    });
    let tensors = tensors.collect();
    fresh.load_tensors(&tensors).unwrap()
}

fn numbers(projector: &Projector) -> Vec<(String, Vec<f32>)> {
    let tensors = projector.to_tensors().into_iter();
    tensors
        .map(|(name, data)| (name, data.iter::<f32>().collect()))
        .collect()
}

/// Every file under a folder with its bytes.
fn tree(dir: &Path) -> BTreeMap<PathBuf, Vec<u8>> {
    let mut found = BTreeMap::new();
    for entry in fs::read_dir(dir).unwrap() {
        let path = entry.unwrap().path();
        match path.is_dir() {
            true => found.extend(
                tree(&path)
                    .into_iter()
                    .map(|(inner, bytes)| (path.join(inner), bytes)),
            ),
            false => drop(found.insert(path.clone(), fs::read(&path).unwrap())),
        }
    }
    found
        .into_iter()
        .map(|(path, bytes)| (path.strip_prefix(dir).unwrap().into(), bytes))
        .collect()
}

#[test]
fn what_is_written_is_what_is_read() {
    let place = Place::new();
    place.write("run/bundle", &["toy"], None).unwrap();
    let bundle = Bundle::open(&place.path("run")).unwrap();
    assert_eq!(bundle.dir, place.path("run/bundle"));
    bundle.verify(&place.registry, &Cache::off()).unwrap();
    let space = bundle.space(&Device::flex()).unwrap();
    assert_eq!((space.names(), space.d_model()), (vec!["toy"], 3));
    assert_eq!(
        numbers(space.projector("toy").unwrap()),
        numbers(&projector(0.5))
    );
    let metric = bundle.text_metric("toy", &Device::flex()).unwrap();
    let centred = metric.apply(Tensor::from_data([[0.5, 1.5, 2.5]], &Device::flex()));
    assert_eq!(
        centred.into_data().iter::<f32>().collect::<Vec<_>>(),
        [0.0; 3]
    );
    assert_eq!(
        bundle.config().unwrap().to_toml().unwrap(),
        place.config.to_toml().unwrap()
    );
    assert!(bundle.adapter_dir().is_none());
    assert!(
        bundle
            .text_metric("rna", &Device::flex())
            .unwrap_err()
            .to_string()
            .contains("`rna`")
    );
}

#[test]
fn the_same_contents_give_the_same_bytes() {
    let place = Place::new();
    let first = place.write("first", &["toy", "rna"], None).unwrap();
    let second = place.write("second", &["toy", "rna"], None).unwrap();
    assert_eq!(tree(&first.dir), tree(&second.dir));
    assert_eq!(tree(&first.dir).len(), 6);
}

#[test]
fn other_modalities_are_carried_over_byte_for_byte_even_onto_themselves() {
    let place = Place::new();
    let earlier = place.write("bundle", &["toy", "rna"], None).unwrap();
    let before = tree(&earlier.dir);
    let later = place.write("bundle", &["toy"], Some(&earlier)).unwrap();
    let after = tree(&later.dir);
    for file in ["projectors/rna.safetensors", "metrics/rna.safetensors"] {
        assert_eq!(before[Path::new(file)], after[Path::new(file)]);
    }
    assert_eq!(
        later.space(&Device::flex()).unwrap().names(),
        ["rna", "toy"]
    );
    fs::write(place.path("lm/model.safetensors"), "another").unwrap();
    let error = place.write("bundle", &["toy"], Some(&later)).unwrap_err();
    assert!(
        error.to_string().contains("`model.safetensors` differs"),
        "{error}"
    );
    assert_eq!(
        tree(&later.dir),
        after,
        "a refused bundle leaves the old one"
    );
}

#[test]
fn a_model_that_changed_is_refused_by_the_file_that_differs() {
    for (file, part) in [
        ("lm/model.safetensors", "the LLM at"),
        ("lm/config.json", "the LLM at"),
        ("lm/tokenizer.json", "the tokenizer at"),
        ("encoder/model.safetensors", "the toy encoder at"),
    ] {
        let place = Place::new();
        let bundle = place.write("bundle", &["toy"], None).unwrap();
        let name = file.split('/').nth(1).unwrap();
        fs::write(place.path(file), "another").unwrap();
        let error = bundle.verify(&place.registry, &Cache::off()).unwrap_err();
        let text = error.to_string();
        assert!(
            text.contains(part) && text.contains(&format!("`{name}` differs (expected sha256 ")),
            "{text}"
        );
        assert_eq!(error.exit_code(), 2);
        fs::remove_file(place.path(file)).unwrap();
        let text = bundle
            .verify(&place.registry, &Cache::off())
            .unwrap_err()
            .to_string();
        assert!(text.contains(&format!("`{name}` is missing")), "{text}");
    }
}

#[test]
fn files_that_were_added_count_too_and_the_place_does_not() {
    let place = Place::new();
    let bundle = place.write("bundle", &["toy"], None).unwrap();
    fs::rename(place.path("lm"), place.path("elsewhere")).unwrap();
    bundle
        .verify_llm(&place.path("elsewhere"), &Cache::off())
        .unwrap();
    assert!(
        bundle
            .verify(&place.registry, &Cache::off())
            .unwrap_err()
            .to_string()
            .contains("is no folder")
    );
    fs::write(place.path("elsewhere/chat_template.jinja"), "x").unwrap();
    let text = bundle
        .verify_llm(&place.path("elsewhere"), &Cache::off())
        .unwrap_err()
        .to_string();
    assert!(
        text.contains("`chat_template.jinja` was not there then"),
        "{text}"
    );
}

#[test]
fn an_encoder_that_is_gone_is_not_looked_for_under_its_path() {
    let place = Place::new();
    let mut bundle = place.write("bundle", &["toy"], None).unwrap();
    let text = fs::read_to_string(place.path("bundle/bundle.json")).unwrap();
    assert!(
        !text.contains("\"source\""),
        "folders have no source: {text}"
    );
    let entry = bundle.manifest.modalities.get_mut("toy").unwrap();
    // Such a path could be a name of the Hub as well.
    entry.config.insert("path".into(), "no-such/encoder".into());
    let text = bundle
        .verify(&place.registry, &Cache::off())
        .unwrap_err()
        .to_string();
    assert!(
        text.contains("its toy encoder is not there any more: there is no no-such/encoder"),
        "{text}"
    );
}

#[test]
fn a_snapshot_is_recorded_with_its_source_and_may_get_other_weights() {
    let mut place = Place::new();
    let commit = "0123456789abcdef0123456789abcdef01234567";
    let snapshots = place.path("hub/models--org--lm/snapshots");
    fs::create_dir_all(&snapshots).unwrap();
    let snapshot = snapshots.join(commit);
    fs::rename(place.path("lm"), &snapshot).unwrap();
    place.config.llm.path = snapshot.clone();
    let bundle = place.write("bundle", &["toy"], None).unwrap();
    let source = Some(format!("org/lm@{commit}"));
    assert_eq!(bundle.manifest.llm.source, source);
    assert_eq!(bundle.manifest.tokenizer.source, source);
    fs::write(snapshot.join("consolidated.safetensors"), "a copy").unwrap();
    fs::write(snapshot.join("pytorch_model.bin"), "a copy").unwrap();
    bundle.verify(&place.registry, &Cache::off()).unwrap();
    fs::write(snapshot.join("chat_template.jinja"), "x").unwrap();
    let text = bundle
        .verify(&place.registry, &Cache::off())
        .unwrap_err()
        .to_string();
    assert!(
        text.contains("`chat_template.jinja` was not there then"),
        "{text}"
    );
}

#[test]
fn weights_in_other_files_count_where_there_are_no_safetensors() {
    let place = Place::new();
    let lm = place.path("lm");
    fs::remove_file(lm.join("model.safetensors")).unwrap();
    fs::write(lm.join("pytorch_model.bin"), "weights").unwrap();
    let bundle = place.write("bundle", &["toy"], None).unwrap();
    fs::write(lm.join("pytorch_model.bin"), "others").unwrap();
    let text = bundle
        .verify(&place.registry, &Cache::off())
        .unwrap_err()
        .to_string();
    assert!(text.contains("`pytorch_model.bin` differs"), "{text}");
}

#[test]
fn a_modality_that_this_program_lacks_is_named() {
    let place = Place::new();
    let bundle = place.write("bundle", &["rna"], None).unwrap();
    let text = bundle
        .verify(&Registry::new().with::<Toy<false>>(), &Cache::off())
        .unwrap_err()
        .to_string();
    assert!(text.contains("`rna`, which is not registered"), "{text}");
}

#[test]
fn a_damaged_bundle_says_which_file_and_what_about_it() {
    let place = Place::new();
    let bundle = place.write("bundle", &["toy"], None).unwrap();
    let space_error = |bundle: &Bundle| bundle.space(&Device::flex()).unwrap_err().to_string();
    let mut wide = bundle.clone();
    wide.manifest.modalities.get_mut("toy").unwrap().d_hidden = 7;
    let text = space_error(&wide);
    for part in [
        "projectors/toy.safetensors",
        "[3, 5]",
        "[3, 7]",
        "encoder 7 wide, LLM 3 wide",
    ] {
        assert!(text.contains(part), "{text}");
    }
    let file = place.path("bundle/projectors/toy.safetensors");
    let whole = fs::read(&file).unwrap();
    fs::write(&file, &whole[..whole.len() - 5]).unwrap();
    let text = space_error(&bundle);
    assert!(
        text.contains("toy.safetensors: is not a whole safetensors file"),
        "{text}"
    );
    fs::remove_file(&file).unwrap();
    assert!(space_error(&bundle).contains("toy.safetensors"));
}

#[test]
fn what_is_no_bundle_says_what_one_is() {
    let place = Place::new();
    let error = |path: &str| Bundle::open(&place.path(path)).unwrap_err().to_string();
    assert!(
        error("lm").contains("it has no `bundle.json`") && error("lm").contains("`bioverse align`")
    );
    assert!(error("nowhere").contains("does not exist"));
    let bundle = place.write("bundle", &["toy"], None).unwrap();
    let file = place.path("bundle/bundle.json");
    let text = fs::read_to_string(&file).unwrap();
    for (damaged, expected) in [
        (text[..text.len() / 2].to_owned(), "is not JSON"),
        (
            text.replace("\"format\": 1", "\"format\": 3"),
            "a newer bioverse",
        ),
        (text.replace("\"d_model\"", "\"width\""), "`d_model`"),
        (text.replace("\"toy\"", "\"../toy\""), "`../toy`"),
    ] {
        fs::write(&file, damaged).unwrap();
        let error = Bundle::open(&bundle.dir).unwrap_err();
        assert!(
            error.to_string().contains(expected),
            "{error}\nshould contain: {expected}"
        );
        assert_eq!(error.exit_code(), 2);
    }
}

#[test]
fn a_bundle_that_a_crash_hid_is_found_again() {
    let place = Place::new();
    let bundle = place.write("run/bundle", &["toy"], None).unwrap();
    fs::rename(&bundle.dir, place.path("run/.bundle.old-1-1")).unwrap();
    assert_eq!(Bundle::open(&place.path("run")).unwrap().dir, bundle.dir);
}
