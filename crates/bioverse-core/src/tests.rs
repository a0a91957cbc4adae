//! Names and types around one small modality: encoder, registry and space say who is to blame.
#![allow(clippy::unwrap_used, clippy::expect_used)]

use burn::prelude::*;
use serde::{Deserialize, Serialize};
use serde_json::json;

use crate::*;

/// Nucleotides one by one.
struct Dna {
    d_model: usize,
    device: Device,
}

#[derive(Debug, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
struct Config {
    d_model: usize,
    max_length: Option<usize>,
}

impl Default for Config {
    fn default() -> Self {
        Self {
            d_model: 6,
            max_length: None,
        }
    }
}

impl Modality for Dna {
    const NAME: &'static str = "dna";
    type Config = Config;
    type Input = String;
    type Tokens = Vec<u32>;

    fn load(config: &Config, device: &Device) -> Result<Self, BoxError> {
        match config.d_model {
            0 => Err("`d_model` is 0".into()),
            d_model => Ok(Self {
                d_model,
                device: device.clone(),
            }),
        }
    }

    fn tokenize(&self, input: &String) -> Result<Vec<u32>, BoxError> {
        let id = |base: char| match "ACGT".find(base) {
            Some(at) => Ok(1 + at as u32),
            None => Err(format!("`{base}` is not a nucleotide").into()),
        };
        input.chars().map(id).collect()
    }

    fn encode(&self, batch: &[Vec<u32>]) -> Result<Hidden, BoxError> {
        if batch.len() > 3 {
            return Err("out of memory".into());
        }
        let (ids, mask) = pad_ids(batch, 0, &self.device);
        let width = if batch.len() == 3 { 1 } else { self.d_model };
        Ok(Hidden {
            states: ids.float().unsqueeze_dim::<3>(2).repeat_dim(2, width),
            mask,
        })
    }

    fn d_hidden(&self) -> usize {
        self.d_model
    }

    fn weights(config: &Config) -> Vec<std::path::PathBuf> {
        vec![format!("dna-{}.safetensors", config.d_model).into()]
    }
}

fn table(text: &str) -> toml::Table {
    text.parse().unwrap()
}

fn registry() -> Registry {
    Registry::new().with::<Dna>()
}

fn encoder() -> Encoder {
    registry()
        .load("dna", &table("d_model = 2"), &Device::flex())
        .unwrap()
}

#[test]
fn an_encoder_gives_states_and_mask_in_order() {
    let encoder = encoder();
    assert_eq!((encoder.name(), encoder.d_hidden()), ("dna", 2));
    let hidden = encoder.encode(&[json!("GT"), json!("A")]).unwrap();
    let states: Vec<f32> = hidden.states.into_data().iter::<f32>().collect();
    assert_eq!(states, [3., 3., 4., 4., 1., 1., 0., 0.]);
    assert_eq!(
        hidden.mask.into_data().iter::<bool>().collect::<Vec<_>>(),
        [true, true, true, false]
    );
}

#[test]
fn pad_ids_is_at_least_one_wide() {
    let (ids, mask) = pad_ids(&[vec![], vec![]], 9, &Device::flex());
    assert_eq!(ids.into_data().iter::<u32>().collect::<Vec<_>>(), [9, 9]);
    assert_eq!(
        mask.into_data().iter::<bool>().collect::<Vec<_>>(),
        [false, false]
    );
}

#[test]
fn errors_of_an_encoder_name_modality_and_record() {
    let encoder = encoder();
    let refusal = |records: &[Record]| encoder.encode(records).unwrap_err().to_string();
    assert_eq!(
        refusal(&[json!("A"), json!("GXT")]),
        "modality `dna`: record 1 does not parse: `X` is not a nucleotide"
    );
    let wrong_type = refusal(&[json!("A"), json!("C"), json!({"sequence": "G"})]);
    assert!(
        wrong_type.starts_with("modality `dna`: record 2 does not parse: invalid type: map"),
        "{wrong_type}"
    );
    assert_eq!(
        refusal(&[]),
        "modality `dna`: there are no records to encode"
    );
    assert_eq!(
        refusal(&vec![json!("A"); 4]),
        "modality `dna`: out of memory"
    );
    let shapes = refusal(&vec![json!("A"); 3]);
    assert!(
        shapes.contains("states [3, 1, 1] and mask [3, 1] for 3 records of width 2"),
        "{shapes}"
    );
    encoder.check(&json!("ACGT")).unwrap();
    assert!(
        encoder
            .check(&json!(null))
            .unwrap_err()
            .to_string()
            .contains("record 0")
    );
}

