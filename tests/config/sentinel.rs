//! Databases that sentinels lead: what is read, and what can be wrong, for the golden file.

use respgate::io::{Location, Sentinels};

use crate::golden::{CASE, Case, assert_said};
use crate::world::{FINE, World};

const EXAMPLE: &str = include_str!("../../config/sentinel.toml");
const ADDRESS: &str = "address = \"127.0.0.1:6379\"";

const CASES: &[Case] = &[
    Case {
        claim: "three sentinels in the place of an address",
        edits: &[(ADDRESS, "sentinel = { master = \"orders\", addresses = [\"a:1\", \"b:1\", \"c:1\"] }")],
        ..CASE
    },
    Case {
        claim: "a section of replicas misses its keys, and its lag is within bounds",
        edits: &[(
            ADDRESS,
            "address = \"127.0.0.1:6379\"\n[database.replicas]\nlag_max_ms = 4999\nlag_max_bytes = 1",
        )],
        ..CASE
    },
    Case {
        claim: "who is to read from replicas needs a database that has some",
        edits: &[("redis_user = \"app\"", "redis_user = \"app\"\nread_from = \"prefer-replica\"")],
        ..CASE
    },
    Case {
        claim: "the replicas of a cluster are not read from, and there are three words for where to read",
        edits: &[
            (
                ADDRESS,
                "replicas = { redis_user = \"r\", redis_password_file = \"app.password\" }\n[database.cluster]\n\
                 seeds = \"a:1\"\nredis_user = \"topology\"\nredis_password_file = \"app.password\"",
            ),
            ("redis_user = \"app\"", "redis_user = \"app\"\nread_from = \"any\""),
        ],
        ..CASE
    },
    Case {
        claim: "fewer than three sentinels are a warning",
        edits: &[(ADDRESS, "sentinel = { master = \"orders\", addresses = \"a:1\" }")],
        ..CASE
    },
    Case {
        claim: "either an address or sentinels, and these lead to a master",
        edits: &[(
            ADDRESS,
            "address = \"127.0.0.1:6379\"\nrequire_master = false\n[database.sentinel]\nmaster = \"orders\"\n\
             addresses = [\"a:1\", \"b:1\", \"c:1\"]",
        )],
        ..CASE
    },
    Case {
        claim: "a section of sentinels misses its keys",
        edits: &[(ADDRESS, "[database.sentinel]\nsentinels = 1")],
        ..CASE
    },
    Case {
        claim: "what sentinels cannot be is said at each key",
        edits: &[(
            ADDRESS,
            "[database.sentinel]\nmaster = \"two words\"\nquorum = 2\nredis_user = \"gateway\"\n\
             addresses = [\"a:1\", \"A:1\", \"unix:/s\", \"b\", \"c:0\"]\ntls = {}",
        )],
        ..CASE
    },
    Case {
        claim: "half of the sentinels are no quorum",
        edits: &[(
            ADDRESS,
            "sentinel = { master = \"orders\", addresses = [\"a:1\", \"b:1\", \"c:1\", \"d:1\"], quorum = 2 }",
        )],
        ..CASE
    },
    Case {
        claim: "more than all of the sentinels are no quorum",
        edits: &[(
            ADDRESS,
            "sentinel = { master = \"orders\", addresses = [\"a:1\", \"b:1\", \"c:1\"], quorum = 4 }",
        )],
        ..CASE
    },
];

#[test]
fn everything_wrong_with_sentinels_is_said_as_in_the_golden_file() {
    assert_said("sentinel.txt", CASES);
}

fn sentinels(text: &str) -> Sentinels {
    let world = World::new();
    world.write("sentinel.password", "between us\n");
    let loaded = world.load(text).unwrap();
    assert_eq!(loaded.warnings.list, []);
    let database = &loaded.settings.databases[0];
    assert!(database.requires_master);
    match &database.location {
        Location::Sentinels(sentinels) => sentinels.clone(),
        other => panic!("{other}"),
    }
}

#[test]
fn the_example_asks_three_sentinels_of_which_two_have_to_agree() {
    let sentinels = sentinels(EXAMPLE);
    assert_eq!((sentinels.master.as_str(), sentinels.addresses.len(), sentinels.quorum), ("mymaster", 3, 2));
    assert_eq!(sentinels.redis_user.as_deref(), Some("gateway"));
    assert_eq!(sentinels.password.unwrap().expose(), b"between us");
    // Each is held to its own host.
    assert_eq!(sentinels.tls.unwrap().server_name, None);
}

#[test]
fn more_than_half_of_the_sentinels_have_to_agree() {
    for (count, expected) in [(3, 2), (4, 3), (5, 3), (16, 9)] {
        let addresses: Vec<String> = (0..count).map(|it| format!("\"s{it}:26379\"")).collect();
        let section = format!("sentinel = {{ master = \"m\", addresses = [{}] }}", addresses.join(", "));
        assert_eq!(sentinels(&FINE.replace(ADDRESS, &section)).quorum, expected, "of {count}");
    }
}

#[test]
fn a_user_reads_from_replicas_that_are_ten_seconds_behind_at_most() {
    let world = World::new();
    world.write("replication.password", "for the offsets\n");
    let section =
        "replicas = { redis_user = \"replication\", redis_password_file = \"replication.password\" }";
    let text = FINE.replace(ADDRESS, &format!("{ADDRESS}\n{section}"));
    let text = text.replace("redis_user = \"app\"", "redis_user = \"app\"\nread_from = \"replica\"");
    let loaded = world.load(&text).unwrap();
    let replicas = loaded.settings.databases[0].replicas.as_ref().unwrap();
    assert_eq!(replicas.service.redis_user, "replication");
    assert_eq!(replicas.lag_max.as_secs(), 10);
    assert_eq!(loaded.settings.users.users()[0].read_from, respgate::identity::ReadFrom::Replica);
}
