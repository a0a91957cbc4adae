//! Transformers, tokenizers and generation over Hugging Face folders, on Burn.
//!
//! | module | what it holds |
//! |---|---|
//! | [`config`] | `config.json` of either style → [`EncoderConfig`], [`DecoderConfig`] |
//! | [`weights`] | single and sharded safetensors, f32/f16/bf16, read by parameter name |
//! | [`linear`], [`lora`] | the linear layer and its LoRA side path; PEFT folders in and out |
//! | [`norm`], [`rope`], [`attention`], [`mlp`] | the small shared parts |
//! | [`encoder`] | bidirectional encoders (RoBERTa, BERT, ESM-2, ModernBERT) |
//! | `fused` | the layers of frozen encoders on the CPU, without Burn |
//! | [`decoder`] | [`CausalLm`]: the Llama family |
//! | [`tokenizer`], [`chat`] | `tokenizer.json` or vocabulary files, chat templates |
//! | [`sequence`] | an encoder with its tokenizer: text in, hidden states out |
//! | [`atomic`] | files that are whole or absent |
//! | [`generate`] | greedy and sampled decoding from `inputs_embeds` |
//!
//! This crate deliberately knows no biology, no modality and no training loop.

pub mod adapter;
pub mod atomic;
pub mod attention;
mod audit;
pub mod chat;
pub mod config;
pub mod decoder;
mod dropout;
pub mod encoder;
pub mod error;
mod fused;
pub mod generate;
pub mod linear;
pub mod lora;
pub mod mlp;
pub mod norm;
pub mod params;
pub mod rope;
pub mod sequence;
pub mod tokenizer;
pub mod weights;

pub use atomic::write_json;
pub use audit::audit;
pub use config::{DecoderConfig, EncoderConfig};
pub use decoder::{CausalLm, KvCache};
pub use encoder::TransformerEncoder;
pub use error::{Error, Result};
pub use generate::GenerationConfig;
pub use lora::LoraConfig;
pub use sequence::SequenceEncoder;
pub use tokenizer::Tokenizer;
pub use weights::Weights;
