//! The task token apart from the layers: each can learn while the other stands still. Which one does is for the caller.

use burn::prelude::*;

use super::{Projector, config::fresh_task_token};

impl Projector {
    /// Whether a task token stands behind the soft tokens.
    pub fn has_task_token(&self) -> bool {
        self.task_token.is_some()
    }

    /// These layers with the task token of `other`, which may live on another device: what lives on a plain one does not
    /// learn. Both must have been made from one configuration.
    pub fn with_task_token_of(self, other: Self) -> Self {
        Self {
            task_token: other.task_token,
            config: other.config,
            ..self
        }
    }

    /// Appends a fresh task token on `device`, as [`ProjectorConfig::init`](super::ProjectorConfig::init) makes it; one
    /// that is there stays.
    pub fn or_fresh_task_token(mut self, device: &Device) -> Self {
        if self.task_token.is_none() {
            self.task_token = Some(fresh_task_token(self.d_model, device));
            self.config.task_token = true;
        }
        self
    }
}
