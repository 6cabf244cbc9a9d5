//! Client-side caching: CLIENT TRACKING in all its forms.

use crate::wire::Client;
use crate::world::{Door, World, at_both_doors};

fn resp3(door: &Door<'_>) -> Client {
    let mut client = door.client("app");
    client.ask("HELLO 3");
    client
}

/// Nothing has been pushed: the next to come is the answer.
fn nothing_came(client: &mut Client) {
    client.talk(&[("ECHO nothing", "$nothing")]);
}

fn id(client: &mut Client) -> String {
    client.ask("CLIENT ID").trim_start_matches(':').to_owned()
}

fn invalidated(client: &mut Client, keys: &str) {
    assert_eq!(client.read().to_string(), format!(">[$invalidate, {keys}]"));
}

#[test]
fn a_key_that_was_read_is_invalidated_once() {
    at_both_doors(|door| {
        let (mut client, mut other) = (resp3(door), door.client("ops"));
        client.talk(&[("SET k 1", "+OK"), ("CLIENT TRACKING ON", "+OK"), ("GET k", "$1")]);
        for round in 0..5 {
            other.talk(&[(&format!("SET k {round}"), "+OK"), ("SET k again", "+OK")]);
            invalidated(&mut client, "[$k]");
            nothing_came(&mut client);
            client.talk(&[("GET k", "$again")]);
        }
        other.talk(&[("FLUSHALL", "+OK")]);
        invalidated(&mut client, "nil");
        client.talk(&[("CLIENT TRACKING OFF", "+OK"), ("GET k", "nil")]);
        other.talk(&[("SET k 1", "+OK")]);
        nothing_came(&mut client);
    });
}

#[test]
fn invalidations_come_between_replies_and_never_inside_one() {
    at_both_doors(|door| {
        let (mut client, mut other) = (resp3(door), door.client("ops"));
        let value = "v".repeat(100_000);
        client.call(&["SET", "large", &value]);
        client.talk(&[("CLIENT TRACKING ON BCAST", "+OK")]);
        let mut pushes = 0;
        for round in 0..50 {
            other.send(&format!("SET k{round} v"));
            client.write(&[crate::resp::typed("GET large"), crate::resp::typed("ECHO end")].concat());
            let mut replies = 0;
            while replies < 2 {
                let got = client.read();
                match got.to_string() {
                    push if push.starts_with(">[$invalidate, ") => pushes += 1,
                    echo if replies == 1 => {
                        assert_eq!(echo, "$end");
                        replies += 1;
                    }
                    _ => {
                        assert_eq!(got.bytes(), value.as_bytes());
                        replies += 1;
                    }
                }
            }
            other.read();
        }
        while pushes < 50 {
            assert!(client.read().to_string().starts_with(">[$invalidate, [$k"));
            pushes += 1;
        }
        nothing_came(&mut client);
    });
}

#[test]
fn broadcasts_are_by_prefix() {
    at_both_doors(|door| {
        let (mut client, mut other) = (resp3(door), door.client("ops"));
        client.talk(&[("CLIENT TRACKING ON BCAST PREFIX user: PREFIX item:", "+OK")]);
        other.talk(&[("SET user:1 v", "+OK")]);
        invalidated(&mut client, "[$user:1]");
        other.talk(&[("SET none:1 v", "+OK"), ("SET item:7 v", "+OK")]);
        invalidated(&mut client, "[$item:7]");
        assert!(client.ask("CLIENT TRACKING ON BCAST PREFIX user:7").starts_with("-ERR Prefix "));
        assert!(client.ask("CLIENT TRACKING ON").starts_with("-ERR You can't switch BCAST mode"));
        let facts = client.read_after("CLIENT TRACKINGINFO");
        assert_eq!(facts.field("flags").map(|flags| flags.to_string()), Some("~[$on, $bcast]".to_owned()));
        let mut prefixes: Vec<String> =
            facts.field("prefixes").expect("told").items().iter().map(|prefix| prefix.to_string()).collect();
        prefixes.sort();
        assert_eq!(prefixes, ["$item:", "$user:"]);
        // Its own writes too, unless it says otherwise.
        client.send("SET user:2 v");
        let mut both = [client.read().to_string(), client.read().to_string()];
        both.sort();
        assert_eq!(both, ["+OK", ">[$invalidate, [$user:2]]"]);
        client.talk(&[
            ("CLIENT TRACKING OFF", "+OK"),
            ("CLIENT TRACKING ON BCAST PREFIX user: NOLOOP", "+OK"),
            ("SET user:3 v", "+OK"),
        ]);
        nothing_came(&mut client);
    });
}

