//! Chat templates, with a conversation laid out by them.
#![no_main]

use libfuzzer_sys::fuzz_target;

fuzz_target!(init: bioverse_fuzz::begin(), |data: &[u8]| {
    bioverse_fuzz::chat(data);
});
