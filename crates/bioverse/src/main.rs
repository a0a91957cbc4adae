//! The `bioverse` program.
#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

fn main() -> std::process::ExitCode {
    bioverse::cli::main(bioverse::registry::standard())
}
