//! How fast the ends of requests and replies are found.

use std::hint::black_box;

use criterion::{BenchmarkId, Criterion, Throughput, criterion_group, criterion_main};
use respgate::resp::{Found, ReplyScanner, RequestLimits, RequestScanner, write};

const LIMITS: RequestLimits = RequestLimits { args_max: 1 << 20, bulk_bytes_max: 512 << 20 };

/// Reads from a socket bring at most this much at a time.
const CHUNK: usize = 16 * 1024;

/// Scans everything; returns how many requests there were.
fn requests(input: &[u8]) -> usize {
    let (mut scanner, mut at, mut count) = (RequestScanner::default(), 0, 0);
    while let Ok(Found::Request(request)) = scanner.scan(&input[at..], LIMITS) {
        at += request.len;
        count += 1;
    }
    count
}

/// Scans everything; returns how many replies there were.
fn replies(input: &[u8]) -> usize {
    let (mut scanner, mut at, mut count) = (ReplyScanner::new(128), 0, 0);
    while let Ok(Some(len)) = scanner.scan(&input[at..]) {
        at += len;
        count += 1;
    }
    count
}

/// Scans a reply that arrives in chunks, each of which is passed on at once.
fn streamed(reply: &[u8]) -> usize {
    let mut scanner = ReplyScanner::new(128);
    let (mut begin, mut end, mut passed) = (0, 0, 0);
    while end < reply.len() {
        end = reply.len().min(end + CHUNK);
        match scanner.scan(&reply[begin..end]) {
            Ok(Some(len)) => begin += len,
            Ok(None) => begin += scanner.take_examined(end - begin),
            Err(error) => unreachable!("the reply is sound: {error}"),
        }
        passed = begin;
    }
    passed
}

fn scan_requests(criterion: &mut Criterion) {
    let get = write::command(&[b"GET", b"key:000000000042"]);
    let set = write::command(&[b"SET", b"key:000000000042", &[b'x'; 16 * 1024]]);
    let mut group = criterion.benchmark_group("requests");
    for (name, input, count) in
        [("one GET", get.clone(), 1), ("64 GETs", get.repeat(64), 64), ("a SET of 16 KiB", set, 1)]
    {
        assert_eq!(requests(&input), count);
        group.throughput(Throughput::Elements(count as u64));
        group.bench_with_input(BenchmarkId::from_parameter(name), &input, |bencher, input| {
            bencher.iter(|| requests(black_box(input)));
        });
    }
    group.finish();
}

fn scan_replies(criterion: &mut Criterion) {
    let bulk = write::bulk(b"value:000000000042");
    let large = write::bulk(&[b'x'; 16 * 1024]);
    let mut group = criterion.benchmark_group("replies");
    for (name, input, count) in
        [("one bulk", bulk.clone(), 1), ("64 bulks", bulk.repeat(64), 64), ("a bulk of 16 KiB", large, 1)]
    {
        assert_eq!(replies(&input), count);
        group.throughput(Throughput::Elements(count as u64));
        group.bench_with_input(BenchmarkId::from_parameter(name), &input, |bencher, input| {
            bencher.iter(|| replies(black_box(input)));
        });
    }
    // LRANGE of a long list: 5.6 MB in 16 KiB chunks.
    let mut array = b"*233333\r\n".to_vec();
    array.extend_from_slice(&bulk.repeat(233_333));
    assert_eq!(streamed(&array), array.len());
    group.throughput(Throughput::Bytes(array.len() as u64));
    group.sample_size(20);
    group.bench_function("an array of 5.6 MB in chunks", |bencher| {
        bencher.iter(|| streamed(black_box(&array)));
    });
    group.finish();
}

criterion_group! {
    name = benches;
    config = Criterion::default().without_plots();
    targets = scan_requests, scan_replies
}
criterion_main!(benches);