#[test]
fn a_client_may_choose_what_is_tracked() {
    at_both_doors(|door| {
        let (mut client, mut other) = (resp3(door), door.client("ops"));
        client.talk(&[
            ("MSET a 1 b 1 c 1", "+OK"),
            (
                "CLIENT CACHING YES",
                "-ERR CLIENT CACHING can be called only when the client is in tracking mode with OPTIN or OPTOUT mode \
                 enabled",
            ),
            ("CLIENT TRACKING ON OPTIN", "+OK"),
            ("CLIENT CACHING YES", "+OK"),
            ("GET a", "$1"),
            ("GET b", "$1"),
        ]);
        other.talk(&[("MSET b 2 a 2", "+OK")]);
        invalidated(&mut client, "[$a]");
        nothing_came(&mut client);
        client.talk(&[
            ("CLIENT TRACKING OFF", "+OK"),
            ("CLIENT TRACKING ON OPTOUT NOLOOP", "+OK"),
            ("CLIENT CACHING NO", "+OK"),
            ("GET a", "$2"),
            ("GET b", "$2"),
            ("SET b mine", "+OK"),
        ]);
        nothing_came(&mut client);
        client.talk(&[("GET b", "$mine")]);
        other.talk(&[("MSET a 3 b 3", "+OK")]);
        invalidated(&mut client, "[$b]");
        nothing_came(&mut client);
        assert!(client.ask("CLIENT TRACKING ON OPTIN OPTOUT").starts_with("-ERR "));
        client.talk(&[
            ("CLIENT GETREDIR", ":0"),
            ("CLIENT TRACKING OFF", "+OK"),
            ("CLIENT GETREDIR", ":-1"),
            ("MULTI", "+OK"),
            ("CLIENT TRACKING ON", "+QUEUED"),
            ("GET a", "+QUEUED"),
            ("CLIENT GETREDIR", "+QUEUED"),
            ("EXEC", "[+OK, $3, :0]"),
        ]);
        other.talk(&[("SET a 4", "+OK")]);
        invalidated(&mut client, "[$a]");
    });
}

#[test]
fn invalidations_go_to_another_client_by_its_id() {
    at_both_doors(|door| {
        let mut other = door.client("ops");
        // Several, so that they are at more than one worker.
        for round in 0..4 {
            let (mut listener, mut client) = (door.client("app"), door.client("app"));
            let to = id(&mut listener);
            listener.talk(&[("SUBSCRIBE __redis__:invalidate", "[$subscribe, $__redis__:invalidate, :1]")]);
            client.talk(&[
                ("CLIENT GETREDIR", ":-1"),
                (&format!("CLIENT TRACKING ON REDIRECT {to}"), "+OK"),
                ("CLIENT GETREDIR", &format!(":{to}")),
                (&format!("SET k{round} v"), "+OK"),
                (&format!("GET k{round}"), "$v"),
            ]);
            let facts = client.read_after("CLIENT TRACKINGINFO");
            assert_eq!(facts.field("redirect").map(|to| to.to_string()), Some(format!(":{to}")));
            other.talk(&[(&format!("SET k{round} w"), "+OK")]);
            let message = format!("[$message, $__redis__:invalidate, [$k{round}]]");
            assert_eq!(listener.read().to_string(), message);
            client.talk(&[
                (&format!("GET k{round}"), "$w"),
                ("CLIENT TRACKING OFF", "+OK"),
                ("CLIENT GETREDIR", ":-1"),
            ]);
        }
    });
}

#[test]
fn a_client_is_told_that_the_one_it_redirected_to_has_gone() {
    at_both_doors(|door| {
        let mut other = door.client("ops");
        for _ in 0..4 {
            let (mut listener, mut client) = (resp3(door), resp3(door));
            let to = id(&mut listener);
            listener.talk(&[("SUBSCRIBE news", ">[$subscribe, $news, :1]")]);
            client.talk(&[
                (&format!("CLIENT TRACKING ON REDIRECT {to}"), "+OK"),
                ("SET k 1", "+OK"),
                ("GET k", "$1"),
            ]);
            other.talk(&[("SET k 2", "+OK")]);
            assert_eq!(listener.read().to_string(), ">[$invalidate, [$k]]");
            listener.finish_writing();
            listener.expect_end();
            client.talk(&[("GET k", "$2")]);
            other.talk(&[("SET k 3", "+OK")]);
            assert_eq!(client.read().to_string(), format!(">[$tracking-redir-broken, :{to}]"));
            let facts = client.read_after("CLIENT TRACKINGINFO");
            assert_eq!(
                facts.field("flags").map(|flags| flags.to_string()),
                Some("~[$on, $broken_redirect]".to_owned())
            );
        }
    });
}

#[test]
fn mistakes_in_tracking_are_answered_in_redis_words() {
    at_both_doors(|door| {
        let mut client = door.client("app");
        let none = "-ERR The client ID you want redirect to does not exist";
        client.talk(&[
            ("CLIENT TRACKING ON REDIRECT 999999", none),
            ("CLIENT TRACKING ON REDIRECT 0", none),
            ("CLIENT TRACKING ON REDIRECT -1", none),
            ("CLIENT TRACKING OFF REDIRECT 999999", none),
            ("CLIENT TRACKING ON REDIRECT x", "-ERR value is not an integer or out of range"),
            ("CLIENT TRACKING ON REDIRECT +1", "-ERR value is not an integer or out of range"),
            ("CLIENT TRACKING ON REDIRECT", "-ERR syntax error"),
            ("CLIENT TRACKING MAYBE", "-ERR syntax error"),
            ("CLIENT TRACKING ON PREFIX a", "-ERR PREFIX option requires BCAST mode to be enabled"),
            ("CLIENT GETREDIR", ":-1"),
        ]);
    });
}

