//! Join biological foundation models with large language models through soft tokens.

pub mod align;
pub mod audit;
pub mod bundle;
pub mod cache;
pub mod chat;
pub mod cli;
pub mod config;
pub mod convert;
pub mod data;
pub mod device;
pub mod encode;
pub mod encoders;
pub mod error;
pub mod eval;
pub mod explain;
pub mod files;
pub mod finetune;
pub mod hub;
mod instructions;
pub mod interrupt;
pub mod model;
pub mod pretrain;
pub mod registry;
pub mod report;
pub mod session;
pub mod shell;
mod subspace;
pub mod sweep;
pub mod telemetry;
pub mod train;

pub use bundle::Bundle;
pub use config::RunConfig;
pub use error::{Error, Result};
pub use session::Session;
