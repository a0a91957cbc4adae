//! The plugin on tiny models with random weights: scGPT of the golden folder, and a Geneformer made here.
#![allow(clippy::unwrap_used, clippy::expect_used)]

use std::path::Path;

use bioverse_core::{Encoder, Record, Registry};
use bioverse_nn::weights::StoredDtype;
use bioverse_nn::{EncoderConfig, TransformerEncoder};
use serde_json::{Value, json};

use super::*;

fn scgpt() -> Config {
    let path = concat!(env!("CARGO_MANIFEST_DIR"), "/../../tests/golden/scgpt");
    Config {
        path: path.into(),
        ..Config::default()
    }
}

/// Ensembl id of gene `i`.
fn id(i: usize) -> String {
    format!("ENSG{i:011}")
}

/// A folder with a BERT of 8 positions and dictionaries of 12 genes; the second version has tokens around them.
fn geneformer(dir: &Path, second: bool) -> Config {
    let config = EncoderConfig {
        model_type: "bert".into(),
        hidden_size: 16,
        num_hidden_layers: 2,
        num_attention_heads: 2,
        intermediate_size: 24,
        vocab_size: 16,
        max_position_embeddings: 8,
        pad_token_id: 0,
        type_vocab_size: 2,
        ..EncoderConfig::default()
    };
    let encoder = TransformerEncoder::init(&config, &Device::flex());
    encoder.save(dir, StoredDtype::F32).unwrap();
    let mut tokens = json!({"<pad>": 0, "<mask>": 1});
    let mut medians = json!({});
    for i in 0..12 {
        tokens[id(i)] = json!(i + 4);
        medians[id(i)] = json!(1.0 + i as f64);
    }
    if second {
        (tokens["<cls>"], tokens["<eos>"]) = (json!(2), json!(3));
    }
    std::fs::write(dir.join("token_dictionary.json"), tokens.to_string()).unwrap();
    std::fs::write(dir.join("gene_median_dictionary.json"), medians.to_string()).unwrap();
    Config {
        path: dir.into(),
        ..Config::default()
    }
}

fn loaded(config: &Config) -> Cell {
    Cell::load(config, &Device::flex()).unwrap()
}

fn tokens(cell: &Cell, record: Value) -> Result<Tokens, String> {
    let record = CellRecord::deserialize(&record).map_err(|e| e.to_string())?;
    cell.tokenize(&record).map_err(|e| e.to_string())
}

fn record(genes: &[&str], values: &[f64]) -> Value {
    json!({"genes": genes, "values": values})
}

fn refused(config: Config) -> String {
    Cell::load(&config, &Device::flex())
        .err()
        .unwrap()
        .to_string()
}

#[test]
fn scgpt_conforms() {
    let records: [Record; 3] = [
        record(&["GENE1", "GENE2"], &[1.0, 3.0]),
        record(&["GENE3"], &[2.0]),
        record(
            &["GENE4", "GENE9", "GENE1", "UNKNOWN"],
            &[1.0, 0.5, 7.0, 1.0],
        ),
    ];
    bioverse_core::testing::check::<Cell>(&scgpt(), &records);
}

#[test]
fn geneformer_conforms() {
    let dir = tempfile::tempdir().unwrap();
    let [a, b, c] = [id(0), id(3), id(7)];
    let records: [Record; 3] = [
        record(&[&a, &b], &[1.0, 3.0]),
        record(&[&c], &[2.0]),
        record(&[&c, &b, &a, "UNKNOWN"], &[1.0, 5.0, 7.0, 1.0]),
    ];
    for second in [false, true] {
        bioverse_core::testing::check::<Cell>(&geneformer(dir.path(), second), &records);
    }
}

#[test]
fn the_folder_says_which_model_it_is_and_how_to_pool() {
    let dir = tempfile::tempdir().unwrap();
    assert_eq!(loaded(&scgpt()).pooling(), Pooling::First);
    assert_eq!(
        loaded(&geneformer(dir.path(), false)).pooling(),
        Pooling::Mean
    );
    assert_eq!(Cell::projector().pooling, Pooling::First);
    let names = |config: &Config| -> Vec<String> {
        let files = Cell::weights(config).into_iter();
        files
            .map(|file| file.file_name().unwrap().to_string_lossy().into_owned())
            .collect()
    };
    assert_eq!(
        names(&scgpt()),
        [
            "args.json",
            "config.json",
            "model.safetensors",
            "vocab.json"
        ]
    );
    let wanted = [
        "config.json",
        "gene_median_dictionary.json",
        "model.safetensors",
        "token_dictionary.json",
    ];
    assert_eq!(names(&geneformer(dir.path(), false)), wanted);
    assert!(Cell::weights(&Config::default()).is_empty());
}