#[test]
fn a_registry_answers_by_name() {
    let registry = registry();
    assert_eq!(
        (
            registry.names(),
            registry.contains("dna"),
            registry.contains("rna")
        ),
        (vec!["dna"], true, false)
    );
    assert_eq!(
        registry.resolve("dna", &table("")).unwrap(),
        table("d_model = 6")
    );
    assert_eq!(
        registry.resolve("dna", &table("max_length = 3")).unwrap(),
        table("d_model = 6\nmax_length = 3")
    );
    assert_eq!(
        registry.weights("dna", &table("d_model = 4")).unwrap(),
        [std::path::PathBuf::from("dna-4.safetensors")]
    );
    assert_eq!(
        registry.projector("dna").unwrap(),
        ProjectorConfig::default()
    );
}

#[test]
fn errors_of_a_registry_name_the_table_and_the_known_names() {
    let registry = registry();
    let unknown = "no modality is called `rna` (registered: dna)";
    assert_eq!(registry.projector("rna").unwrap_err().to_string(), unknown);
    assert_eq!(
        registry
            .load("rna", &table(""), &Device::flex())
            .unwrap_err()
            .to_string(),
        unknown
    );
    let typo = registry
        .resolve("dna", &table("d_modell = 3"))
        .unwrap_err()
        .to_string();
    assert!(
        typo.contains("`[modality.dna]`: unknown field `d_modell`"),
        "{typo}"
    );
    let load = registry
        .load("dna", &table("d_model = 0"), &Device::flex())
        .unwrap_err();
    assert_eq!(load.to_string(), "modality `dna`: `d_model` is 0");
}

#[test]
#[should_panic(expected = "modality `dna` is registered twice")]
fn a_name_is_registered_once() {
    registry().with::<Dna>();
}

#[test]
fn a_space_takes_projectors_of_its_width() {
    let device = Device::flex();
    let projector = |d_hidden, d_model| {
        ProjectorConfig {
            preset: Preset::Linear,
            ..Default::default()
        }
        .init(d_hidden, d_model, &device)
    };
    let mut space = LlmSpace::new("tiny", 8);
    space.register("rna", projector(3, 8)).unwrap();
    space.register("dna", projector(2, 8)).unwrap();
    assert_eq!((space.d_model(), space.names()), (8, vec!["dna", "rna"]));
    let hidden = || encoder().encode(&[json!("GT"), json!("A")]).unwrap();
    assert_eq!(
        space.project("dna", hidden()).unwrap().embeds.dims(),
        [2, 1, 8]
    );

    let refused = space.project("rna", hidden()).unwrap_err().to_string();
    assert!(
        refused.contains("reads hidden states 3 wide, but the encoder gives 2"),
        "{refused}"
    );
    let refused = space
        .register("dna", projector(2, 9))
        .unwrap_err()
        .to_string();
    assert!(
        refused.contains("is 9 wide, but space `tiny` is 8 wide"),
        "{refused}"
    );
    let refused = space.projector("protein").unwrap_err().to_string();
    assert!(
        refused.contains("(it has: dna, rna)") && refused.contains("`cargo xtask align`"),
        "{refused}"
    );
    let names: Vec<_> = space
        .into_projectors()
        .into_iter()
        .map(|(name, _)| name)
        .collect();
    assert_eq!(names, ["dna", "rna"]);
}

#[test]
fn everything_can_be_shared_between_threads() {
    fn shared<T: Send + Sync>() {}
    shared::<Encoder>();
    shared::<Registry>();
    shared::<LlmSpace>();
    shared::<Projector>();
    shared::<Error>();
}
