//! Vocabularies of llama2.c.
#![no_main]

use libfuzzer_sys::fuzz_target;

fuzz_target!(init: bioverse_fuzz::begin(), |data: &[u8]| {
    bioverse_fuzz::llama2c_vocabulary(data);
});
