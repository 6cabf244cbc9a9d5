//! What a request costs in a whole worker, without sockets and without Redis, in time.

mod stage;

use criterion::{BenchmarkId, Criterion, Throughput, criterion_group, criterion_main};
use respgate::resp::write;
use stage::{Exchange, Stage};

fn worker(criterion: &mut Criterion) {
    let get = write::command(&[b"GET", b"key:000000000042"]);
    let bulk = write::bulk(b"value:000000000042");
    let large = write::command(&[b"SET", b"key:000000000042", &[b'x'; 16 * 1024]]);
    let mut group = criterion.benchmark_group("worker");
    for (name, clients, depth, request, reply) in [
        ("GET, 1 client, depth 1", 1, 1, &get, &bulk[..]),
        ("GET, 50 clients, depth 1", 50, 1, &get, &bulk),
        ("GET, 50 clients, depth 16", 50, 16, &get, &bulk),
        ("GET, 500 clients, depth 1", 500, 1, &get, &bulk),
        ("SET of 16 KiB, 50 clients, depth 1", 50, 1, &large, b"+OK\r\n"),
    ] {
        let exchange = Exchange::of(request, reply, depth, clients);
        let mut stage = Stage::new(clients);
        assert_eq!(stage.prepare(&write::command(&[b"PING"])), b"+PONG\r\n".len());
        assert_eq!(stage.round(&exchange), exchange.given(), "{name}");
        group.throughput(Throughput::Elements((clients * depth) as u64));
        group.bench_function(BenchmarkId::from_parameter(name), |bencher| {
            bencher.iter(|| stage.round(&exchange));
        });
    }
    group.finish();
}

criterion_group! {
    name = benches;
    config = Criterion::default().without_plots();
    targets = worker
}
criterion_main!(benches);