/// An id of another Redis user's client would let one user send to another.
#[test]
fn invalidations_go_to_no_client_of_another_user_and_to_none_without_its_own_connection() {
    let world = World::start();
    let none = "-ERR The client ID you want redirect to does not exist";
    for _ in 0..2 {
        let (mut stranger, mut idle, mut client) =
            (world.client("ops"), world.client("app"), world.client("app"));
        stranger.talk(&[("SUBSCRIBE __redis__:invalidate", "[$subscribe, $__redis__:invalidate, :1]")]);
        idle.talk(&[("PING", "+PONG")]);
        // A RESP2 subscriber may not ask for its id: it is the one before the next client's.
        let ids: Vec<u64> =
            [&mut idle, &mut client].map(|client| id(client).parse().expect("a number")).to_vec();
        for to in (1..=ids.iter().max().copied().unwrap_or_default() + 1).filter(|to| *to != ids[1]) {
            client.talk(&[(&format!("CLIENT TRACKING ON REDIRECT {to}"), none)]);
        }
    }
}

#[test]
fn the_protocol_changes_up_and_down_while_keys_are_tracked_and_channels_heard() {
    at_both_doors(|door| {
        let (mut client, mut other) = (resp3(door), door.client("ops"));
        client.talk(&[("SET k 1", "+OK"), ("CLIENT TRACKING ON", "+OK"), ("GET k", "$1")]);
        for _ in 0..2 {
            assert!(client.ask("HELLO 2").contains("$proto, :2"));
            other.talk(&[("SET k 2", "+OK")]);
            nothing_came(&mut client);
            assert!(client.ask("HELLO 3").contains("$proto: :3"));
            client.talk(&[("GET k", "$2"), ("HGETALL none", "{}")]);
            other.talk(&[("SET k 2", "+OK")]);
            invalidated(&mut client, "[$k]");
            client.talk(&[("GET k", "$2")]);
        }
        client.talk(&[("CLIENT TRACKING OFF", "+OK"), ("SUBSCRIBE news", ">[$subscribe, $news, :1]")]);
        other.talk(&[("PUBLISH news one", ":1")]);
        assert_eq!(client.read().to_string(), ">[$message, $news, $one]");
        assert!(client.ask("HELLO 2").contains("$proto, :2"));
        other.talk(&[("PUBLISH news two", ":1")]);
        assert_eq!(client.read().to_string(), "[$message, $news, $two]");
        assert!(client.ask("HELLO 3").starts_with("-ERR Can't execute 'hello'"));
        client.talk(&[
            ("RESET", "+RESET"),
            ("AUTH app canary-app", "+OK"),
            ("GET k", "$2"),
            ("CLIENT GETREDIR", ":-1"),
        ]);
        other.talk(&[("PUBLISH news three", ":0"), ("SET k 3", "+OK")]);
        nothing_came(&mut client);
    });
}

#[test]
fn nothing_overtakes_a_redirect_whose_client_is_being_looked_for() {
    at_both_doors(|door| {
        let mut client = door.client("app");
        client.pipeline(&[
            (
                "CLIENT TRACKING ON REDIRECT 999999999",
                "-ERR The client ID you want redirect to does not exist",
            ),
            ("XLEN none", ":0"),
            ("CLIENT GETREDIR", ":-1"),
        ]);
    });
}

#[test]
fn client_caching_is_for_the_next_command_whoever_answers_that() {
    at_both_doors(|door| {
        for next in ["HELLO 3", "HELLO 9", "READONLY x", "AUTH nobody wrong", "CLIENT MAINT_NOTIFICATIONS ON"]
        {
            let (mut client, mut other) = (resp3(door), door.client("ops"));
            client.talk(&[("CLIENT TRACKING ON OPTIN", "+OK"), ("CLIENT CACHING YES", "+OK")]);
            assert!(client.ask("CLIENT TRACKINGINFO").contains("caching-yes"));
            client.ask(next);
            let info = client.ask("CLIENT TRACKINGINFO");
            assert!(!info.contains("caching-yes"), "after {next}: {info}");
            client.ask("GET k");
            other.talk(&[("SET k 1", "+OK")]);
            nothing_came(&mut client);
        }
        // The container's others leave it as it is.
        let (mut client, mut other) = (resp3(door), door.client("ops"));
        client.talk(&[("CLIENT TRACKING ON OPTIN", "+OK"), ("CLIENT CACHING YES", "+OK")]);
        client.talk(&[("CLIENT SETNAME me", "+OK"), ("CLIENT GETNAME", "$me"), ("GET k", "$1")]);
        other.talk(&[("SET k 2", "+OK")]);
        invalidated(&mut client, "[$k]");
    });
}
