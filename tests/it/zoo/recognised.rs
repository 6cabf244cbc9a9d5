//! The other half of the zoo: certificates that somebody is recognised by, or is
//! not, in other ways than by a whole subject: alternative names of each type,
//! digests, serial numbers, attributes, the CA above, and a listener's gate.
//!
//! The listeners trust `zoo.root` and, with another key, `zoo.twin` of the same
//! name. `plain` takes everybody, `san_cn` those who are called `gate.example.com`,
//! `full_subject` those whose subject is `CN=gate,O=Acme`, or has `CN=wide` in it.

use respgate::identity::Fingerprint;

use super::authorities::Zoo;
use super::names::San::{Dns, Email, Ip, Raw, Uri};
use super::table::Row;
use super::table::Verdict::{Is, Nobody};
use super::table::row;

/// Who there is: a name, and the keys of the section `[[user]]`.
pub(super) fn users(zoo: &Zoo) -> Vec<(&'static str, String)> {
    let root = Fingerprint::of(&zoo.root.der);
    let middle = Fingerprint::of(&zoo.middle.key.public);
    let (known, known_key) = (Fingerprint::of(&zoo.known), Fingerprint::of(&zoo.known_key.public));
    let line = |line: &str| format!("certificate_subject_line = '{line}'");
    vec![
        ("app", line("CN=app,O=Acme")),
        ("ops", line("CN=ops,O=Acme")),
        ("of-root", format!("{}\nissuer = 'root.crt'", line("CN=bound,O=Acme"))),
        ("of-root-too", format!("{}\nissuer = '{root}'", line("CN=one of two,O=Acme"))),
        ("of-twin-too", format!("{}\nissuer = 'twin.crt'", line("CN=one of two,O=Acme"))),
        ("of-middle", format!("{}\nissuer = '{middle}'", line("CN=low,O=Acme"))),
        ("dns", "san_dns = 'app1.example.com'".to_owned()),
        ("dns-star", "san_dns = '*.example.org'".to_owned()),
        ("dns-gone", "san_dns = 'gone.example.com'\nenabled = false".to_owned()),
        ("spiffe", "san_uri = 'spiffe://prod/a'".to_owned()),
        ("uri", "san_uri = 'https://example.com/app'".to_owned()),
        ("email", "san_email = 'App@example.com'".to_owned()),
        ("ip", "san_ip = '10.0.0.7'".to_owned()),
        ("by-digest", format!("certificate_sha256 = '{known}'")),
        ("by-key", format!("spki_sha256 = '{known_key}'")),
        ("by-serial", "issuer_serial = 'CN=Zoo CA,O=Acme:5EC0'\nissuer = 'root.crt'".to_owned()),
        ("by-unit", "attributes = { OU = 'payments' }".to_owned()),
        ("folded", "certificate_subject_line = 'CN=Folded,O=Acme Corp'\nignore_case = true".to_owned()),
        ("partly", "certificate_subject_line = [{ line = 'CN=partly', partial = true }]".to_owned()),
        (
            "nats",
            "certificate_subject_line = [{ line = 'CN=Alice,CN=Alice,O=NATS', partial = true }]".to_owned(),
        ),
        (
            "pasted",
            "certificate_subject_line = [{ line = 'C = CA, O = Acme, CN = pasted', \
             certificate_subject_order = 'certificate' }]"
                .to_owned(),
        ),
        (
            "structured",
            "certificate_subject_line = [{ subject = { CN = 'structured', O = 'Acme, Inc.' }, \
             order = ['CN', 'O'] }]"
                .to_owned(),
        ),
        ("client", line("CN=client,O=Acme")),
        ("gate", line("CN=gate,O=Acme")),
        ("gate-example", line("CN=gate.example.com")),
        ("wide", line("CN=wide,OU=a,O=Acme")),
    ]
}

const STRANGER: &str = "CN=stranger";

