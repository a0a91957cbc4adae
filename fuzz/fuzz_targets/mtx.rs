//! The matrix of a 10x folder, with sound barcodes and genes beside it.
#![no_main]

use libfuzzer_sys::fuzz_target;

fuzz_target!(init: bioverse_fuzz::begin(), |data: &[u8]| {
    bioverse_fuzz::matrix_folder(data);
});
