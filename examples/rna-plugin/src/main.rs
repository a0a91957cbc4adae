//! The `bioverse` program with one modality more.

mod rna;

fn main() -> std::process::ExitCode {
    bioverse::cli::main(bioverse::registry::standard().with::<rna::Rna>())
}
