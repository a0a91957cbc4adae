//! Folders with the files that sentence-transformers has written over the years.
#![allow(clippy::unwrap_used, clippy::expect_used)]

use super::*;

/// The newest writer names modules by where they live now.
const MODULES_NOW: &str = r#"[
    {"idx": 0, "name": "0", "path": "", "type": "sentence_transformers.base.modules.transformer.Transformer"},
    {"idx": 1, "name": "1", "path": "1_Pooling", "type": "sentence_transformers.sentence_transformer.modules.pooling.Pooling"},
    {"idx": 2, "name": "2", "path": "2_Normalize", "type": "sentence_transformers.base.modules.normalize.Normalize"}
]"#;
const TRANSFORMER: &str = r#"{"path": "", "type": "sentence_transformers.models.Transformer"}"#;

fn folder(files: &[(&str, &str)]) -> tempfile::TempDir {
    let dir = tempfile::tempdir().unwrap();
    for (name, text) in files {
        let path = dir.path().join(name);
        std::fs::create_dir_all(path.parent().unwrap()).unwrap();
        std::fs::write(path, text).unwrap();
    }
    dir
}

fn read(files: &[(&str, &str)]) -> Result<Sentence, SentenceError> {
    Sentence::read(folder(files).path(), None)
}

fn pool_of(config: &str) -> Result<Pool, String> {
    let read = read(&[("1_Pooling/config.json", config)]);
    read.map(|sentence| sentence.pool)
        .map_err(|e| e.to_string())
}

#[test]
fn a_plain_model_is_pooled_by_its_mean_over_all_positions() {
    let sentence = read(&[]).unwrap();
    assert_eq!((sentence.pool, sentence.normalized), (Pool::Mean, false));
    assert_eq!(sentence.max_seq_length, None);
    assert_eq!(sentence.prepared(" A text "), " A text ");
}

