//! How much is measured.

use crate::column::What;

/// How much is measured.
#[derive(Clone, Debug)]
pub struct Plan {
    /// The columns.
    pub columns: Vec<What>,
    /// Octets of round trips.
    pub sizes: Vec<usize>,
    /// Interleaved blocks of each row.
    pub blocks: usize,
    /// Round trips of a block, where they are short.
    pub times: u32,
    /// Octets of a stream in one block.
    pub stream: u64,
    /// Small messages of one block.
    pub messages: u32,
    /// Milliseconds of an idle connection.
    pub idle: u32,
    /// Requests a second, in an open loop.
    pub rates: Vec<u32>,
    /// Milliseconds of one block of that.
    pub paced: u32,
    /// Idle connections beside a hot one.
    pub crowds: Vec<usize>,
    /// Connections that are all active.
    pub active: usize,
    /// Tasks on one core, the fewest first.
    pub tasks: Vec<usize>,
    /// Milliseconds of a block of many connections.
    pub crowd_millis: u32,
}

impl Plan {
    /// For numbers worth keeping: some minutes.
    #[must_use]
    pub fn usual(columns: Vec<What>) -> Self {
        let sizes =
            vec![1, 10, 64, 100, 1000, 4096, 16 << 10, 64 << 10, 256 << 10, 1 << 20, 4 << 20, 16 << 20];
        Self {
            columns,
            sizes,
            blocks: 21,
            times: 2000,
            stream: 256 << 20,
            messages: 200_000,
            idle: 10_000,
            rates: vec![1000, 3000, 10_000, 20_000, 50_000, 100_000, 200_000],
            paced: 100,
            crowds: vec![0, 1000, 10_000],
            active: 1000,
            tasks: vec![1, 8, 64, 1000],
            crowd_millis: 100,
        }
    }

    /// Once through, to see that it runs.
    #[must_use]
    pub fn quick(columns: Vec<What>) -> Self {
        Self {
            columns,
            sizes: vec![64, 64 << 10],
            blocks: 3,
            times: 40,
            stream: 4 << 20,
            messages: 2000,
            idle: 100,
            rates: vec![1000, 20_000],
            paced: 10,
            crowds: vec![0, 10, 100],
            active: 30,
            tasks: vec![1, 8, 30],
            crowd_millis: 10,
        }
    }

    /// Round trips of a block of that size: longer ones are fewer.
    #[must_use]
    pub fn times(&self, size: usize) -> u32 {
        (self.times / (size as u32 / 4096 + 1)).max(4)
    }
}
