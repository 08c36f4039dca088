// SPDX-License-Identifier: Apache-2.0
//! tokio-micro - what tokio's current_thread runtime itself costs: the measurements of
//! rill-micro, by the same names, printed as one JSON object.
use std::env;
use std::future::{poll_fn, Future};
use std::sync::Arc;
use std::task::Poll;
use std::time::Duration;

use tokio::runtime::{Builder, Runtime};
use tokio::sync::{mpsc, oneshot, Notify};
use tokio::task::{spawn, yield_now, JoinHandle};
use tokio::time::sleep;

const BATCH: u64 = 1000;

async fn yield_with(tasks: u64, count: u64) {
    let handles: Vec<JoinHandle<()>> = (0..tasks)
        .map(|_| {
            spawn(async move {
                for _ in 0..count / tasks {
                    yield_now().await;
                }
            })
        })
        .collect();
    for handle in handles {
        handle.await.unwrap();
    }
}

async fn spawn_join(batch: u64, count: u64) {
    let mut handles = Vec::with_capacity(batch as usize);
    for _ in 0..count / batch {
        for _ in 0..batch {
            handles.push(spawn(async { 1 }));
        }
        for handle in handles.drain(..) {
            handle.await.unwrap();
        }
    }
}

/// Two tasks wake each other in turn.
async fn switch(count: u64) {
    let notifies = Arc::new((Notify::new(), Notify::new()));
    let others = notifies.clone();
    let answerer = spawn(async move {
        for _ in 0..count / 2 {
            others.1.notified().await;
            others.0.notify_one();
        }
    });
    for _ in 0..count / 2 {
        notifies.1.notify_one();
        notifies.0.notified().await;
    }
    answerer.await.unwrap();
}

async fn oneshots(count: u64) {
    for i in 0..count {
        let (sender, receiver) = oneshot::channel();
        sender.send(i).unwrap();
        receiver.await.unwrap();
    }
}

/// Two tasks send each other messages in turn, through channels of one place.
async fn channel_switch(count: u64) {
    let (there, mut requests) = mpsc::channel(1);
    let (back, mut answers) = mpsc::channel(1);
    let answerer = spawn(async move {
        while let Some(message) = requests.recv().await {
            back.send(message).await.unwrap();
        }
    });
    for i in 0..count / 2 {
        there.send(i).await.unwrap();
        answers.recv().await.unwrap();
    }
    drop(there);
    answerer.await.unwrap();
}

async fn messages(count: u64) {
    let (sender, mut receiver) = mpsc::channel(256);
    let producer = spawn(async move {
        for i in 0..count {
            sender.send(i).await.unwrap();
        }
    });
    while receiver.recv().await.is_some() {}
    producer.await.unwrap();
}

/// As a timeout is used: armed, and cancelled before it fires.
async fn arm_and_cancel(count: u64) {
    for i in 0..count {
        let timer = sleep(Duration::from_millis(5000 + (i & 1023)));
        tokio::pin!(timer);
        poll_fn(|context| {
            let _ = timer.as_mut().poll(context);
            Poll::Ready(())
        })
        .await;
    }
}

async fn sleep_and_fire(count: u64) {
    let mut state: u64 = 1;
    let handles: Vec<JoinHandle<()>> = (0..count)
        .map(|_| {
            state = state
                .wrapping_mul(6364136223846793005)
                .wrapping_add(1442695040888963407);
            spawn(sleep(Duration::from_nanos((state >> 33) % 10_000_000)))
        })
        .collect();
    for handle in handles {
        handle.await.unwrap();
    }
}

/// Nanoseconds by one of the system's clocks.
fn now_ns(clock: libc::clockid_t) -> f64 {
    let mut time = libc::timespec {
        tv_sec: 0,
        tv_nsec: 0,
    };
    unsafe { libc::clock_gettime(clock, &mut time) };
    time.tv_sec as f64 * 1e9 + time.tv_nsec as f64
}

fn resident_bytes() -> f64 {
    let text = std::fs::read_to_string("/proc/self/statm").unwrap();
    text.split(' ').nth(1).unwrap().parse::<f64>().unwrap() * 4096.0
}

