//! CSV, TSV, JSONL and Parquet, told apart by their content.
#![no_main]

use libfuzzer_sys::fuzz_target;

fuzz_target!(init: bioverse_fuzz::begin(), |data: &[u8]| {
    bioverse_fuzz::rows(data, "x", None);
});
