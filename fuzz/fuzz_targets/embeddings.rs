//! Vectors in safetensors.
#![no_main]

use libfuzzer_sys::fuzz_target;

fuzz_target!(init: bioverse_fuzz::begin(), |data: &[u8]| {
    bioverse_fuzz::vectors(data, "x.safetensors");
});
