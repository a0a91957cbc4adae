//! SD files.
#![no_main]

use bioverse_formats::Format;
use libfuzzer_sys::fuzz_target;

fuzz_target!(init: bioverse_fuzz::begin(), |data: &[u8]| {
    bioverse_fuzz::rows(data, "x.sdf", Some(Format::Sdf));
});
