//! Prints the rows of a file as JSON, one a line; a bad row as `{"error": …}`. `cargo run --example rows -- FILE`

use std::io::{BufWriter, Write};

use bioverse_formats::{Options, open};
use serde_json::{Value, json};

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let file = std::env::args().nth(1).ok_or("give a file")?;
    let mut out = BufWriter::new(std::io::stdout().lock());
    for row in open(file.as_ref(), &Options::default())? {
        let value = match row {
            Ok(row) => Value::Object(row.object),
            Err(error) => json!({"error": error.to_string()}),
        };
        writeln!(out, "{value}")?;
    }
    Ok(())
}
