//! Weights of PyTorch, zipped and as older versions wrote them. No code in them is run.
#![no_main]

use libfuzzer_sys::fuzz_target;

fuzz_target!(init: bioverse_fuzz::begin(), |data: &[u8]| {
    bioverse_fuzz::weights(data, "model.pt");
});