pub(super) const ROWS: &[Row] = &[
    // The CA above (T-55, T-56).
    row("unbound", "T-56: of either CA", Is("app"), |zoo| zoo.root.leaf("CN=app,O=Acme")),
    row("unbound-twin", "T-56: of the other", Is("app"), |zoo| zoo.twin.leaf("CN=app,O=Acme")),
    row("bound", "of the CA that its user is bound to", Is("of-root"), |zoo| {
        zoo.root.leaf("CN=bound,O=Acme")
    }),
    row("bound-twin", "T-55: of another CA of its name", Nobody("issuer_scope"), |zoo| {
        zoo.twin.leaf("CN=bound,O=Acme")
    }),
    row("bound-below", "below a CA below the one", Is("of-root"), |zoo| zoo.low.leaf("CN=bound,O=Acme")),
    row("two-root", "one subject, two users: by one CA", Is("of-root-too"), |zoo| {
        zoo.root.leaf("CN=one of two,O=Acme")
    }),
    row("two-twin", "one subject, two users: by the other", Is("of-twin-too"), |zoo| {
        zoo.twin.leaf("CN=one of two,O=Acme")
    }),
    row("bound-middle", "bound to a CA between", Is("of-middle"), |zoo| zoo.middle.leaf("CN=low,O=Acme")),
    row("bound-above", "issued above that", Nobody("issuer_scope"), |zoo| zoo.root.leaf("CN=low,O=Acme")),
    row("shown-only", "with that CA shown beside it", Nobody("issuer_scope"), |zoo| {
        zoo.root.leaf("CN=low,O=Acme").beside([zoo.middle.der.clone()])
    }),
    // Host names.
    row("dns", "its host name", Is("dns"), |zoo| zoo.root.leaf(STRANGER).names(&[Dns("app1.example.com")])),
    row("dns-case", "in upper case", Is("dns"), |zoo| {
        zoo.root.leaf(STRANGER).names(&[Dns("APP1.Example.COM")])
    }),
    row("dns-no-subject", "T-49: without a subject", Is("dns"), |zoo| {
        zoo.root.leaf(STRANGER).only_names(&[Dns("app1.example.com")])
    }),
    row("dns-among", "among others", Is("dns"), |zoo| {
        zoo.root.leaf(STRANGER).names(&[Dns("a.example"), Ip([1, 2, 3, 4]), Dns("app1.example.com")])
    }),
    row("dns-again", "twice", Is("dns"), |zoo| {
        zoo.root.leaf(STRANGER).names(&[Dns("app1.example.com"), Dns("app1.example.com")])
    }),
    row("dns-wildcard", "T-59: a wildcard over it", Nobody("no_mapping"), |zoo| {
        zoo.root.leaf(STRANGER).names(&[Dns("*.example.com")])
    }),
    row("dns-star", "the star that a user is", Is("dns-star"), |zoo| {
        zoo.root.leaf(STRANGER).names(&[Dns("*.example.org")])
    }),
    row("dns-under-star", "a name under that", Nobody("no_mapping"), |zoo| {
        zoo.root.leaf(STRANGER).names(&[Dns("a.example.org")])
    }),
    row("dns-dot", "with a dot at its end", Nobody("no_mapping"), |zoo| {
        zoo.root.leaf(STRANGER).names(&[Dns("app1.example.com.")])
    }),
    row("dns-joined", "two names in one", Nobody("no_mapping"), |zoo| {
        zoo.root.leaf(STRANGER).names(&[Dns("a.example, DNS:app1.example.com")])
    }),
    row("dns-nul", "a NUL after it", Nobody("san_control_char"), |zoo| {
        zoo.root.leaf(STRANGER).names(&[Dns("app1.example.com\0.evil.test")])
    }),
    row("dns-nul-beside", "a NUL in another name", Nobody("san_control_char"), |zoo| {
        zoo.root.leaf(STRANGER).names(&[Dns("app1.example.com"), Dns("evil\0")])
    }),
    row("dns-not-ascii", "a letter beyond ASCII", Nobody("san_control_char"), |zoo| {
        zoo.root.leaf(STRANGER).names(&[Dns("\u{430}pp1.example.com")])
    }),
    row("dns-as-cn", "as its CN", Nobody("no_mapping"), |zoo| zoo.root.leaf("CN=app1.example.com")),
    row("dns-as-email", "as a mailbox", Nobody("no_mapping"), |zoo| {
        zoo.root.leaf(STRANGER).names(&[Email("app1.example.com")])
    }),
    row("dns-as-uri", "as a URI", Nobody("no_mapping"), |zoo| {
        zoo.root.leaf(STRANGER).names(&[Uri("app1.example.com")])
    }),
    row("dns-disabled", "of a user that is disabled", Nobody("user_disabled"), |zoo| {
        zoo.root.leaf(STRANGER).names(&[Dns("gone.example.com")])
    }),
    row("dns-other-user", "another user's host name", Nobody("ambiguous_identity"), |zoo| {
        zoo.root.leaf("CN=app,O=Acme").names(&[Dns("app1.example.com")])
    }),
    row("dns-two-users", "host names of two users", Nobody("ambiguous_identity"), |zoo| {
        zoo.root.leaf(STRANGER).names(&[Dns("app1.example.com"), Dns("*.example.org")])
    }),
    row("dns-gone-beside", "a user's, and a disabled one's", Nobody("ambiguous_identity"), |zoo| {
        zoo.root.leaf(STRANGER).names(&[Dns("app1.example.com"), Dns("gone.example.com")])
    }),
    // URIs and SPIFFE IDs.
    row("spiffe", "its SPIFFE ID", Is("spiffe"), |zoo| {
        zoo.root.leaf(STRANGER).names(&[Uri("spiffe://prod/a")])
    }),
    row("spiffe-with-dns", "and a host name of nobody's", Is("spiffe"), |zoo| {
        zoo.root.leaf(STRANGER).names(&[Uri("spiffe://prod/a"), Dns("a.example")])
    }),
    row("spiffe-as-email", "T-57: as a mailbox", Nobody("no_mapping"), |zoo| {
        zoo.root.leaf(STRANGER).names(&[Email("spiffe://prod/a")])
    }),
    row("spiffe-as-dns", "as a host name", Nobody("no_mapping"), |zoo| {
        zoo.root.leaf(STRANGER).names(&[Dns("spiffe://prod/a")])
    }),
    row("spiffe-and-uri", "T-58: and another URI", Nobody("spiffe_multiple_uri"), |zoo| {
        zoo.root.leaf(STRANGER).names(&[Uri("spiffe://prod/a"), Uri("https://example.com/app")])
    }),
    row("spiffe-twice", "T-58: and another SPIFFE ID", Nobody("spiffe_multiple_uri"), |zoo| {
        zoo.root.leaf(STRANGER).names(&[Uri("spiffe://prod/a"), Uri("spiffe://prod/b")])
    }),
    row("spiffe-port", "a port", Nobody("spiffe_invalid"), |zoo| {
        zoo.root.leaf(STRANGER).names(&[Uri("spiffe://prod:443/a")])
    }),
    row("spiffe-user", "a user in it", Nobody("spiffe_invalid"), |zoo| {
        zoo.root.leaf(STRANGER).names(&[Uri("spiffe://evil@prod/a")])
    }),
    row("spiffe-query", "a query", Nobody("spiffe_invalid"), |zoo| {
        zoo.root.leaf(STRANGER).names(&[Uri("spiffe://prod/a?x")])
    }),
    row("spiffe-root", "a trust domain alone", Nobody("spiffe_invalid"), |zoo| {
        zoo.root.leaf(STRANGER).names(&[Uri("spiffe://prod")])
    }),
    row("spiffe-dots", "a path that goes up", Nobody("spiffe_invalid"), |zoo| {
        zoo.root.leaf(STRANGER).names(&[Uri("spiffe://prod/b/../a")])
    }),
    row("spiffe-case", "its scheme in upper case", Nobody("spiffe_invalid"), |zoo| {
        zoo.root.leaf(STRANGER).names(&[Uri("SPIFFE://prod/a")])
    }),
    row("spiffe-below", "a path below it", Nobody("no_mapping"), |zoo| {
        zoo.root.leaf(STRANGER).names(&[Uri("spiffe://prod/a/b")])
    }),
    row("uri", "its URI", Is("uri"), |zoo| zoo.root.leaf(STRANGER).names(&[Uri("https://example.com/app")])),
    row("uri-case", "its URI in other case", Nobody("no_mapping"), |zoo| {
        zoo.root.leaf(STRANGER).names(&[Uri("https://EXAMPLE.com/app")])
    }),
    // Mailboxes and addresses.
    row("email", "its mailbox", Is("email"), |zoo| {
        zoo.root.leaf(STRANGER).names(&[Email("App@example.com")])
    }),
    row("email-host-case", "its host in upper case", Is("email"), |zoo| {
        zoo.root.leaf(STRANGER).names(&[Email("App@EXAMPLE.com")])
    }),
    row("email-case", "its name in lower case", Nobody("no_mapping"), |zoo| {
        zoo.root.leaf(STRANGER).names(&[Email("app@example.com")])
    }),
    row("email-at", "two @", Nobody("no_mapping"), |zoo| {
        zoo.root.leaf(STRANGER).names(&[Email("App@example.com@evil.test")])
    }),
    row("ip", "its address", Is("ip"), |zoo| zoo.root.leaf(STRANGER).names(&[Ip([10, 0, 0, 7])])),
    row("ip-as-dns", "its address as a host name", Nobody("no_mapping"), |zoo| {
        zoo.root.leaf(STRANGER).names(&[Dns("10.0.0.7")])
    }),
    row("ip-mapped", "its address in IPv6", Nobody("no_mapping"), |zoo| {
        let mapped = [0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0xff, 0xff, 10, 0, 0, 7];
        zoo.root.leaf(STRANGER).names(&[Raw(0x87, &mapped)])
    }),
    row("ip-mask", "its address with a mask", Nobody("san_control_char"), |zoo| {
        zoo.root.leaf(STRANGER).names(&[Raw(0x87, &[10, 0, 0, 7, 255, 255, 255, 255])])
    }),
    row("names-1024", "as many names as are read", Is("dns"), |zoo| {
        let mut names: Vec<_> = (0..1023).map(|_| Ip([9, 9, 9, 9])).collect();
        names.push(Dns("app1.example.com"));
        zoo.root.leaf(STRANGER).names(&names)
    }),
    row("names-1025", "one more", Nobody("bad_certificate"), |zoo| {
        let mut names: Vec<_> = (0..1024).map(|_| Ip([9, 9, 9, 9])).collect();
        names.push(Dns("app1.example.com"));
        zoo.root.leaf(STRANGER).names(&names)
    }),
    // Digests and serial numbers.
    row("digest", "the very certificate", Is("by-digest"), |zoo| zoo.root.leaf(STRANGER).exactly(&zoo.known)),
    row("digest-again", "one that says the same", Nobody("no_mapping"), |zoo| zoo.root.leaf("CN=known")),
    row("key", "the very key", Is("by-key"), |zoo| zoo.root.leaf(STRANGER).for_key(&zoo.known_key)),
    row("key-twin", "the very key, by the other CA", Is("by-key"), |zoo| {
        zoo.twin.leaf(STRANGER).for_key(&zoo.known_key)
    }),
    row("serial", "the CA and the number", Is("by-serial"), |zoo| {
        zoo.root.leaf(STRANGER).serial(&[0x5e, 0xc0])
    }),
    row("serial-other", "another number", Nobody("no_mapping"), |zoo| {
        zoo.root.leaf(STRANGER).serial(&[0x5e, 0xc1])
    }),
    row("serial-twin", "the number, of a CA of that name", Nobody("issuer_scope"), |zoo| {
        zoo.twin.leaf(STRANGER).serial(&[0x5e, 0xc0])
    }),
    // Attributes, and lines that are compared in another way.
    row("unit", "its unit", Is("by-unit"), |zoo| zoo.root.leaf("CN=any,OU=payments,O=Acme")),
    row("two-units", "and another unit", Nobody("no_mapping"), |zoo| {
        zoo.root.leaf("CN=any,OU=payments,OU=evil,O=Acme")
    }),
    row("unit-in-value", "the unit within another", Nobody("no_mapping"), |zoo| {
        zoo.root.leaf("CN=any,OU=x+OU=payments,O=Acme")
    }),
    row("folded", "T-08: upper case where it is ignored", Is("folded"), |zoo| {
        zoo.root.leaf("CN=FOLDED,O=ACME CORP")
    }),
    row("folded-spaces", "T-38: spaces where they are ignored", Is("folded"), |zoo| {
        zoo.root.leaf("CN=folded ,O=Acme  Corp")
    }),
    row("folded-cyrillic", "a letter that looks alike", Nobody("no_mapping"), |zoo| {
        zoo.root.leaf("CN=f\u{43e}lded,O=Acme Corp")
    }),
    row("partly", "a CN, and more", Is("partly"), |zoo| zoo.root.leaf("CN=partly,OU=any,O=Any")),
    row("partly-two", "that CN, and another", Nobody("no_mapping"), |zoo| {
        zoo.root.leaf("CN=partly,CN=evil,O=Any")
    }),
    row("overlap", "that CN, and another user's unit", Nobody("ambiguous_identity"), |zoo| {
        zoo.root.leaf("CN=partly,OU=payments,O=Any")
    }),
    row("counted", "T-31: the same CN twice", Is("nats"), |zoo| zoo.root.leaf("CN=Alice,CN=Alice,O=NATS")),
    row("counted-once", "T-31: once", Nobody("no_mapping"), |zoo| zoo.root.leaf("CN=Alice,OU=Users,O=NATS")),
    row("pasted", "a line in the certificate's order", Is("pasted"), |zoo| {
        zoo.root.leaf("CN=pasted,O=Acme,2.5.4.6=CA")
    }),
    row("pasted-turned", "the other way round", Nobody("rdn_order"), |zoo| {
        zoo.root.leaf("2.5.4.6=CA,O=Acme,CN=pasted")
    }),
    row("structured-cut", "half of what a table has", Nobody("no_mapping"), |zoo| {
        zoo.root.leaf("CN=structured,O=Acme")
    }),
    // A listener's gate (T-60, OD-04).
    row("gate-cn", "its CN", Is("gate-example"), |zoo| zoo.root.leaf("CN=gate.example.com")).at("san_cn"),
    row("gate-dns", "T-60: its host name", Is("client"), |zoo| {
        zoo.root.leaf("CN=client,O=Acme").names(&[Dns("a.example"), Dns("gate.example.com")])
    })
    .at("san_cn"),
    row("gate-neither", "neither", Nobody("gate_cn"), |zoo| zoo.root.leaf("CN=client,O=Acme")).at("san_cn"),
    row("gate-wildcard", "a wildcard over it", Nobody("gate_cn"), |zoo| {
        zoo.root.leaf("CN=client,O=Acme").names(&[Dns("*.example.com")])
    })
    .at("san_cn"),
    row("gate-two-cns", "its CN and another", Nobody("gate_cn"), |zoo| {
        zoo.root.leaf("CN=evil,CN=gate.example.com")
    })
    .at("san_cn"),
    row("gate-stranger", "a stranger who passes", Nobody("no_mapping"), |zoo| {
        zoo.root.leaf(STRANGER).names(&[Dns("gate.example.com")])
    })
    .at("san_cn"),
    row("gate-subject", "the whole subject", Is("gate"), |zoo| zoo.root.leaf("CN=gate,O=Acme"))
        .at("full_subject"),
    row("gate-more", "and a unit", Nobody("gate_subject"), |zoo| zoo.root.leaf("CN=gate,OU=x,O=Acme"))
        .at("full_subject"),
    row("gate-less", "the CN alone", Nobody("gate_subject"), |zoo| zoo.root.leaf("CN=gate"))
        .at("full_subject"),
    row("gate-partial", "a subject with the CN in it", Is("wide"), |zoo| {
        zoo.root.leaf("CN=wide,OU=a,O=Acme")
    })
    .at("full_subject"),
    row("gate-control", "a NUL before the gate", Nobody("subject_control_char"), |zoo| {
        zoo.root.leaf("CN=gate\0,O=Acme")
    })
    .at("full_subject"),
];