#[test]
fn pooling_is_read_in_the_old_and_the_new_form() {
    for (config, wanted) in [
        (
            r#"{"pooling_mode_mean_tokens": true, "pooling_mode_cls_token": false}"#,
            Pool::Mean,
        ),
        (
            r#"{"pooling_mode_mean_tokens": false, "pooling_mode_cls_token": true}"#,
            Pool::Cls,
        ),
        (r#"{"word_embedding_dimension": 384}"#, Pool::Mean),
        (r#"{"pooling_mode": "cls"}"#, Pool::Cls),
        (
            r#"{"pooling_mode": ["mean"], "include_prompt": true}"#,
            Pool::Mean,
        ),
        // The new key has the last word, as it has in the library.
        (
            r#"{"pooling_mode": "cls", "pooling_mode_mean_tokens": true}"#,
            Pool::Cls,
        ),
    ] {
        assert_eq!(pool_of(config), Ok(wanted), "{config}");
    }
}

#[test]
fn other_ways_of_pooling_are_refused_by_name() {
    for (config, named) in [
        (r#"{"pooling_mode_max_tokens": true}"#, "`max`"),
        (
            r#"{"pooling_mode_mean_sqrt_len_tokens": true}"#,
            "`mean_sqrt_len_tokens`",
        ),
        (
            r#"{"pooling_mode_weightedmean_tokens": true}"#,
            "`weightedmean`",
        ),
        (r#"{"pooling_mode_lasttoken": true}"#, "`lasttoken`"),
        (
            r#"{"pooling_mode_cls_token": true, "pooling_mode_mean_tokens": true}"#,
            "`cls` and `mean`",
        ),
        (r#"{"pooling_mode": "median"}"#, "`median`"),
        ("[]", "not a JSON object"),
        ("{", "not JSON"),
    ] {
        let refused = pool_of(config).unwrap_err();
        let file = Path::new("1_Pooling").join("config.json");
        assert!(
            refused.contains(named) && refused.contains(file.to_str().unwrap()),
            "{refused}"
        );
    }
}

#[test]
fn modules_say_where_pooling_is_and_that_vectors_are_normalised() {
    let cls = r#"{"pooling_mode": "cls"}"#;
    let sentence = read(&[
        ("modules.json", MODULES_NOW),
        ("1_Pooling/config.json", cls),
    ])
    .unwrap();
    assert_eq!((sentence.pool, sentence.normalized), (Pool::Cls, true));
    let dir = folder(&[("modules.json", MODULES_NOW)]);
    let chosen = Sentence::read(dir.path(), Some(Pool::Cls)).unwrap();
    assert!(
        !chosen.normalized,
        "who pools in another way gets it as it is"
    );
    let elsewhere = format!(
        r#"[{TRANSFORMER}, {{"path": "pool", "type": "sentence_transformers.models.Pooling"}}]"#
    );
    let files = [
        ("modules.json", elsewhere.as_str()),
        ("pool/config.json", cls),
    ];
    let sentence = read(&files).unwrap();
    assert_eq!((sentence.pool, sentence.normalized), (Pool::Cls, false));
    let dir = folder(&files);
    assert_eq!(
        super::files(dir.path()),
        [
            dir.path().join("modules.json"),
            dir.path().join("pool/config.json")
        ]
    );
}

#[test]
fn old_folders_keep_the_transformer_in_one_of_its_own() {
    let modules =
        r#"[{"path": "0_Transformer", "type": "sentence_transformers.models.Transformer"}]"#;
    let dir = folder(&[
        ("modules.json", modules),
        (
            "0_Transformer/sentence_roberta_config.json",
            r#"{"max_seq_length": 128}"#,
        ),
    ]);
    let sentence = Sentence::read(dir.path(), None).unwrap();
    assert_eq!(sentence.model, dir.path().join("0_Transformer"));
    assert_eq!(sentence.max_seq_length, Some(128));
    assert_eq!(super::files(dir.path()).len(), 2);
}

#[test]
fn a_layer_after_pooling_is_refused_unless_pooling_is_chosen() {
    let modules = format!(
        r#"[{TRANSFORMER}, {{"path": "2_Dense", "type": "sentence_transformers.models.Dense"}}]"#
    );
    let dir = folder(&[("modules.json", &modules)]);
    let refused = Sentence::read(dir.path(), None).unwrap_err().to_string();
    assert!(
        refused.contains("modules.json") && refused.contains("`Dense`"),
        "{refused}"
    );
    let chosen = Sentence::read(dir.path(), Some(Pool::Cls)).unwrap();
    assert_eq!(chosen.pool, Pool::Cls);
}

#[test]
fn lengths_case_and_prompts_are_honoured() {
    let sentence = read(&[
        (
            "sentence_bert_config.json",
            r#"{"max_seq_length": 256, "do_lower_case": true}"#,
        ),
        (
            "config_sentence_transformers.json",
            r#"{"prompts": {"query": "query: "}, "default_prompt_name": "query"}"#,
        ),
    ])
    .unwrap();
    assert_eq!(sentence.max_seq_length, Some(256));
    assert_eq!(sentence.prepared("P53"), "query: p53");
    let quiet = [
        ("sentence_bert_config.json", r#"{"max_seq_length": null}"#),
        (
            "config_sentence_transformers.json",
            r#"{"prompts": {"query": "query: "}, "default_prompt_name": null}"#,
        ),
    ];
    let sentence = read(&quiet).unwrap();
    assert_eq!(sentence.max_seq_length, None);
    assert_eq!(sentence.prepared("P53"), "P53");
}

#[test]
fn broken_files_and_paths_that_lead_elsewhere_are_refused() {
    for (file, text, wanted) in [
        ("modules.json", "{}", "no list of modules"),
        (
            "modules.json",
            r#"[{"path": "../x", "type": "a.Pooling"}]"#,
            "leads out of the folder",
        ),
        (
            "modules.json",
            r#"[{"path": "/etc", "type": "a.Pooling"}]"#,
            "leads out of the folder",
        ),
        ("sentence_bert_config.json", "[1]", "not a JSON object"),
        (
            "config_sentence_transformers.json",
            r#"{"default_prompt_name": "query"}"#,
            "default prompt `query`",
        ),
    ] {
        let refused = read(&[(file, text)]).unwrap_err().to_string();
        assert!(
            refused.contains(file) && refused.contains(wanted),
            "{refused}"
        );
    }
}