/// 8 positions: the first version reads 8 genes, the second 6. The mask is true on genes.
#[test]
fn geneformer_reads_the_highest_ranks() {
    let dir = tempfile::tempdir().unwrap();
    let genes: Vec<String> = (0..12).map(id).collect();
    let all = json!({"genes": genes, "values": vec![12; 12]});
    let first = loaded(&geneformer(dir.path(), false));
    let row = tokens(&first, all.clone()).unwrap();
    assert_eq!(row.input_ids, (4..12).collect::<Vec<u32>>());
    let second = loaded(&geneformer(dir.path(), true));
    let row = tokens(&second, all).unwrap();
    assert_eq!(row.input_ids, [2, 4, 5, 6, 7, 8, 9, 3]);
    let short = tokens(&second, record(&[&id(5)], &[1.0])).unwrap();
    let mask = second.encode(&[row, short]).unwrap().mask;
    let mask: Vec<bool> = mask.to_data().iter::<bool>().collect();
    let wanted = "011111100100000";
    assert_eq!(
        mask.iter()
            .map(|real| if *real { '1' } else { '0' })
            .collect::<String>(),
        format!("{wanted}0")
    );
    // 6 / 6, 2.5 / 2, 1 / 1: the fraction has to be announced.
    let fractions = record(&[&id(5), &id(1), &id(0)], &[6.0, 2.5, 0.5]);
    let ambiguous = tokens(&second, fractions.clone()).unwrap_err();
    assert!(
        ambiguous.contains(&format!(
            "the value of `{}` is 2.5, which is no count",
            id(1)
        )),
        "{ambiguous}"
    );
    let counts = loaded(&Config {
        values: Values::Counts,
        ..geneformer(dir.path(), true)
    });
    assert_eq!(
        tokens(&counts, fractions.clone()).unwrap().input_ids,
        [2, 5, 9, 4, 3]
    );
    // e⁶ − 1 = 402 over 6 = 67, e^2.5 − 1 = 11.2 over 2 = 5.6, 0.65.
    let logs = loaded(&Config {
        values: Values::Log1p,
        ..geneformer(dir.path(), true)
    });
    assert_eq!(tokens(&logs, fractions).unwrap().input_ids, [2, 9, 5, 4, 3]);
    let huge = tokens(&logs, record(&[&id(5)], &[700.0])).unwrap_err();
    assert!(huge.contains("is no logarithm of a count"), "{huge}");
}

#[test]
fn counts_and_their_logarithms_have_the_same_tokens() {
    let cell = loaded(&scgpt());
    let genes = ["GENE1", "GENE2", "GENE3", "GENE4", "GENE5"];
    let counts = [3.0, 1.0, 1.0, 9.0, 2.0];
    let logs = counts.map(|count: f64| (count * 1e4 / 16.0).ln_1p());
    let wanted = tokens(&cell, record(&genes, &counts)).unwrap();
    assert_eq!(tokens(&cell, record(&genes, &logs)).unwrap(), wanted);
    let announced = loaded(&Config {
        values: Values::Log1p,
        ..scgpt()
    });
    assert_eq!(tokens(&announced, record(&genes, &logs)).unwrap(), wanted);
    let zeros = record(
        &["GENE9", "GENE1", "GENE2", "GENE3", "GENE4", "GENE5"],
        &[0.0, 3.0, 1.0, 1.0, 9.0, 2.0],
    );
    assert_eq!(tokens(&cell, zeros).unwrap(), wanted);
}

#[test]
fn values_of_one_gene_under_several_names_are_added_and_said() {
    let cell = loaded(&scgpt());
    assert_eq!(cell.summary(), None);
    let twice = tokens(
        &cell,
        record(&["GENE1", "GENE2", "gene1", "GENE3"], &[2.0, 4.0, 3.0, 1.0]),
    )
    .unwrap();
    let once = tokens(
        &cell,
        record(&["GENE1", "GENE2", "GENE3"], &[5.0, 4.0, 1.0]),
    )
    .unwrap();
    assert_eq!(twice, once);
    assert_eq!(
        cell.summary().unwrap(),
        "4 gene names: 3 in the vocabulary, 1 by case; values of a gene that a cell names twice are added (first: gene1)"
    );
    let logs = loaded(&Config {
        values: Values::Log1p,
        ..scgpt()
    });
    let sum = tokens(
        &logs,
        record(&["GENE1", "GENE1", "GENE2"], &[1.0, 1.0, 1.49]),
    )
    .unwrap();
    // ln(1 + 2 (e − 1)) = 1.4899.
    assert_eq!(sum.values, [-2.0, 1.0, 50.0]);
}

