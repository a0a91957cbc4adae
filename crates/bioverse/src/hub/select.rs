//! Which files of a repository make a model that can be loaded here: configuration, tokenizer, and one copy of the weights.
//! What is in them is not known here.

use super::api::RemoteFile;

/// Where a PEFT adapter lies.
const ADAPTER_CONFIG: &str = "adapter_config.json";

/// Text files of tokenizers, beside JSON.
const TOKENIZERS: [&str; 2] = ["vocab.txt", "merges.txt"];

/// JSON that is about something else than the model that is loaded.
const OTHER_JSON: [&str; 6] = [
    "trainer_state.json",
    "all_results.json",
    "train_results.json",
    "eval_results.json",
    "model_index.json",
    "quantize_config.json",
];

/// Weights, best first: the first set of which a repository has a file is taken, the others hold the same numbers again.
const MODEL_WEIGHTS: [(&str, &str); 6] = [
    ("model", ".safetensors"),
    ("model-", ".safetensors"),
    ("pytorch_model", ".bin"),
    ("pytorch_model-", ".bin"),
    ("best_model", ".pt"),
    ("model", ".pt"),
];

/// The same for adapters.
const ADAPTER_WEIGHTS: [(&str, &str); 2] =
    [("adapter_model", ".safetensors"), ("adapter_model", ".bin")];

/// How the names of pickles begin that training left and that hold no weights.
const TRAINING: [&str; 4] = ["optimizer", "scheduler", "rng_state", "training_args"];

/// The files to fetch, or none if the repository has no weights that can be read.
pub(super) fn select(files: &[RemoteFile]) -> Option<Vec<RemoteFile>> {
    let weights = weights(files);
    if weights.is_empty() {
        return None;
    }
    let described = files.iter().filter(|file| describes(&file.path));
    Some(described.chain(weights).cloned().collect())
}

/// Endings of weights that a repository has and that cannot be read here, for the error.
pub(super) fn foreign(files: &[RemoteFile]) -> Vec<&str> {
    const ENDINGS: [&str; 8] = [
        "gguf", "onnx", "h5", "msgpack", "ckpt", "pt", "pth", "tflite",
    ];
    let ending = |file: &RemoteFile| {
        file.path
            .rsplit_once('.')
            .map(|(_, ending)| ending.to_owned())
    };
    let found: Vec<String> = files.iter().filter_map(ending).collect();
    let has = |ending: &&str| found.iter().any(|other| other == ending);
    ENDINGS.into_iter().filter(has).collect()
}

/// Configuration and tokenizer: JSON and templates beside the weights, and the modules of a sentence encoder.
fn describes(path: &str) -> bool {
    match path.split_once('/') {
        None => {
            let json = path.ends_with(".json")
                && !path.ends_with(".index.json")
                && !OTHER_JSON.contains(&path);
            json || TOKENIZERS.contains(&path)
                || path.ends_with(".jinja")
                || path.ends_with(".model")
        }
        // `1_Pooling/config.json`, named by `modules.json`.
        Some((folder, file)) => {
            let number = folder.split('_').next().unwrap_or_default();
            !number.is_empty()
                && number.bytes().all(|b| b.is_ascii_digit())
                && file == "config.json"
        }
    }
}

/// One copy of the weights, with its index.
fn weights(files: &[RemoteFile]) -> Vec<&RemoteFile> {
    let top = || files.iter().filter(|file| !file.path.contains('/'));
    let has = |name: &str| top().any(|file| file.path == name);
    let sets: &[(&str, &str)] = match has(ADAPTER_CONFIG) && !has("config.json") {
        true => &ADAPTER_WEIGHTS,
        false => &MODEL_WEIGHTS,
    };
    for (stem, ending) in sets {
        let found: Vec<&RemoteFile> = top()
            .filter(|file| is_of(&file.path, stem, ending))
            .collect();
        if !found.is_empty() {
            let index = format!("{}{ending}.index.json", stem.trim_end_matches('-'));
            let index = stem
                .ends_with('-')
                .then(|| top().find(|file| file.path == index));
            return found.into_iter().chain(index.flatten()).collect();
        }
    }
    // A lone checkpoint of another name is the weights too; of several, none can be told to be.
    let checkpoint = |file: &&RemoteFile| {
        let name = file.path.as_str();
        let ends = name.ends_with(".pt") || name.ends_with(".pth");
        ends && !TRAINING.iter().any(|start| name.starts_with(start))
    };
    let mut checkpoints = top().filter(checkpoint);
    match (checkpoints.next(), checkpoints.next()) {
        (Some(only), None) => vec![only],
        _ => vec![],
    }
}

