//! How does a model learn? By stochastic gradient descent, byte after byte, on one thread.
//!
//! The same text, seed and size give the same file, on one platform: the arithmetic has a fixed
//! order, and `exp` comes from the platform.

use super::{Adapter, BYTES, Context, DIM, HIDDEN, INPUTS, Model, Pass, Table};
use crate::random::Random;

const RATE: f32 = 0.05;
const ADAPTER_RATE: f32 = 0.02;

/// Trains a model on `text`, in `epochs` passes. The table gets `rows` rows.
pub fn model(text: &[u8], seed: u64, rows: usize, epochs: usize) -> Model {
    let mut random = Random::new(seed);
    let mut draw = |count: usize, bound: f32| -> Vec<f32> {
        (0..count).map(|_| random.around_zero(bound)).collect()
    };
    let mut model = Model {
        table: Table::F32(draw(rows * DIM, 0.1)),
        hidden: draw(INPUTS * HIDDEN, 0.25),
        hidden_bias: vec![0.1; HIDDEN],
        out: draw(HIDDEN * BYTES, 0.15),
        out_bias: vec![0.0; BYTES],
    };
    for _ in 0..epochs {
        let mut context = Context::default();
        for &byte in text {
            let pass = model.pass(&context);
            let error = blame(model.logits(&pass.hidden), byte);
            model.learn(&pass, &error);
            context.push(byte);
        }
    }
    model
}

/// Trains an adapter for `base` on `text`; the base stays as it is.
pub fn adapter(base: &Model, text: &[u8], seed: u64, rank: usize, epochs: usize) -> Adapter {
    let mut random = Random::new(seed);
    let down = (0..HIDDEN * rank).map(|_| random.around_zero(0.3)).collect();
    // Zeros: before training an adapter changes nothing.
    let mut adapter = Adapter { rank, down, up: vec![0.0; rank * BYTES] };
    for _ in 0..epochs {
        let mut context = Context::default();
        for &byte in text {
            let pass = base.pass(&context);
            let mut logits = base.logits(&pass.hidden);
            adapter.add(&pass.hidden, &mut logits);
            adapter.learn(&pass.hidden, &blame(logits, byte));
            context.push(byte);
        }
    }
    adapter
}

/// The gradient of the surprise by the logits: what was foretold, less what came.
fn blame(mut logits: [f32; BYTES], byte: u8) -> [f32; BYTES] {
    let most = logits.iter().copied().fold(f32::NEG_INFINITY, f32::max);
    logits.iter_mut().for_each(|logit| *logit = (*logit - most).exp());
    let sum: f32 = logits.iter().sum();
    logits.iter_mut().for_each(|chance| *chance /= sum);
    logits[usize::from(byte)] -= 1.0;
    logits
}

impl Model {
    fn learn(&mut self, pass: &Pass, error: &[f32; BYTES]) {
        step(&mut self.out_bias, -RATE, error);
        let mut hidden_error = [0.0; HIDDEN];
        let rows = self.out.chunks_exact_mut(BYTES);
        for ((row, &unit), gradient) in rows.zip(&pass.hidden).zip(&mut hidden_error) {
            // A unit that was off had no part in it.
            if unit > 0.0 {
                *gradient = dot(row, error);
                step(row, -RATE * unit, error);
            }
        }
        step(&mut self.hidden_bias, -RATE, &hidden_error);
        let mut input_error = [0.0; INPUTS];
        let rows = self.hidden.chunks_exact_mut(HIDDEN);
        for ((row, &input), gradient) in rows.zip(&pass.inputs).zip(&mut input_error) {
            *gradient = dot(row, &hidden_error);
            step(row, -RATE * input, &hidden_error);
        }
        let Table::F32(table) = &mut self.table else {
            unreachable!("models are trained in f32 only")
        };
        for (&row, gradient) in pass.rows.iter().zip(input_error.chunks_exact(DIM)) {
            step(&mut table[row * DIM..(row + 1) * DIM], -RATE, gradient);
        }
    }
}

impl Adapter {
    fn learn(&mut self, hidden: &[f32; HIDDEN], error: &[f32; BYTES]) {
        let thin = self.squeeze(hidden);
        let mut thin_error = vec![0.0; self.rank];
        let rows = self.up.chunks_exact_mut(BYTES);
        for ((row, &unit), gradient) in rows.zip(&thin).zip(&mut thin_error) {
            *gradient = dot(row, error);
            step(row, -ADAPTER_RATE * unit, error);
        }
        for (row, &unit) in self.down.chunks_exact_mut(self.rank).zip(hidden) {
            step(row, -ADAPTER_RATE * unit, &thin_error);
        }
    }
}

fn step(weights: &mut [f32], factor: f32, gradient: &[f32]) {
    super::add_scaled(weights, factor, gradient);
}

/// Eight partial sums, so that the compiler may use vectors.
fn dot(left: &[f32], right: &[f32]) -> f32 {
    let mut sums = [0.0_f32; 8];
    for (left, right) in left.chunks_exact(8).zip(right.chunks_exact(8)) {
        for lane in 0..8 {
            sums[lane] += left[lane] * right[lane];
        }
    }
    sums.iter().sum()
}