#[test]
fn cells_that_cannot_be_encoded_are_named_with_the_reason() {
    let table = toml::Table::try_from(scgpt()).unwrap();
    let registry = Registry::new().with::<Cell>();
    assert_eq!(registry.canonical("single-cell"), Some("cell"));
    let encoder = registry
        .load("single-cell", &table, &Device::flex())
        .unwrap();
    let good = record(&["GENE1"], &[1.0]);
    for (bad, wanted) in [
        (
            record(&["GENE1"], &[1.0, 2.0]),
            "1 gene but 2 values; every gene needs its value",
        ),
        (
            record(&["GENE1"], &[-1.0]),
            "the value of `GENE1` is -1; values below 0 come from scaling",
        ),
        (
            record(&[], &[]),
            "no gene has a value above 0; leave the cell out",
        ),
        (
            json!({"genes": ["GENE1"], "values": [null]}),
            "the value of `GENE1` is not a finite number",
        ),
        (
            record(&["ENSG00000000003", "ENSG00000000005"], &[1.0, 1.0]),
            "0 of 2 genes are in the model's vocabulary; the names look like Ensembl ids",
        ),
        (
            record(&["GENE1", "A1", "A2", "A3"], &[1.0, 1.0, 1.0, 1.0]),
            "1 of 4 genes are in the model's vocabulary, less than the share of 0.3",
        ),
    ] {
        let error = encoder
            .encode(&[good.clone(), bad])
            .unwrap_err()
            .to_string();
        assert!(
            error.starts_with("modality `cell`: record 1 does not parse: ")
                && error.contains(wanted),
            "{error}"
        );
    }
    assert!(
        encoder
            .summary()
            .unwrap()
            .ends_with("5 unknown (first: ENSG00000000003, ENSG00000000005, A1)")
    );
}

#[test]
fn aliases_lead_to_genes_of_the_model() {
    let dir = tempfile::tempdir().unwrap();
    let file = dir.path().join("ensembl.tsv");
    std::fs::write(&file, "ENSG00000000003\tGENE1\nENSG00000000005\tGENE2\n").unwrap();
    let mapped = loaded(&Config {
        gene_aliases: Some(file),
        ..scgpt()
    });
    let got = tokens(
        &mapped,
        record(&["ENSG00000000003.4", "ENSG00000000005"], &[1.0, 2.0]),
    )
    .unwrap();
    let wanted = tokens(&mapped, record(&["GENE1", "GENE2"], &[1.0, 2.0])).unwrap();
    assert_eq!(got, wanted);
}

#[test]
fn settings_of_scgpt_are_obeyed_and_checked() {
    let record = || record(&["GENE1", "GENE2", "GENE3"], &[1.0, 2.0, 3.0]);
    let with = |change: &dyn Fn(&mut Config)| {
        let mut config = scgpt();
        change(&mut config);
        config
    };
    let values = |config: Config| tokens(&loaded(&config), record()).unwrap().values;
    assert_eq!(values(scgpt()), [-2.0, 1.0, 25.0, 50.0]);
    assert_eq!(
        values(with(&|c| c.cls_value = ClsValue::Zero)),
        [0.0, 1.0, 25.0, 50.0]
    );
    assert_eq!(values(with(&|c| c.n_bins = Some(4))), [-2.0, 1.0, 2.0, 3.0]);
    assert_eq!(
        values(with(&|c| c.max_length = Some(3))),
        [-2.0, 25.0, 50.0]
    );
    for (config, wanted) in [
        (
            with(&|c| c.max_length = Some(1)),
            "`max_length` leaves no room",
        ),
        (with(&|c| c.n_bins = Some(1)), "`n_bins` is less than 2"),
        (with(&|c| c.min_gene_match = 1.5), "`min_gene_match` is 1.5"),
        (
            with(&|c| c.min_gene_match = f64::NAN),
            "`min_gene_match` is NaN",
        ),
        (
            with(&|c| c.path = "no/such/folder".into()),
            "no/such/folder: is not a folder",
        ),
        (Config::default(), "`path` is not set"),
        (
            with(&|c| c.gene_aliases = Some("no/such.tsv".into())),
            "no/such.tsv",
        ),
    ] {
        let refused = refused(config);
        assert!(refused.contains(wanted), "{refused}");
    }
}

