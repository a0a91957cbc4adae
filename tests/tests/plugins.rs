//! Every built-in modality from its record to one vector, against what the reference libraries make of the same string: the
//! registry, cleaning, tokenizer, encoder and mask together. The golden suite compares the parts.

use bioverse_core::{Pooling, Record};
use bioverse_nn::Weights;
use burn::prelude::*;

/// A modality on a golden folder.
struct Case {
    modality: &'static str,
    folder: &'static str,
    /// Where golden.json keeps the records.
    records: &'static str,
    /// How many of them, from the first, the plugin hands on as they stand: the last one for DNA is RNA, and becomes DNA.
    usable: usize,
    config: &'static str,
}

const CASES: [Case; 4] = [
    Case {
        modality: "protein",
        folder: "esm2",
        records: "sequences",
        usable: 4,
        config: "",
    },
    Case {
        modality: "molecule",
        folder: "chemberta",
        records: "smiles",
        usable: 4,
        // The reference was given the strings as they are.
        config: "canonicalize = false",
    },
    Case {
        modality: "text",
        folder: "bert",
        records: "texts",
        usable: 4,
        config: "",
    },
    Case {
        modality: "dna",
        folder: "modernbert",
        records: "texts",
        usable: 2,
        config: "",
    },
];

#[test]
fn pooled_states_equal_the_references() {
    let registry = bioverse::registry::standard();
    for case in CASES {
        let folder = bioverse_tests::root()
            .join("tests/golden")
            .join(case.folder);
        let mut table: toml::Table = toml::from_str(case.config).unwrap();
        table.insert("path".into(), folder.display().to_string().into());
        let device = Device::flex();
        let encoder = registry.load(case.modality, &table, &device).unwrap();
        assert_eq!(encoder.pooling(), Pooling::Mean, "{}", case.modality);

        let json = std::fs::read_to_string(folder.join("golden.json")).unwrap();
        let json: serde_json::Value = serde_json::from_str(&json).unwrap();
        let records = json[case.records].as_array().unwrap();
        let records: Vec<Record> = records[..case.usable].to_vec();
        let hidden = encoder.encode(&records).unwrap();
        let first: Tensor<2> = hidden.states.clone().narrow(1, 0, 1).squeeze_dim(1);
        let weights: Tensor<3> = hidden.mask.float().unsqueeze_dim(2);
        let sum: Tensor<2> = (hidden.states * weights.clone()).sum_dim(1).squeeze_dim(1);
        let mean = sum / weights.sum_dim(1).squeeze_dim(1);

        let golden = Weights::open_file(&folder.join("golden.safetensors")).unwrap();
        for (name, got) in [("mean_pooled", mean), ("cls_embedding", first)] {
            let want: Vec<f32> = golden.data(name).unwrap().iter::<f32>().collect();
            let got: Vec<f32> = got.into_data().iter::<f32>().collect();
            assert_eq!(got.len(), case.usable * encoder.d_hidden());
            for (i, (got, want)) in got.iter().zip(&want).enumerate() {
                assert!(
                    (got - want).abs() <= 1e-4 + 1e-3 * want.abs(),
                    "{} {name}[{i}]: {got}, want {want}",
                    case.modality
                );
            }
        }
    }
}
