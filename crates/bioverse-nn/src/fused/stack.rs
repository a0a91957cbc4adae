//! Layers above each other, over a packed batch, spread over the threads of the pool that calls.

use rayon::prelude::*;

use super::block::Block;
use super::norm::Norm;
use super::packed::Packed;
use super::rotary::{Rotary, Turns};
use super::tiles::{Tile, split, tiles};

/// Everything between embeddings and head.
#[derive(Debug)]
pub(crate) struct Stack {
    pub(crate) blocks: Vec<Block>,
    /// After the last block.
    pub(crate) final_norm: Option<Norm>,
    /// The rotary positions that blocks refer to.
    pub(crate) rotaries: Vec<Rotary>,
    /// Width of the states.
    pub(crate) width: usize,
}

impl Stack {
    /// The last states of `states [tokens, width]`; `each` sees what goes into every block.
    pub(crate) fn run(
        &self,
        mut states: Vec<f32>,
        packed: &Packed,
        each: &mut dyn FnMut(&[f32]),
    ) -> Vec<f32> {
        let width = self.width;
        let tiles = tiles(&packed.records, rayon::current_num_threads());
        let turns = self.rotaries.iter().map(|r| r.turns(packed.len()));
        let turns: Vec<Turns> = turns.collect();
        let mut qkv = vec![0.0; 3 * states.len()];
        let of = |tile: &Tile| tile.rows.start * width..tile.rows.end * width;
        for block in &self.blocks {
            each(&states);
            let project = |(tile, out): (&Tile, &mut [f32])| {
                let columns = &packed.columns[tile.rows.clone()];
                block.project(&states[of(tile)], columns, &turns, out);
            };
            let work = split(&mut qkv, 3 * width, &tiles);
            work.into_par_iter().for_each(project);
            let mix = |(tile, states): (&Tile, &mut [f32])| {
                block.mix(states, tile, &qkv, &packed.columns);
            };
            let work = split(&mut states, width, &tiles);
            work.into_par_iter().for_each(mix);
        }
        if let Some(norm) = &self.final_norm {
            let work = split(&mut states, width, &tiles);
            work.into_par_iter().for_each(|(_, rows)| norm.apply(rows));
        }
        states
    }
}
