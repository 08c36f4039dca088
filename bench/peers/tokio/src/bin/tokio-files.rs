// SPDX-License-Identifier: Apache-2.0
//! tokio-files - random reads by tokio's blocking pool: see rill-files for what is measured.
use std::env;
use std::os::unix::fs::FileExt;
use std::os::unix::fs::OpenOptionsExt;
use std::sync::Arc;
use std::time::{Duration, Instant};

const SIZE: usize = 4096;

fn option(name: &str) -> Option<String> {
    env::args().skip_while(|argument| argument != name).nth(1)
}

struct Random(u64);

impl Random {
    fn next(&mut self) -> u64 {
        self.0 = self
            .0
            .wrapping_mul(6364136223846793005)
            .wrapping_add(1442695040888963407);
        self.0 >> 33
    }
}

/// pread in the blocking pool, which is how tokio::fs reads too; but its File has a position,
/// so that a random read takes it two ways there and back: seek, then read.
async fn read_at(file: Arc<std::fs::File>, seed: u64, pages: u64, end: Instant) -> u64 {
    let mut random = Random(seed);
    let mut memory = vec![0u8; 2 * SIZE];
    let mut reads = 0;
    while Instant::now() < end {
        let page = random.next() % pages;
        let file = file.clone();
        memory = tokio::task::spawn_blocking(move || {
            let start = memory.as_ptr().align_offset(SIZE);
            file.read_exact_at(&mut memory[start..start + SIZE], page * SIZE as u64)
                .unwrap();
            memory
        })
        .await
        .unwrap();
        reads += 1;
    }
    reads
}

#[tokio::main(flavor = "current_thread")]
async fn main() {
    let path = env::args()
        .nth(1)
        .expect("Usage: tokio-files FILE [--depth N] [--seconds T] [--direct]");
    let depth: u64 = option("--depth").map_or(1, |text| text.parse().unwrap());
    let seconds: f64 = option("--seconds").map_or(1.0, |text| text.parse().unwrap());
    let direct = env::args().any(|argument| argument == "--direct");
    let pages = std::fs::metadata(&path).unwrap().len() / SIZE as u64;
    let begin = Instant::now();
    let end = begin + Duration::from_secs_f64(seconds);
    let mut reads = 0;

    let mut options = std::fs::OpenOptions::new();
    options
        .read(true)
        .custom_flags(if direct { libc::O_DIRECT } else { 0 });
    let file = Arc::new(options.open(&path).unwrap());
    let tasks: Vec<_> = (0..depth)
        .map(|seed| tokio::spawn(read_at(file.clone(), seed + 1, pages, end)))
        .collect();
    for task in tasks {
        reads += task.await.unwrap();
    }
    let seconds = begin.elapsed().as_secs_f64();
    println!("{{\"reads\":{reads},\"seconds\":{seconds:.3}}}");
}
