//! Every type of RESP3, in both protocols; and those that no client may send.

use crate::world::at_both_doors;

#[test]
fn every_type_passes_unharmed() {
    at_both_doors(|door| {
        let mut root = door.client("root");
        let mut direct_replies = Vec::new();
        for proto in [2, 3] {
            root.ask(&format!("HELLO {proto}"));
            for kind in [
                "attrib", "bignum", "verbatim", "double", "set", "map", "true", "false", "null", "integer",
                "string", "array",
            ] {
                // The reply to what is written behind it shows that nothing is left over.
                root.write(
                    &[crate::resp::typed(&format!("DEBUG PROTOCOL {kind}")), crate::resp::typed("ECHO end")]
                        .concat(),
                );
                let mut reply = root.read().to_string();
                if kind == "attrib" && proto == 3 {
                    // The attribute, and what it is about.
                    assert!(reply.contains("$key-popularity"), "{reply}");
                    reply = root.read().to_string();
                }
                direct_replies.push(format!("{kind}: {reply}"));
                assert_eq!(root.read().to_string(), "$end", "after {kind} in RESP{proto}");
            }
        }
        let expected = [
            "attrib: $Some real reply following the attribute",
            "bignum: $1234567999999999999999999999999999999",
            "verbatim: $This is a verbatim\nstring",
            "double: $3.141",
            "set: [:0, :1, :2]",
            "map: [:0, :0, :1, :1, :2, :0]",
            "true: :1",
            "false: :0",
            "null: nil",
            "integer: :12345",
            "string: $Hello World",
            "array: [:0, :1, :2]",
            "attrib: $Some real reply following the attribute",
            "bignum: (1234567999999999999999999999999999999",
            "verbatim: =txt:This is a verbatim\nstring",
            "double: ,3.141",
            "set: ~[:0, :1, :2]",
            "map: {:0: #f, :1: #t, :2: #f}",
            "true: #t",
            "false: #f",
            "null: nil",
            "integer: :12345",
            "string: $Hello World",
            "array: [:0, :1, :2]",
        ];
        assert_eq!(direct_replies, expected);
    });
}

#[test]
fn streamed_types_are_no_requests() {
    at_both_doors(|door| {
        for (bytes, error) in [
            (&b"*?\r\n$4\r\nPING\r\n.\r\n"[..], "invalid multibulk length"),
            (b"*1\r\n$?\r\n;4\r\nPING\r\n;0\r\n", "invalid bulk length"),
        ] {
            let mut client = door.client("app");
            client.write(bytes);
            assert_eq!(client.read().to_string(), format!("-ERR Protocol error: {error}"));
            client.expect_end();
        }
    });
}
