//! How to decode, as flags.

use bioverse_nn::GenerationConfig;
use clap::Args;

/// Flags of everything that writes text.
#[derive(Debug, Args)]
pub struct Sampling {
    /// Longest continuation, in tokens.
    #[arg(long, value_name = "N", default_value_t = 64)]
    max_new_tokens: usize,
    /// 0 takes the likeliest token, more is more varied.
    #[arg(long, value_name = "T", default_value_t = 0.0)]
    temperature: f64,
    /// Draw from the K likeliest tokens only (0: all).
    #[arg(long, value_name = "K", default_value_t = 0)]
    top_k: usize,
    /// Draw from the smallest set of tokens with this mass only.
    #[arg(long, value_name = "P", default_value_t = 1.0)]
    top_p: f64,
    /// Seed of the draw.
    #[arg(long, value_name = "N", default_value_t = 0)]
    seed: u64,
    /// Ends the text before this string; may be repeated.
    #[arg(long, value_name = "TEXT")]
    stop: Vec<String>,
}

impl Sampling {
    /// As a configuration that ends at `eos_token_id` too.
    pub fn config(self, eos_token_id: Vec<u32>) -> GenerationConfig {
        GenerationConfig {
            max_new_tokens: self.max_new_tokens,
            temperature: self.temperature,
            top_k: self.top_k,
            top_p: self.top_p,
            seed: self.seed,
            eos_token_id,
            stop: self.stop,
        }
    }
}
