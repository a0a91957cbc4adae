//! Small data sets in which it is known what decides the answer, with the real program on them. Records are rows of a table
//! of vectors, so that a toy projector can tell them apart in seconds. What a run should come to is for the tests to know.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use safetensors::tensor::{Dtype, TensorView};
use serde_json::{Value, json};
use tempfile::TempDir;

use crate::{Ended, run};

/// The classes that records fall into, as answers call them.
pub const CLASSES: [&str; 4] = ["red", "blue", "green", "white"];
/// The questions that are asked.
pub const QUESTIONS: [&str; 4] = [
    "What is <glycan>?",
    "Name <glycan>.",
    "Tell me about <glycan>.",
    "<glycan> Which?",
];
/// Records; number `n` is of class `n % 4`.
pub const RECORDS: usize = 64;
/// Width of a vector.
const WIDTH: usize = 16;

/// A folder with vectors, a stage-1 bundle made from them, and what comes after.
pub struct Planted {
    pub dir: TempDir,
}

impl Planted {
    /// Vectors of a class lie around a point of their own; with `spread` 0 all classes share one and all vectors are equal.
    /// Stage 1 aligns them with the names of their classes.
    pub fn new(spread: f32) -> Self {
        let planted = Self {
            dir: tempfile::tempdir().expect("a folder"),
        };
        planted.write_vectors(spread);
        let pairs: Vec<Value> = (0..RECORDS)
            .map(|n| json!({"id": n, "text": format!("the {} thing {}", CLASSES[n % 4], n % 8)}))
            .collect();
        planted.write_rows("pairs.jsonl", &pairs);
        let data = [("input_field", "\"id\""), ("text_field", "\"text\"")];
        planted
            .run(
                "align",
                "pairs.jsonl",
                &data,
                &[("batch_size", "16"), ("steps", "30"), ("warmup_steps", "4")],
            )
            .ok();
        planted
    }

    /// A file in the folder.
    pub fn path(&self, name: &str) -> PathBuf {
        self.dir.path().join(name)
    }

    /// Where a stage leaves its results.
    pub fn run_dir(&self, verb: &str) -> PathBuf {
        self.path(&format!("run-{verb}"))
    }

    /// Writes rows as JSONL and gives the path.
    pub fn write_rows(&self, name: &str, rows: &[Value]) -> PathBuf {
        let text: String = rows.iter().map(|row| format!("{row}\n")).collect();
        std::fs::write(self.path(name), text).expect("rows");
        self.path(name)
    }

    /// Runs a stage on a file of this folder with values of `[data]` and of its own section.
    pub fn run(
        &self,
        verb: &str,
        rows: &str,
        data: &[(&str, &str)],
        stage: &[(&str, &str)],
    ) -> Ended {
        let config = self.path(&format!("{verb}.toml"));
        let root = crate::root();
        let table = |name: &str, keys: &[(&str, &str)]| {
            let lines: String = keys
                .iter()
                .map(|(key, value)| format!("{key} = {value}\n"))
                .collect();
            format!("[{name}]\n{lines}")
        };
        let quoted = |path: &Path| format!("{:?}", path.display().to_string());
        let text = [
            table(
                "run",
                &[
                    ("dir", &quoted(&self.run_dir(verb))),
                    ("seed", "7"),
                    ("checkpoint_every", "0"),
                ],
            ),
            table(
                "llm",
                &[("path", &quoted(&root.join("tests/golden/llama")))],
            ),
            table(
                "modality.glycan",
                &[("embeddings", &quoted(&self.path("vectors.safetensors")))],
            ),
            table(
                "projector",
                &[
                    ("hidden_sizes", "[64, 64]"),
                    ("num_soft_tokens", "1"),
                    ("dropout", "0.0"),
                ],
            ),
            table(
                "data",
                &[&[("train", quoted(&self.path(rows)).as_str())], data].concat(),
            ),
            table(verb, stage),
        ];
        std::fs::write(&config, text.concat()).expect("a configuration");
        run([verb, "--config", &config.display().to_string()])
    }

    /// Stage 2 on `rows`, rows being held out where they say `test`, with further values of its section.
    pub fn finetune(&self, rows: &[Value], more: &[(&str, &str)]) -> Ended {
        self.write_rows("rows.jsonl", rows);
        let from = format!("{:?}", self.run_dir("align").display().to_string());
        let mut keys = BTreeMap::from([
            ("from", from.as_str()),
            ("lr", "1e-2"),
            ("batch_size", "8"),
            ("steps", "60"),
            ("warmup_steps", "2"),
            ("max_length", "256"),
        ]);
        keys.extend(more.iter().copied());
        let stage: Vec<(&str, &str)> = keys.into_iter().collect();
        let split = rows.iter().any(|row| row.get("split").is_some());
        let data: &[(&str, &str)] = if split {
            &[("split_field", "\"split\"")]
        } else {
            &[]
        };
        self.run("finetune", "rows.jsonl", data, &stage)
    }

    /// `audit.json` of stage 2.
    pub fn audit(&self) -> Value {
        let file = self.run_dir("finetune").join("audit.json");
        let text = std::fs::read_to_string(&file).expect("audit.json");
        serde_json::from_str(&text).expect("JSON")
    }

    fn write_vectors(&self, spread: f32) {
        let mut random = Noise(1);
        let centres: Vec<f32> = (0..4 * WIDTH).map(|_| random.next() * spread).collect();
        let values: Vec<f32> = (0..RECORDS * WIDTH)
            .map(|i| {
                let (record, column) = (i / WIDTH, i % WIDTH);
                0.5 + centres[(record % 4) * WIDTH + column] + 0.2 * spread * random.next()
            })
            .collect();
        let bytes: Vec<u8> = values
            .iter()
            .flat_map(|value| value.to_le_bytes())
            .collect();
        let view = TensorView::new(Dtype::F32, vec![RECORDS, WIDTH], &bytes).expect("a tensor");
        safetensors::serialize_to_file(
            [("embeddings", view)],
            None,
            &self.path("vectors.safetensors"),
        )
        .expect("vectors");
    }
}

/// One row: record `n` with question `q`, and what is answered. Records 12 to 15, 28 to 31, … are held out.
pub fn row(n: usize, q: usize, answer: &str) -> Value {
    json!({
        "messages": [
            {"role": "user", "content": QUESTIONS[q % 4]},
            {"role": "assistant", "content": answer},
        ],
        "records": [["glycan", n % RECORDS]],
        "split": if (n % RECORDS / 4) % 4 == 3 { "test" } else { "train" },
    })
}

/// `count` rows; `answer` is given the class of the record and the number of the question.
pub fn rows(count: usize, answer: impl Fn(usize, usize) -> String) -> Vec<Value> {
    let mut random = Noise(2);
    (0..count)
        .map(|n| {
            let q = ((random.next() + 2.0) * 1000.0) as usize % 4;
            row(n, q, &answer(n % 4, q))
        })
        .collect()
}

/// Numbers between -1.7 and 1.7 without pattern (a linear congruential generator), the same everywhere.
struct Noise(u64);

impl Noise {
    fn next(&mut self) -> f32 {
        self.0 = self
            .0
            .wrapping_mul(6_364_136_223_846_793_005)
            .wrapping_add(1_442_695_040_888_963_407);
        ((self.0 >> 40) as f32 / (1u64 << 23) as f32 - 1.0) * 1.7
    }
}
