//! redis-rs before a cluster: as a client of one server, and as one of clusters, which finds one
//! with a single node.

use redis::cluster::{ClusterClient, cluster_pipe};
use redis::{AsyncCommands, Commands, ProtocolVersion, RedisResult};

use super::world::Clustered;
use crate::backend::Version;
use crate::clients::{certificates, redis_rs};
use crate::wire::PATIENCE;

/// A client that knows clusters, given one address.
fn aware(world: &Clustered, protocol: ProtocolVersion) -> ClusterClient {
    let url = format!("rediss://localhost:{}/", world.gateway.address.port());
    let builder = ClusterClient::builder(vec![url]).certs(certificates(world)).use_protocol(protocol);
    // A second, which it has else, is little on a busy machine.
    builder.connection_timeout(PATIENCE).response_timeout(PATIENCE).build().expect("a good URL")
}

/// What both kinds of connection do with keys of every slot.
fn work<C: Commands>(c: &mut C, name: &str) -> RedisResult<()> {
    let key = |n: usize| format!("{name}:{n}");
    for n in 0..300 {
        let () = c.set(key(n), n)?;
        assert_eq!(c.incr::<_, _, usize>(key(n), 1)?, n + 1);
    }
    let keys: Vec<String> = (0..300).map(key).collect();
    assert_eq!(c.mget::<_, Vec<usize>>(&keys)?, (1..=300).collect::<Vec<_>>());
    let _: usize = c.rpush(format!("list:{name}"), "x")?;
    let popped: Option<(String, String)> = c.blpop(format!("list:{name}"), 5.0)?;
    assert_eq!(popped, Some((format!("list:{name}"), "x".to_owned())));
    assert_eq!(c.del::<_, usize>(&keys)?, 300);
    Ok(())
}

#[test]
fn redis_rs_works_as_a_plain_client_and_as_one_of_clusters() {
    let world = Clustered::start(Version::System, 3, 0);
    for (query, protocol) in [("", ProtocolVersion::RESP2), ("?protocol=resp3", ProtocolVersion::RESP3)] {
        let mut plain = redis_rs(&world, query).get_connection().expect("connects");
        work(&mut plain, &format!("plain{query}")).expect("no error");
        let mut pipe = redis::pipe();
        (0..100).for_each(|n| {
            pipe.set(format!("pipe:{n}"), n).ignore().get(format!("pipe:{n}"));
        });
        let got: Vec<usize> = pipe.query(&mut plain).expect("a pipeline");
        assert_eq!(got, (0..100).collect::<Vec<_>>());
        assert!(world.keys_by_node().iter().all(|&keys| keys > 10), "{:?}", world.keys_by_node());
        let mut found: Vec<String> =
            plain.scan_match("pipe:*").expect("a scan").map(|key| key.expect("a key")).collect();
        found.sort();
        found.dedup();
        assert_eq!(found.len(), 100);
        let (n,): (i64,) = redis::transaction(&mut plain, &["pipe:7"], |c, pipe| {
            let old: i64 = c.get("pipe:7")?;
            pipe.set("pipe:7", old + 1).ignore().get("pipe:7").query(c)
        })
        .expect("a transaction");
        assert_eq!(n, 8);
        let script = redis::Script::new("return redis.call('INCRBY', KEYS[1], ARGV[1])");
        assert_eq!(script.key("pipe:7").arg(2).invoke::<i64>(&mut plain).expect("a script"), 10);

        let mut aware = aware(&world, protocol).get_connection().expect("connects");
        work(&mut aware, &format!("aware{query}")).expect("no error");
        let mut pipe = cluster_pipe();
        (0..100).for_each(|n| {
            pipe.incr(format!("pipe:{n}"), 1);
        });
        let got: Vec<usize> = pipe.query(&mut aware).expect("a pipeline");
        assert_eq!((got[0], got[7], got[99]), (1, 11, 100));
        assert_eq!(script.key("pipe:7").arg(2).invoke::<i64>(&mut aware).expect("a script"), 13);
        let () = redis::cmd("FLUSHALL").query(&mut plain).expect("an answer");
    }
}

#[test]
fn redis_rs_works_as_one_of_clusters_with_tokio() {
    let world = Clustered::start(Version::System, 3, 0);
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().expect("a runtime");
    runtime.block_on(async {
        for protocol in [ProtocolVersion::RESP2, ProtocolVersion::RESP3] {
            let c = aware(&world, protocol).get_async_connection().await.expect("connects");
            let tasks: Vec<_> = (0..50)
                .map(|task| {
                    let mut c = c.clone();
                    tokio::spawn(async move {
                        for n in 0..20 {
                            let (key, token) = (format!("{task}:{n}"), format!("token:{task}:{n}"));
                            let () = c.set(&key, &token).await?;
                            assert_eq!(c.get::<_, String>(&key).await?, token);
                            assert_eq!(c.del::<_, i64>(&key).await?, 1);
                        }
                        RedisResult::Ok(())
                    })
                })
                .collect();
            for task in tasks {
                task.await.expect("no panic").expect("no error");
            }
        }
    });
}
