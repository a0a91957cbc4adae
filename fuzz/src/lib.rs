//! What the fuzz targets share: bytes become a file, the file is read by the code that users run. It knows no format.

use std::path::Path;

use bioverse::convert::{Conversion, Replace};
use bioverse_formats::{Format, Options, embeddings, open};
use bioverse_nn::{
    Tokenizer, Weights,
    chat::{ChatMessage, ChatTemplate},
    weights::StoredDtype,
};

/// Most rows that are read of one input.
const ROWS: usize = 10_000;

/// Panics that are caught, because a library has them on damaged files, are no findings.
pub fn begin() {
    let report = std::panic::take_hook();
    std::panic::set_hook(Box::new(move |info| {
        if !bioverse_formats::guard::active() {
            report(info);
        }
    }));
}

/// Writes the input to a file of that name, and hands it over.
pub fn with_file(data: &[u8], name: &str, read: impl FnOnce(&Path)) {
    let Ok(dir) = tempfile::tempdir() else {
        return;
    };
    let path = dir.path().join(name);
    if std::fs::write(&path, data).is_ok() {
        read(&path);
    }
}

/// Reads the input as rows.
pub fn rows(data: &[u8], name: &str, format: Option<Format>) {
    with_file(data, name, |path| all(path, format));
}

fn all(path: &Path, format: Option<Format>) {
    let options = Options {
        format,
        ..Options::default()
    };
    if let Ok(rows) = open(path, &options) {
        rows.take(ROWS).for_each(drop);
    }
}

/// Reads the input as `matrix.mtx`.
pub fn matrix_folder(data: &[u8]) {
    with_file(data, "matrix.mtx", |path| {
        let Some(folder) = path.parent() else { return };
        let barcodes = std::fs::write(
            folder.join("barcodes.tsv"),
            "AAAC-1\nAAAG-1\nAAAT-1\nAACA-1\n",
        );
        let genes = "ENSG1\tONE\tGene Expression\nENSG2\tTWO\tGene Expression\nENSG3\tTHREE\tGene Expression\n";
        if barcodes.is_ok() && std::fs::write(folder.join("features.tsv"), genes).is_ok() {
            all(folder, Some(Format::TenxMtx));
        }
    });
}

/// Reads the input as a table of vectors.
pub fn vectors(data: &[u8], name: &str) {
    with_file(data, name, |path| {
        let _ = embeddings::read(path, &embeddings::Choice::default());
    });
}

/// Reads the input as weights, every tensor of them.
pub fn weights(data: &[u8], name: &str) {
    with_file(data, name, |path| {
        if let Ok(weights) = Weights::open_file(path) {
            for name in weights.names() {
                let _ = weights.shape(name);
                let _ = weights.data(name);
            }
        }
    });
}

/// Loads the input as a tokenizer, and takes a text apart.
pub fn tokenizer(data: &[u8], name: &str) {
    with_file(data, name, |path| {
        let folder = path.parent().map(Tokenizer::load);
        if let Some(Ok(tokenizer)) = folder {
            let _ = tokenizer.encode("ab MKT c1ccccc1 \u{1f9ec}");
        }
    });
}

/// Reads the input as the configuration of an adapter.
pub fn adapter(data: &[u8]) {
    with_file(data, "adapter_config.json", |path| {
        if let Some(folder) = path.parent() {
            let _ = bioverse_nn::LoraConfig::load(folder);
        }
    });
}

/// Lays a conversation out by the input.
pub fn chat(data: &[u8]) {
    let Ok(source) = std::str::from_utf8(data) else {
        return;
    };
    if let Ok(template) = ChatTemplate::new(source, Default::default()) {
        let messages = [
            ChatMessage::new("user", "Is it wet?"),
            ChatMessage::new("assistant", "Yes."),
        ];
        let _ = template.render(&messages, true);
        let _ = template.render_spans(&messages);
    }
}

/// A sound checkpoint of llama2.c, and a sound vocabulary.
const LLAMA2C: (&[u8], &[u8]) = (
    include_bytes!("../seeds/llama2c/tiny.bin"),
    include_bytes!("../seeds/llama2c_vocabulary/tokenizer.bin"),
);

/// Converts the input as a checkpoint of llama2.c.
pub fn llama2c(data: &[u8]) {
    convert(data, LLAMA2C.1);
}

/// Converts a sound checkpoint of llama2.c with the input as its vocabulary.
pub fn llama2c_vocabulary(data: &[u8]) {
    convert(LLAMA2C.0, data);
}

fn convert(checkpoint: &[u8], vocabulary: &[u8]) {
    with_file(checkpoint, "model.bin", |path| {
        let tokenizer = path.with_file_name("tok.bin");
        if std::fs::write(&tokenizer, vocabulary).is_err() {
            return;
        }
        let conversion = Conversion {
            input: path.into(),
            output: path.with_file_name("converted"),
            tokenizer: Some(tokenizer),
            dtype: Some(StoredDtype::F32),
        };
        if conversion.plan().is_ok() {
            let _ = conversion.run(Replace::Existing);
        }
    });
}
