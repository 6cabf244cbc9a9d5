//! redis-rs' connection manager: one connection for many tasks, with a cache and
//! subscriptions, which comes back by itself.

use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use redis::aio::{ConnectionManager, ConnectionManagerConfig, MultiplexedConnection};
use redis::caching::CacheConfig;
use redis::{AsyncCommands, AsyncConnectionConfig, PushInfo, PushKind, RedisResult, Value};

use super::modern;
use crate::clients::redis_rs;
use crate::wire::PATIENCE;
use crate::world::LOST;

/// What has been pushed to a connection, in order.
#[derive(Clone, Default)]
struct Pushes(Arc<Mutex<Vec<PushInfo>>>);

impl Pushes {
    /// The messages so far.
    fn messages(&self) -> Vec<String> {
        let pushes = self.0.lock().expect("nobody panics with it");
        let messages = pushes.iter().filter(|push| push.kind == PushKind::Message);
        messages
            .map(|push| match push.data.last() {
                Some(Value::BulkString(bytes)) => String::from_utf8_lossy(bytes).into_owned(),
                other => panic!("not a message: {other:?}"),
            })
            .collect()
    }
}

#[test]
fn redis_rs_connection_manager_shares_caches_subscribes_and_comes_back() {
    let mut world = modern();
    world.announce(LOST);
    let pushes = Pushes::default();
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().expect("a runtime");
    let (manager, other) = runtime.block_on(async {
        let client = redis_rs(&world, "?protocol=resp3");
        let seen = pushes.clone();
        let config = ConnectionManagerConfig::new()
            .set_push_sender(move |push| {
                seen.0.lock().expect("nobody panics with it").push(push);
                RedisResult::Ok(())
            })
            .set_automatic_resubscription()
            .set_cache_config(CacheConfig::new())
            .set_response_timeout(Some(PATIENCE))
            .set_max_delay(Duration::from_millis(300))
            .set_number_of_retries(30);
        let manager = ConnectionManager::new_with_config(client.clone(), config).await.expect("connects");
        let patient = AsyncConnectionConfig::new().set_response_timeout(Some(PATIENCE));
        let other = client.get_multiplexed_async_connection_with_config(&patient).await.expect("connects");
        share(&manager).await.expect("no error");
        cache(&manager, &other).await.expect("no error");
        subscribe(&manager, &other, &pushes).await.expect("no error");
        (manager, other)
    });
    world.redis.kill();
    runtime.block_on(async {
        let mut manager = manager.clone();
        let lost: RedisResult<i64> = manager.incr("rs:n", 1).await;
        assert!(lost.is_err(), "{lost:?} without a Redis");
    });
    world.redis.resume();
    runtime.block_on(comes_back(manager, other, &pushes));
}

/// Fifty tasks on one connection, each with replies and transactions of its own.
async fn share(manager: &ConnectionManager) -> RedisResult<()> {
    let tasks: Vec<_> = (0..50)
        .map(|task| {
            let mut c = manager.clone();
            tokio::spawn(async move {
                for n in 0..20 {
                    let token = format!("{task}:{n}");
                    let got: (i64, String) = redis::pipe()
                        .atomic()
                        .incr(format!("rs:{task}"), 1)
                        .cmd("ECHO")
                        .arg(&token)
                        .query_async(&mut c)
                        .await?;
                    assert_eq!(got, (n + 1, token));
                }
                RedisResult::Ok(())
            })
        })
        .collect();
    for task in tasks {
        task.await.expect("no panic")?;
    }
    Ok(())
}

/// What has been read is kept until another connection changes it.
async fn cache(manager: &ConnectionManager, other: &MultiplexedConnection) -> RedisResult<()> {
    let (mut manager, mut other) = (manager.clone(), other.clone());
    let () = other.set("rs:cached", 0).await?;
    for _ in 0..100 {
        assert_eq!(manager.get::<_, i64>("rs:cached").await?, 0);
    }
    let statistics = manager.get_cache_statistics().expect("it has a cache");
    assert!(statistics.hit >= 90, "{statistics:?}");
    for n in 1..20 {
        let () = other.set("rs:cached", n).await?;
        let deadline = Instant::now() + PATIENCE;
        while manager.get::<_, i64>("rs:cached").await? != n {
            assert!(Instant::now() < deadline, "{n} is not seen");
            tokio::time::sleep(Duration::from_millis(1)).await;
        }
    }
    Ok(())
}

/// Messages come in order, between the replies of the same connection.
async fn subscribe(
    manager: &ConnectionManager,
    other: &MultiplexedConnection,
    pushes: &Pushes,
) -> RedisResult<()> {
    let (mut manager, mut other) = (manager.clone(), other.clone());
    manager.subscribe("rs:news").await?;
    for n in 0..100 {
        assert_eq!(other.publish::<_, _, i64>("rs:news", n).await?, 1);
        assert_eq!(manager.exists::<_, i64>(format!("rs:none{n}")).await?, 0);
    }
    let deadline = Instant::now() + PATIENCE;
    while pushes.messages().len() < 100 {
        assert!(Instant::now() < deadline, "only {:?}", pushes.messages());
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
    assert!(pushes.messages().iter().map(String::as_str).eq((0..100).map(|n| n.to_string())));
    Ok(())
}

/// Redis is there again: both connections work, and the subscription has been renewed.
async fn comes_back(mut manager: ConnectionManager, mut other: MultiplexedConnection, pushes: &Pushes) {
    let deadline = Instant::now() + PATIENCE;
    let mut last = String::new();
    while !pushes.messages().contains(&"again".to_owned()) {
        assert!(Instant::now() < deadline, "no message reaches it any more: {last}");
        last = format!("{:?}", other.publish::<_, _, i64>("rs:news", "again").await);
        last.push_str(&format!(" {:?}", manager.set::<_, _, ()>("rs:back", 1).await));
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
    assert_eq!(manager.get::<_, i64>("rs:back").await.expect("it is back"), 1);
    assert_eq!(other.get::<_, i64>("rs:back").await.expect("it is back"), 1);
}
