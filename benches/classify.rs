//! How fast a request's class is found.

use std::hint::black_box;

use criterion::{BenchmarkId, Criterion, Throughput, criterion_group, criterion_main};
use respgate::command::{Class, Commands, Profile, Verdict};
use respgate::resp::{Found, Request, RequestLimits, RequestScanner, write};

fn scanned(words: &[&[u8]]) -> (Vec<u8>, Request) {
    let input = write::command(words);
    let limits = RequestLimits { args_max: 1024, bulk_bytes_max: 1 << 20 };
    match RequestScanner::default().scan(&input, limits) {
        Ok(Found::Request(request)) => (input, request),
        other => unreachable!("a whole request was written: {other:?}"),
    }
}

fn classify(criterion: &mut Criterion) {
    let commands = Commands::new();
    let mut group = criterion.benchmark_group("classify");
    group.throughput(Throughput::Elements(1));
    let cases: [(&str, &[&[u8]]); 5] = [
        ("GET", &[b"GET", b"key"]),
        ("zrevrangebyscore", &[b"zrevrangebyscore", b"key", b"0", b"1"]),
        ("CLIENT SETNAME", &[b"CLIENT", b"SETNAME", b"me"]),
        ("XREAD with BLOCK", &[b"XREAD", b"COUNT", b"10", b"BLOCK", b"0", b"STREAMS", b"s", b"$"]),
        ("an unknown command", &[b"FT.SEARCH", b"index", b"*"]),
    ];
    for (name, words) in cases {
        let (input, request) = scanned(words);
        group.bench_with_input(BenchmarkId::from_parameter(name), &input, |bencher, input| {
            bencher.iter(|| commands.classify(black_box(input), &request, &Profile::Default));
        });
    }
    let (input, request) = scanned(&[b"GET", b"key"]);
    assert_eq!(commands.classify(&input, &request, &Profile::Default), Verdict::Pass(Class::Share));
    group.finish();
}

criterion_group! {
    name = benches;
    config = Criterion::default().without_plots();
    targets = classify
}
criterion_main!(benches);