#[test]
fn folders_that_hold_neither_model_are_refused() {
    let dir = tempfile::tempdir().unwrap();
    let config = Config {
        path: dir.path().into(),
        ..Config::default()
    };
    assert!(refused(config.clone()).contains("holds neither scGPT"));
    geneformer(dir.path(), true);
    std::fs::remove_file(dir.path().join("token_dictionary.json")).unwrap();
    assert!(
        refused(config).contains("Geneformer's repository keeps it in its folder `geneformer`")
    );
    let long = Config {
        max_length: Some(9),
        ..geneformer(dir.path(), true)
    };
    assert!(refused(long).contains("this model takes from 3 to 8 tokens"));
}

/// The layer before the last, by the encoder's own list of states.
#[test]
fn geneformer_gives_the_layer_that_is_asked_for() {
    let dir = tempfile::tempdir().unwrap();
    let config = geneformer(dir.path(), false);
    let states = |emb_layer: i32| {
        let cell = loaded(&Config {
            emb_layer,
            ..config.clone()
        });
        let row = tokens(&cell, record(&[&id(1), &id(2)], &[1.0, 5.0])).unwrap();
        assert_eq!(row.input_ids, [6, 5]);
        cell.encode(&[row])
            .unwrap()
            .states
            .into_data()
            .try_to_vec::<f32>()
            .unwrap()
    };
    let encoder = TransformerEncoder::load(dir.path(), &Device::flex()).unwrap();
    let (ids, mask) = bioverse_core::pad_ids(&[vec![6, 5]], 0, &Device::flex());
    let all = encoder.hidden_states(ids, mask);
    let layer = |i: usize| all[i].clone().into_data().try_to_vec::<f32>().unwrap();
    assert_eq!((states(0), states(-1)), (layer(2), layer(1)));
    assert!(
        refused(Config {
            emb_layer: 1,
            ..config
        })
        .contains("`emb_layer` is 1")
    );
}

#[test]
fn hidden_states_of_scgpt_are_joined_side_by_side() {
    let states = |hidden_layers| {
        let cell = loaded(&Config {
            hidden_layers,
            ..scgpt()
        });
        let row = tokens(&cell, record(&["GENE1", "GENE2"], &[1.0, 2.0])).unwrap();
        let states = cell.encode(&[row]).unwrap().states;
        assert_eq!(states.dims()[2], cell.d_hidden());
        states
    };
    let (last, two) = (states(None), states(Some(2)));
    let d = last.dims()[2];
    assert_eq!(two.dims()[2], 2 * d);
    let (lower, upper) = (two.clone().narrow(2, 0, d), two.narrow(2, d, d));
    assert_eq!(upper.into_data(), last.clone().into_data());
    assert_ne!(lower.into_data(), last.into_data());
    let wrong = Config {
        hidden_layers: Some(99),
        ..scgpt()
    };
    assert!(refused(wrong).contains("hidden states to join"));
}

/// A batch of one cell and of a row of padding alone stays finite, through the erased encoder too.
#[test]
fn an_empty_row_has_finite_states() {
    let cell = loaded(&scgpt());
    let row = tokens(&cell, record(&["GENE1", "GENE2"], &[1.0, 2.0])).unwrap();
    let hidden = cell.encode(&[row, Tokens::default()]).unwrap();
    assert!(hidden.states.to_data().iter::<f32>().all(f32::is_finite));
    let dir = tempfile::tempdir().unwrap();
    let cell = loaded(&geneformer(dir.path(), false));
    let row = tokens(&cell, record(&[&id(1)], &[1.0])).unwrap();
    let hidden = cell.encode(&[row, Tokens::default()]).unwrap();
    assert!(hidden.states.to_data().iter::<f32>().all(f32::is_finite));
    assert_eq!(Encoder::new(cell).d_hidden(), 16);
}

#[test]
fn a_cell_is_made_of_the_genes_that_it_expresses() {
    let of = |cell: Value| {
        let record = serde_json::from_value(cell).unwrap();
        Cell::fingerprint(&record)
            .unwrap()
            .map(bioverse_core::fingerprint::set)
    };
    let a = of(json!({"genes": ["A", "B", "C"], "values": [1, 2, 0]})).unwrap();
    assert_eq!(
        a,
        of(json!({"genes": ["B", "A"], "values": [7, 1]})).unwrap()
    );
    assert_eq!(a.len(), 2);
    assert!(of(json!({"genes": ["A"], "values": [-1]})).is_err());
}