/// `stem` + `ending`, or for a stem that ends in a dash a shard, `stem00001-of-00002` + `ending`.
fn is_of(path: &str, stem: &str, ending: &str) -> bool {
    let middle = path
        .strip_prefix(stem)
        .and_then(|rest| rest.strip_suffix(ending));
    let number = |text: &str| !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit());
    match middle.map(|middle| middle.split_once("-of-")) {
        Some(Some((n, of))) => stem.ends_with('-') && number(n) && number(of),
        Some(None) => !stem.ends_with('-') && middle == Some(""),
        None => false,
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, clippy::expect_used)]
    use super::*;

    fn chosen(names: &[&str]) -> Option<Vec<String>> {
        let files: Vec<RemoteFile> = names.iter().map(|name| RemoteFile::named(name)).collect();
        let mut names: Vec<String> = select(&files)?.into_iter().map(|file| file.path).collect();
        names.sort();
        Some(names)
    }

    #[test]
    fn one_copy_of_the_weights_and_all_that_describes_them() {
        let esm = chosen(&[
            ".gitattributes",
            "README.md",
            "config.json",
            "model.safetensors",
            "pytorch_model.bin",
            "tf_model.h5",
            "special_tokens_map.json",
            "tokenizer_config.json",
            "vocab.txt",
            "onnx/model.onnx",
            "flax_model.msgpack",
        ]);
        let expected = [
            "config.json",
            "model.safetensors",
            "special_tokens_map.json",
            "tokenizer_config.json",
            "vocab.txt",
        ];
        assert_eq!(esm.unwrap(), expected);
    }

    #[test]
    fn shards_come_with_their_index_and_without_a_consolidated_copy() {
        let files = [
            "config.json",
            "consolidated.safetensors",
            "model-00001-of-00002.safetensors",
            "model-00002-of-00002.safetensors",
            "model.safetensors.index.json",
            "params.json",
            "tokenizer.model",
            "pytorch_model-00001-of-00001.bin",
            "pytorch_model.bin.index.json",
        ];
        let expected = [
            "config.json",
            "model-00001-of-00002.safetensors",
            "model-00002-of-00002.safetensors",
            "model.safetensors.index.json",
            "params.json",
            "tokenizer.model",
        ];
        assert_eq!(chosen(&files).unwrap(), expected);
    }

    #[test]
    fn pickles_only_where_there_is_nothing_else() {
        let files = [
            "config.json",
            "pytorch_model.bin",
            "training_args.bin",
            "model.fp16.safetensors.txt",
        ];
        assert_eq!(
            chosen(&files).unwrap(),
            ["config.json", "pytorch_model.bin"]
        );
        let shards = [
            "config.json",
            "pytorch_model-00001-of-00002.bin",
            "pytorch_model.bin.index.json",
        ];
        assert_eq!(chosen(&shards).unwrap(), shards);
        let cells = ["args.json", "best_model.pt", "vocab.json", "run.log"];
        assert_eq!(
            chosen(&cells).unwrap(),
            ["args.json", "best_model.pt", "vocab.json"]
        );
    }

    #[test]
    fn sentence_encoders_and_adapters_are_whole() {
        let sentences = [
            "1_Pooling/config.json",
            "config.json",
            "model.safetensors",
            "modules.json",
            "tokenizer.json",
        ];
        assert_eq!(chosen(&sentences).unwrap(), sentences);
        let adapter = [
            "adapter_config.json",
            "adapter_model.safetensors",
            "adapter_model.bin",
            "optimizer.pt",
        ];
        assert_eq!(chosen(&adapter).unwrap(), adapter[..2]);
        let model = [
            "adapter_config.json",
            "adapter_model.safetensors",
            "config.json",
            "model.safetensors",
        ];
        assert!(
            !chosen(&model)
                .unwrap()
                .contains(&"adapter_model.safetensors".to_string())
        );
    }

    #[test]
    fn a_repository_without_readable_weights_is_told_from_one_with() {
        assert_eq!(chosen(&["README.md", "llama-Q4.gguf", "config.json"]), None);
        let files = ["a.gguf", "model.onnx", "x.txt"].map(RemoteFile::named);
        assert_eq!(foreign(&files), ["gguf", "onnx"]);
        assert_eq!(chosen(&["a.pt", "b.pt"]), None);
        assert_eq!(
            chosen(&["a.pt", "args.json"]).unwrap(),
            ["a.pt", "args.json"]
        );
        assert_eq!(
            chosen(&["a.pth", "optimizer.pt", "args.json"]).unwrap(),
            ["a.pth", "args.json"]
        );
        assert_eq!(chosen(&["other.safetensors", "config.json"]), None);
        assert_eq!(chosen(&["deep/model.safetensors"]), None);
    }
}
