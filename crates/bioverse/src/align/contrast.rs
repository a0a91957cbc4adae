//! The contrastive micro-batch: vectors of both sides, which of them belong together, and the objective over them.

use std::cell::RefCell;

use burn::prelude::*;

use super::aligner::Aligner;
use super::gradient_cache;
use super::objective::info_nce::{bio_to_text, text_to_bio};
use super::objective::{Logits, Relations, siglip};
use super::order::Order;
use super::target::Target;
use super::train;
use crate::config::{AlignSection, Direction, Objective};
use crate::error::Result;
use crate::train::MicroBatch;
use crate::train::seed::{mix, mix_name};

/// What stage 1 draws its batches of pairs from.
pub(super) struct Contrast<'a> {
    align: &'a AlignSection,
    target: &'a Target,
    order: RefCell<Order>,
    /// Outside autodiff.
    device: &'a Device,
    /// Of what is random within a chunk.
    seed: u64,
}

impl<'a> Contrast<'a> {
    /// `seed` is that of the training.
    pub fn new(align: &'a AlignSection, target: &'a Target, seed: u64, device: &'a Device) -> Self {
        let order = Order::new(&target.train.weights, align.batch_size, seed);
        Self {
            align,
            target,
            order: RefCell::new(order),
            device,
            seed: mix_name(seed, "chunk"),
        }
    }

    /// The n-th batch.
    pub fn micro_batch(&self, aligner: &Aligner, n: usize, scale: f64) -> Result<MicroBatch> {
        let rows = self.order.borrow_mut().batch(n);
        let pairs = &self.target.train;
        let text = train::text(self.target, pairs, &rows, self.device)?;
        let relations = pairs.kinship().relations(&rows, self.align.positives);
        let negatives = self.target.negatives.as_ref();
        let negatives = negatives.map(|texts| texts.draw(n, self.device));
        let loss = |bio| self.loss(aligner, bio, text, negatives, &relations);
        let size = self.align.micro_batch_size.unwrap_or(rows.len());
        let mut batch = match rows.len() <= size {
            true => {
                let bio = self.bio(aligner, &rows)?;
                MicroBatch::of(aligner, loss(bio), rows.len(), scale)
            }
            false => {
                let chunks: Vec<&[usize]> = rows.chunks(size).collect();
                let sizes: Vec<usize> = chunks.iter().map(|chunk| chunk.len()).collect();
                let vectors = |chunk: usize| {
                    // Dropout must draw the same on both passes, whatever came between them.
                    self.device
                        .seed(mix(mix(self.seed, n as u64), chunk as u64));
                    self.bio(aligner, chunks[chunk])
                };
                gradient_cache::micro_batch(aligner, &sizes, scale, vectors, loss)?
            }
        };
        batch.fields.extend(aligner.fields());
        Ok(batch)
    }

    fn bio(&self, aligner: &Aligner, rows: &[usize]) -> Result<Tensor<2>> {
        let (target, projector) = (self.target, &aligner.projector);
        train::bio(target, projector, &target.train, rows, self.device)
    }

    fn loss(
        &self,
        aligner: &Aligner,
        bio: Tensor<2>,
        text: Tensor<2>,
        negatives: Option<Tensor<2>>,
        relations: &Relations,
    ) -> Tensor<1> {
        let logits = Logits::new(bio, text, negatives, &aligner.scale());
        match (self.align.objective, self.align.direction) {
            (Objective::Siglip, _) => siglip(logits, &aligner.bias(), relations),
            (_, Direction::BioToText) => bio_to_text(logits, relations),
            (_, Direction::Both) => {
                let back = text_to_bio(&logits, relations);
                (bio_to_text(logits, relations) + back) / 2.0
            }
        }
    }
}