struct Report {
    rounds: usize,
    few: u64,
    lines: Vec<String>,
}

impl Report {
    fn add(&mut self, key: &str, unit: &str, mut values: Vec<f64>) {
        values.sort_by(f64::total_cmp);
        self.lines.push(format!(
            "\"{key}\":{{\"unit\":\"{unit}\",\"median\":{:.2},\"min\":{:.2},\"max\":{:.2}}}",
            values[values.len() / 2],
            values[0],
            values[values.len() - 1]
        ));
    }

    /// Times run, which does count operations, over several rounds after one that does
    /// not count. It runs in a task of its own: what block_on is given itself is polled
    /// only after the ready tasks and the driver.
    fn measure_by<F: Future<Output = ()> + Send + 'static>(
        &mut self,
        clock: libc::clockid_t,
        runtime: &Runtime,
        key: &str,
        count: u64,
        run: impl Fn(u64) -> F,
    ) {
        let mut values = Vec::new();
        for round in 0..=self.rounds {
            let begin = now_ns(clock);
            runtime.block_on(async { spawn(run(count)).await.unwrap() });
            if round > 0 {
                values.push((now_ns(clock) - begin) / count as f64);
            }
        }
        self.add(key, "ns", values);
    }

    fn measure<F: Future<Output = ()> + Send + 'static>(
        &mut self,
        runtime: &Runtime,
        key: &str,
        count: u64,
        run: impl Fn(u64) -> F,
    ) {
        let count = count / self.few;
        self.measure_by(libc::CLOCK_MONOTONIC, runtime, key, count, run);
    }
}

fn main() {
    let runtime = Builder::new_current_thread().enable_time().build().unwrap();
    let option = |name: &str, usual| {
        let value = env::args().skip_while(|argument| argument != name).nth(1);
        value.map_or(usual, |text| text.parse().expect("a number"))
    };
    let rounds = option("--rounds", 11);
    let few = option("--divide", 1) as u64; // the operations in a round are divided by that
    let mut report = Report {
        rounds,
        few,
        lines: Vec::new(),
    };

    report.measure(&runtime, "yield", 1_000_000, |count| {
        yield_with(BATCH, count)
    });
    report.measure(&runtime, "yield_alone", 1_000_000, |count| {
        yield_with(1, count)
    });
    report.measure(&runtime, "spawn_join", 1_000_000, |count| {
        spawn_join(BATCH, count)
    });
    report.measure(&runtime, "spawn_join_alone", 1_000_000, |count| {
        spawn_join(1, count)
    });
    report.measure(&runtime, "switch", 1_000_000, switch);
    report.measure(&runtime, "oneshot", 1_000_000, oneshots);
    report.measure(&runtime, "mpsc", 1_000_000, messages);
    report.measure(&runtime, "channel_switch", 1_000_000, channel_switch);
    report.measure(&runtime, "sleep_cancel_0", 1_000_000, arm_and_cancel);
    // Most of a round is waiting, which is nobody's cost; and its length does not depend on
    // how many wait, so there are as many of them in all programs.
    report.measure_by(
        libc::CLOCK_PROCESS_CPUTIME_ID,
        &runtime,
        "sleep",
        100_000,
        sleep_and_fire,
    );
    for (key, armed) in [("sleep_cancel_100k", 100_000), ("sleep_cancel_1m", 900_000)] {
        let before = resident_bytes();
        runtime.block_on(async move {
            for i in 0..armed {
                spawn(sleep(Duration::from_millis(1_000_000 + i % 600_000)));
            }
            yield_now().await; // polls them all
        });
        if key == "sleep_cancel_1m" {
            let bytes = (resident_bytes() - before) / armed as f64;
            report.add("sleeping_task", "bytes", vec![bytes]);
        }
        report.measure(&runtime, key, 1_000_000, arm_and_cancel);
    }
    println!("{{\"rounds\":{rounds},{}}}", report.lines.join(","));
    std::process::exit(0); // the sleeping tasks are not waited for
}
