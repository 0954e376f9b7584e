//! What does a byte-level language model compute? The surprise of a text.
//!
//! ```text
//!   last 1, 2, .. 6 bytes --hash--> 6 rows of the table --> 48 numbers
//!       --> 32 hidden units (ReLU) --> 256 logits --softmax--> chance of the next byte
//!                          \-- rank-r adapter: down, up --^ (added to the logits)
//! ```
//!
//! A model is as large as its table has rows; everything else is a few kilobytes. An adapter leaves
//! the model as it is and adds a product of two thin matrices to the output layer, so base and
//! adapted scores come out of one pass.
//!
//! Matrices are stored input by input, each with its row of outputs: products are then sums of
//! scaled rows, which the compiler turns into vector instructions.

pub mod file;
pub mod train;

use half::f16;

/// Context lengths: the last 1 to 6 bytes.
pub const ORDERS: usize = 6;
/// Numbers in a row of the table.
pub const DIM: usize = 8;
pub const INPUTS: usize = ORDERS * DIM;
pub const HIDDEN: usize = 32;
pub const BYTES: usize = 256;

/// Weights of a model: the table in the precision that was asked for, the rest in `f32`.
pub struct Model {
    table: Table,
    hidden: Vec<f32>,
    hidden_bias: Vec<f32>,
    out: Vec<f32>,
    out_bias: Vec<f32>,
}

enum Table {
    F32(Vec<f32>),
    F16(Vec<f16>),
}

/// A low-rank change of the output layer.
pub struct Adapter {
    rank: usize,
    /// `HIDDEN` rows of `rank`.
    down: Vec<f32>,
    /// `rank` rows of `BYTES`.
    up: Vec<f32>,
}

/// How surprising a text is, in nats over all its bytes: the lower, the better it was foreseen.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct Surprise {
    pub base: f64,
    /// With the adapter, if there is one.
    pub adapted: Option<f64>,
}

/// What one step of a pass leaves for training.
struct Pass {
    rows: [usize; ORDERS],
    inputs: [f32; INPUTS],
    hidden: [f32; HIDDEN],
}

impl Model {
    /// Bytes on the heap, rounded up to what `model::file` can tell from a header.
    pub fn bytes(&self) -> u64 {
        let table = match &self.table {
            Table::F32(table) => size_of_val(table.as_slice()),
            Table::F16(table) => size_of_val(table.as_slice()),
        };
        let dense = [&self.hidden, &self.hidden_bias, &self.out, &self.out_bias];
        let dense: usize = dense.into_iter().map(|part| size_of_val(part.as_slice())).sum();
        (table + dense) as u64
    }

    pub fn surprise(&self, adapter: Option<&Adapter>, text: &[u8]) -> Surprise {
        let mut base = 0.0;
        let mut adapted = 0.0;
        let mut context = Context::default();
        for &byte in text {
            let pass = self.pass(&context);
            let mut logits = self.logits(&pass.hidden);
            base += surprise(&logits, byte);
            if let Some(adapter) = adapter {
                adapter.add(&pass.hidden, &mut logits);
                adapted += surprise(&logits, byte);
            }
            context.push(byte);
        }
        Surprise { base, adapted: adapter.map(|_| adapted) }
    }

    fn rows(&self) -> usize {
        match &self.table {
            Table::F32(table) => table.len() / DIM,
            Table::F16(table) => table.len() / DIM,
        }
    }

    fn pass(&self, context: &Context) -> Pass {
        let rows = context.rows(self.rows());
        let mut inputs = [0.0; INPUTS];
        for (&row, input) in rows.iter().zip(inputs.chunks_exact_mut(DIM)) {
            let at = row * DIM;
            match &self.table {
                Table::F32(table) => input.copy_from_slice(&table[at..at + DIM]),
                Table::F16(table) => {
                    let row = &table[at..at + DIM];
                    input.iter_mut().zip(row).for_each(|(to, from)| *to = from.to_f32());
                }
            }
        }
        let mut hidden = [0.0; HIDDEN];
        hidden.copy_from_slice(&self.hidden_bias);
        for (&input, row) in inputs.iter().zip(self.hidden.chunks_exact(HIDDEN)) {
            add_scaled(&mut hidden, input, row);
        }
        hidden.iter_mut().for_each(|unit| *unit = unit.max(0.0));
        Pass { rows, inputs, hidden }
    }

    fn logits(&self, hidden: &[f32; HIDDEN]) -> [f32; BYTES] {
        let mut logits = [0.0; BYTES];
        logits.copy_from_slice(&self.out_bias);
        for (&unit, row) in hidden.iter().zip(self.out.chunks_exact(BYTES)) {
            if unit > 0.0 {
                add_scaled(&mut logits, unit, row);
            }
        }
        logits
    }
}

impl Adapter {
    pub fn bytes(&self) -> u64 {
        (size_of_val(self.down.as_slice()) + size_of_val(self.up.as_slice())) as u64
    }

    fn squeeze(&self, hidden: &[f32; HIDDEN]) -> Vec<f32> {
        let mut thin = vec![0.0; self.rank];
        for (&unit, row) in hidden.iter().zip(self.down.chunks_exact(self.rank)) {
            add_scaled(&mut thin, unit, row);
        }
        thin
    }

    fn add(&self, hidden: &[f32; HIDDEN], logits: &mut [f32; BYTES]) {
        for (&unit, row) in self.squeeze(hidden).iter().zip(self.up.chunks_exact(BYTES)) {
            add_scaled(logits, unit, row);
        }
    }
}

/// The last bytes read, the newest lowest; zeros before the text.
#[derive(Default)]
struct Context(u64);

impl Context {
    fn push(&mut self, byte: u8) {
        self.0 = self.0 << 8 | u64::from(byte);
    }

    /// The row of the table for each context length.
    fn rows(&self, rows: usize) -> [usize; ORDERS] {
        std::array::from_fn(|order| {
            let kept = self.0 & (u64::MAX >> (64 - 8 * (order + 1)));
            let mixed = (kept ^ (order as u64) << 56).wrapping_mul(0x9e37_79b9_7f4a_7c15);
            ((mixed ^ mixed >> 29).wrapping_mul(0xbf58_476d_1ce4_e5b9) >> 16) as usize % rows
        })
    }
}

fn add_scaled(to: &mut [f32], factor: f32, row: &[f32]) {
    for (to, &weight) in to.iter_mut().zip(row) {
        *to += factor * weight;
    }
}

/// Minus the logarithm of the chance that `logits` give to `byte`.
fn surprise(logits: &[f32; BYTES], byte: u8) -> f64 {
    let most = logits.iter().copied().fold(f32::NEG_INFINITY, f32::max);
    let sum: f32 = logits.iter().map(|logit| (logit - most).exp()).sum();
    f64::from(most + sum.ln() - logits[usize::from(byte)])
}

#[cfg(test)]
mod tests;
