//! FASTA and FASTQ.
#![no_main]

use bioverse_formats::Format;
use libfuzzer_sys::fuzz_target;

fuzz_target!(init: bioverse_fuzz::begin(), |data: &[u8]| {
    bioverse_fuzz::rows(data, "x.fasta", Some(Format::Fasta));
});
