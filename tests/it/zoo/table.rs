//! The zoo: every kind of client certificate that somebody may show, and what
//! becomes of it, the same in TLS 1.2 and TLS 1.3. Read it as documentation: a
//! name, what is odd, the verdict, and how the specimen is made.
//!
//! How somebody is recognised other than by a subject line stands in `recognised`.
//!
//! The listeners are of one gateway: `plain` trusts the roots `zoo.root` and
//! `zoo.rsa`; `listed` holds their clients against revocation lists as well,
//! `stale` against a list whose time is over, `forged` against one that another
//! key signed; `strict` wants the extended key usage clientAuth to be there,
//! `named` a subject alternative name.

use super::authorities::{REVOKED, Zoo};
use super::der::{BMP, INTEGER, PRINTABLE, T61, UNIVERSAL, UTF8, bits, oid, sequence, tlv};
use super::keys::{Hash, Kind};
use super::names::{San, acme, rdns, utf16, utf32};
use super::plan::{
    ALTERNATIVE_NAME, ANY, BASIC_CONSTRAINTS, CLIENT, DAY, EMAIL, EXTENDED_KEY_USAGE, KEY_USAGE, Plan, SERVER,
};

/// What becomes of whoever shows it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Verdict {
    /// Its commands run as this user's.
    Is(&'static str),
    /// Believed, and nobody: one line with a reference, and the end.
    Nobody(&'static str),
    /// Not believed: an alert instead of an answer.
    Distrusted(&'static str),
    /// Not read to its end: the connection ends while the client still writes, so
    /// that the alert may be lost on the way.
    Cut(&'static str),
}
use Verdict::{Cut, Distrusted, Is, Nobody};

impl Verdict {
    /// The word in log, metric and audit.
    pub(super) fn reason(self) -> Option<&'static str> {
        match self {
            Is(_) => None,
            Nobody(reason) | Distrusted(reason) | Cut(reason) => Some(reason),
        }
    }
}

/// One certificate.
pub(super) struct Row {
    pub(super) name: &'static str,
    pub(super) odd: &'static str,
    pub(super) verdict: Verdict,
    pub(super) listener: &'static str,
    pub(super) plan: fn(&Zoo) -> Plan,
}

pub(super) const fn row(
    name: &'static str,
    odd: &'static str,
    verdict: Verdict,
    plan: fn(&Zoo) -> Plan,
) -> Row {
    Row { name, odd, verdict, listener: "plain", plan }
}

impl Row {
    pub(super) const fn at(self, listener: &'static str) -> Self {
        Self { listener, ..self }
    }
}

/// Who there is: name and `certificate_subject_line`. `gone` is disabled.
pub(super) fn users() -> Vec<(&'static str, String)> {
    let deep = format!("CN=deep{}", ",OU=x".repeat(63));
    let long = format!("CN={}", "a".repeat(1024));
    let lines = [
        ("app", "CN=app,O=Acme"),
        ("ops", "CN=ops,O=Acme"),
        ("svc", "CN=svc,O=Acme"),
        ("gone", "CN=gone,O=Acme"),
        ("admin", "CN=admin,O=Acme"),
        ("admin-us", "CN=admin,C=US"),
        ("client1", "CN=CLIENT1,OU=UNIT,O=ORG,L=ONTARIO,ST=TORONTO,C=CA"),
        ("comma", r"CN=svc,O=Acme\, Inc.,C=US"),
        ("mallory", r"CN=mallory,OU=x\,CN=admin,C=US"),
        ("alice", "CN=alice+UID=1001,O=Acme,C=US"),
        ("alice-bob", "CN=alice,CN=bob,O=Acme"),
        ("units", "CN=svc,OU=Testing,OU=Engineering,O=Acme"),
        ("email", "emailAddress=svc@acme.test,CN=svc,O=Acme"),
        ("jane", "CN=Jane Doe,OU=People,DC=acme,DC=com"),
        ("lukasz", "CN=Łukasz,O=Zażółć"),
        ("hash", r"CN=\#svc,O=Acme"),
        ("by-oid", "CN=svc,1.3.6.1.4.1.42069.1=Jane Doe,O=Acme"),
        ("slash", "CN=a/OU=b,O=Acme"),
        ("spaces", "CN=svc,O=Acme  Corp"),
        ("serial", "CN=svc,SERIALNUMBER=42,O=Acme"),
        ("nats", "CN=Alice,CN=Alice,O=NATS"),
        ("cafe", "CN=caf\u{e9},O=Acme"),
        ("star", "CN=*.example.com,O=Acme"),
        ("deep", &deep),
        ("long", &long),
    ];
    lines.map(|(name, line)| (name, line.to_owned())).to_vec()
}

const APP: &str = "CN=app,O=Acme";

pub(super) const ROWS: &[Row] = &[
    row("plain", "nothing", Is("app"), |zoo| zoo.root.leaf(APP)),
    // The subjects of tests/vectors, by the rows T-01 to T-50 of its table.
    row("v01", "the subject of most manuals", Is("client1"), |zoo| zoo.vector("v01_plain")),
    row("v02", "the same, the other way round", Nobody("rdn_order"), |zoo| zoo.vector("v02_reversed_der")),
    row("v03", "a comma in O", Is("comma"), |zoo| zoo.vector("v03_comma_in_o")),
    row("v04", "CN=admin inside its OU", Is("mallory"), |zoo| zoo.vector("v04_cn_injection")),
    row("v05", "an RDN of two attributes", Is("alice"), |zoo| zoo.vector("v05_multivalued")),
    row("v06", "a plus in CN", Nobody("no_mapping"), |zoo| zoo.vector("v06_plus_in_value")),
    row("v07", "two CNs, and a line of two", Is("alice-bob"), |zoo| zoo.vector("v07_dup_cn")),
    row("v08", "two OUs", Is("units"), |zoo| zoo.vector("v08_two_ou")),
    row("v09", "an e-mail address", Is("email"), |zoo| zoo.vector("v09_email")),
    row("v10", "domain components", Is("jane"), |zoo| zoo.vector("v10_dc")),
    row("v11", "BMPStrings", Is("svc"), |zoo| zoo.vector("v11_bmp")),
    row("v12", "T61Strings in ASCII", Is("svc"), |zoo| zoo.vector("v12_t61")),
    row("v13", "PrintableStrings", Is("svc"), |zoo| zoo.vector("v13_printable")),
    row("v14", "UTF8Strings", Is("svc"), |zoo| zoo.vector("v14_utf8")),
    row("v15", "letters beyond ASCII", Is("lukasz"), |zoo| zoo.vector("v15_unicode")),
    row("v16", "a NUL after CN=admin", Nobody("subject_control_char"), |zoo| zoo.vector("v16_nul")),
    row("v17", "a space at the end", Nobody("case_only"), |zoo| zoo.vector("v17_trailing_space")),
    row("v18", "a # in front", Is("hash"), |zoo| zoo.vector("v18_leading_hash")),
    row("v19", "an attribute without a name", Is("by-oid"), |zoo| zoo.vector("v19_unknown_oid")),
    row("v20", "a slash and OU= in CN", Is("slash"), |zoo| zoo.vector("v20_slash")),
    row("v21", "other case", Nobody("case_only"), |zoo| zoo.vector("v21_case")),
    row("v22", "two spaces", Is("spaces"), |zoo| zoo.vector("v22_doublespace")),
    row("v23", "a line feed", Nobody("subject_control_char"), |zoo| zoo.vector("v23_newline")),
    row("v24", "T-49: only an alternative name", Nobody("no_mapping"), |zoo| zoo.vector("v24_empty_subject")),
    row("v25", "a serialNumber", Is("serial"), |zoo| zoo.vector("v25_serial")),
    // Subjects that come near somebody's.
    row("cn-alone", "the CN of a user and no O", Nobody("no_mapping"), |zoo| zoo.root.leaf("CN=app")),
    row("more", "an OU more", Nobody("no_mapping"), |zoo| zoo.root.leaf("CN=app,OU=x,O=Acme")),
    row("two-cns", "a user's CN, and another last", Nobody("no_mapping"), |zoo| {
        zoo.root.leaf("CN=evil,CN=app,O=Acme")
    }),
    row("two-cns-turned", "the same, a user's last", Nobody("no_mapping"), |zoo| {
        zoo.root.leaf("CN=app,CN=evil,O=Acme")
    }),
    row("two-cns-in-one", "two CNs in one RDN", Nobody("no_mapping"), |zoo| {
        zoo.root
            .leaf(APP)
            .subject(rdns(&[&[("O", UTF8, b"Acme")], &[("CN", UTF8, b"app"), ("CN", UTF8, b"evil")]]))
    }),
    row("joined", "O and CN in one RDN", Nobody("no_mapping"), |zoo| {
        zoo.root.leaf(APP).subject(rdns(&[&[("O", UTF8, b"Acme"), ("CN", UTF8, b"app")]]))
    }),
    row("counted", "T-31: as many RDNs as a user has", Nobody("no_mapping"), |zoo| {
        zoo.root.leaf("CN=Alice,OU=Users,O=NATS")
    }),
    row("nobody", "a stranger's subject", Nobody("no_mapping"), |zoo| zoo.root.leaf("CN=nobody,O=Acme")),
    row("disabled", "its user is disabled", Nobody("user_disabled"), |zoo| zoo.root.leaf("CN=gone,O=Acme")),
    row("wrong-type", "the user's name as its UID", Nobody("no_mapping"), |zoo| {
        zoo.root.leaf("UID=app,O=Acme")
    }),
    row("quoted", "a whole subject as its CN", Nobody("no_mapping"), |zoo| {
        zoo.root.leaf(APP).subject(rdns(&[&[("CN", UTF8, b"app,O=Acme")]]))
    }),
    row("crlf", "a line break and a log line", Nobody("subject_control_char"), |zoo| {
        zoo.root.leaf(APP).subject(acme(UTF8, b"app\r\n{\"user\":\"ops\"}"))
    }),
    row("nul-first", "a NUL before its name", Nobody("subject_control_char"), |zoo| {
        zoo.root.leaf(APP).subject(acme(UTF8, b"\0app"))
    }),
    row("nul-last", "a NUL after its name", Nobody("subject_control_char"), |zoo| {
        zoo.root.leaf(APP).subject(acme(UTF8, b"app\0"))
    }),
    row("nul-elsewhere", "a NUL in O", Nobody("subject_control_char"), |zoo| {
        zoo.root.leaf(APP).subject(rdns(&[&[("O", UTF8, b"Acme\0")], &[("CN", UTF8, b"app")]]))
    }),
    row("nul-printable", "a NUL in a PrintableString", Nobody("subject_control_char"), |zoo| {
        zoo.root.leaf(APP).subject(acme(PRINTABLE, b"app\0"))
    }),
    row("space-first", "a space before its name", Nobody("case_only"), |zoo| {
        zoo.root.leaf(APP).subject(acme(UTF8, b" app"))
    }),
    // String types, and what only looks alike.
    row("bmp", "its CN as a BMPString", Is("app"), |zoo| {
        zoo.root.leaf(APP).subject(acme(BMP, &utf16("app")))
    }),
    row("universal", "its CN as a UniversalString", Is("app"), |zoo| {
        zoo.root.leaf(APP).subject(acme(UNIVERSAL, &utf32("app")))
    }),
    row("t61", "its CN as a T61String", Is("app"), |zoo| zoo.root.leaf(APP).subject(acme(T61, b"app"))),
    row("t61-latin", "T-33: a T61String with a byte above ASCII", Nobody("no_mapping"), |zoo| {
        zoo.root.leaf(APP).subject(acme(T61, b"caf\xe9"))
    }),
    row("bmp-surrogates", "surrogates in a BMPString", Nobody("no_mapping"), |zoo| {
        zoo.root.leaf(APP).subject(acme(BMP, &utf16("app\u{1f511}")))
    }),
    row("bmp-odd", "half a character in a BMPString", Nobody("no_mapping"), |zoo| {
        zoo.root.leaf(APP).subject(acme(BMP, b"\0a\0p\0p\0"))
    }),
    row("bmp-nul", "a NUL character in a BMPString", Nobody("subject_control_char"), |zoo| {
        zoo.root.leaf(APP).subject(acme(BMP, &utf16("app\0")))
    }),
    row("utf16-as-utf8", "two bytes a character in a UTF8String", Nobody("subject_control_char"), |zoo| {
        zoo.root.leaf(APP).subject(acme(UTF8, &utf16("app")))
    }),
    row("not-utf8", "a UTF8String that is none", Nobody("no_mapping"), |zoo| {
        zoo.root.leaf(APP).subject(acme(UTF8, b"app\xff"))
    }),
    row("overlong", "an overlong NUL in a UTF8String", Nobody("no_mapping"), |zoo| {
        zoo.root.leaf(APP).subject(acme(UTF8, b"app\xc0\x80"))
    }),
    row("not-a-string", "its CN as an OCTET STRING", Nobody("no_mapping"), |zoo| {
        zoo.root.leaf(APP).subject(acme(0x04, b"app"))
    }),
    row("cyrillic", "a Cyrillic a", Nobody("no_mapping"), |zoo| zoo.root.leaf("CN=\u{430}pp,O=Acme")),
    row("fullwidth", "full-width letters", Nobody("no_mapping"), |zoo| {
        zoo.root.leaf("CN=\u{ff41}\u{ff50}\u{ff50},O=Acme")
    }),
    row("zero-width", "a joiner that nobody sees", Nobody("no_mapping"), |zoo| {
        zoo.root.leaf("CN=a\u{200d}pp,O=Acme")
    }),
    row("right-to-left", "written backwards", Nobody("no_mapping"), |zoo| {
        zoo.root.leaf("CN=\u{202e}ppa,O=Acme")
    }),
    row("composed", "an \u{e9} of one code point", Is("cafe"), |zoo| zoo.root.leaf("CN=caf\u{e9},O=Acme")),
    row("decomposed", "an \u{e9} of two", Nobody("no_mapping"), |zoo| zoo.root.leaf("CN=cafe\u{301},O=Acme")),
    row("wildcard", "a star, which matches itself", Is("star"), |zoo| {
        zoo.root.leaf("CN=*.example.com,O=Acme")
    }),
    row("under-wildcard", "what a star might match", Nobody("no_mapping"), |zoo| {
        zoo.root.leaf("CN=app.example.com,O=Acme")
    }),
    row("san-alone", "a user's subject as an alternative name", Nobody("no_mapping"), |zoo| {
        zoo.root.leaf("CN=nobody").names(&[
            San::Dns("app"),
            San::Email(APP),
            San::Uri(APP),
            San::Ip([127, 0, 0, 1]),
        ])
    }),
    // Sizes.
    row("deep", "64 RDNs, which a line can have", Is("deep"), |zoo| {
        zoo.root.leaf(&format!("CN=deep{}", ",OU=x".repeat(63)))
    }),
    row("too-deep", "65 RDNs", Nobody("no_mapping"), |zoo| {
        zoo.root.leaf(&format!("CN=deep{}", ",OU=x".repeat(64)))
    }),
    row("long", "a CN of 1024 bytes", Is("long"), |zoo| zoo.root.leaf(&format!("CN={}", "a".repeat(1024)))),
    row("longer", "a CN of one byte more", Nobody("no_mapping"), |zoo| {
        zoo.root.leaf(&format!("CN={}", "a".repeat(1025)))
    }),
    row("cn-256", "a CN that 8 bits cut to a user's", Nobody("no_mapping"), |zoo| {
        zoo.root.leaf(&format!("CN=app{},O=Acme", "x".repeat(256)))
    }),
    row("cn-20000", "a CN of 20000 bytes", Nobody("no_mapping"), |zoo| {
        zoo.root.leaf(&format!("CN=app{},O=Acme", "x".repeat(20_000)))
    }),
    row("cn-60000", "a CN of 60000 bytes", Distrusted("bad_certificate"), |zoo| {
        zoo.root.leaf(&format!("CN=app{},O=Acme", "x".repeat(60_000)))
    }),
    row("cn-66000", "a CN that 16 bits cut to a shorter one", Cut("handshake_failed"), |zoo| {
        zoo.root.leaf(&format!("CN=app{},O=Acme", "x".repeat(65_536)))
    }),
    // What it is for, and what it may do.
    row("eku-server", "T-61: for servers alone", Distrusted("eku"), |zoo| {
        zoo.root.leaf(APP).purposes(&[SERVER])
    }),
    row("eku-email", "T-61: for e-mail alone", Distrusted("eku"), |zoo| {
        zoo.root.leaf(APP).purposes(&[EMAIL])
    }),
    row("eku-any", "T-61: for any purpose", Distrusted("eku"), |zoo| zoo.root.leaf(APP).purposes(&[ANY])),
    row("eku-both", "for servers and clients", Is("app"), |zoo| {
        zoo.root.leaf(APP).purposes(&[SERVER, CLIENT])
    }),
    row("eku-absent", "T-61: does not say for what", Is("app"), |zoo| {
        zoo.root.leaf(APP).without(EXTENDED_KEY_USAGE)
    }),
    row("eku-absent-strict", "the same where it has to", Distrusted("eku"), |zoo| {
        zoo.root.leaf(APP).without(EXTENDED_KEY_USAGE)
    })
    .at("strict"),
    row("eku-empty", "for no purpose", Distrusted("bad_certificate"), |zoo| zoo.root.leaf(APP).purposes(&[])),
    row("usage-absent", "no key usage", Is("app"), |zoo| zoo.root.leaf(APP).without(KEY_USAGE)),
    row("ca", "T-62: CA:TRUE", Distrusted("leaf_is_ca"), |zoo| zoo.root.leaf(APP).ca(None)),
    row("cert-sign", "T-62: keyCertSign", Nobody("leaf_is_ca"), |zoo| {
        zoo.root.leaf(APP).signs_certificates()
    }),
    row("san-absent", "ES-12: no alternative name where one has to be", Distrusted("san_missing"), |zoo| {
        zoo.root.leaf(APP)
    })
    .at("named"),
    // The form of the certificate.
    row("version-1", "X.509 version 1", Distrusted("bad_certificate"), |zoo| zoo.root.leaf(APP).version(1)),
    row("version-2", "X.509 version 2", Distrusted("bad_certificate"), |zoo| zoo.root.leaf(APP).version(2)),
    row("version-4", "X.509 version 4", Distrusted("bad_certificate"), |zoo| zoo.root.leaf(APP).version(4)),
    row("ca-twice", "basicConstraints twice", Distrusted("bad_certificate"), |zoo| {
        let denied = sequence(&[]);
        zoo.root.leaf(APP).with(BASIC_CONSTRAINTS, true, &denied).with(BASIC_CONSTRAINTS, true, &denied)
    }),
    row("usage-twice", "keyUsage twice", Distrusted("bad_certificate"), |zoo| {
        zoo.root.leaf(APP).with(KEY_USAGE, true, &tlv(0x03, [7, 0x80]))
    }),
    row("san-twice", "subjectAltName twice", Distrusted("bad_certificate"), |zoo| {
        zoo.root.leaf(APP).names(&[San::Dns("a")]).names(&[San::Dns("b")])
    }),
    row("critical", "a critical extension of its own", Distrusted("bad_certificate"), |zoo| {
        zoo.root.leaf(APP).with("1.3.6.1.4.1.42069.2", true, b"\x05\x00")
    }),
    row("unknown", "the same, not critical", Is("app"), |zoo| {
        zoo.root.leaf(APP).with("1.3.6.1.4.1.42069.2", false, b"\x05\x00")
    }),
    row("san-broken", "an alternative name that is no DER", Distrusted("bad_certificate"), |zoo| {
        zoo.root.leaf(APP).with(ALTERNATIVE_NAME, false, b"\x30\x82\xff\xff")
    }),
    row("serial-negative", "a serial number below 0", Is("app"), |zoo| zoo.root.leaf(APP).serial(&[0xff, 1])),
    row("serial-zero", "serial number 0", Is("app"), |zoo| zoo.root.leaf(APP).serial(&[0])),
    row("serial-long", "a serial number of 21 bytes", Is("app"), |zoo| {
        zoo.root.leaf(APP).serial(&[0x7f; 21])
    }),
    row("serial-huge", "a serial number of 2000 bytes", Is("app"), |zoo| {
        zoo.root.leaf(APP).serial(&[1; 2000])
    }),
    row("trailing", "bytes after its end", Distrusted("bad_certificate"), |zoo| {
        zoo.root.leaf(APP).changed(|der| [&der[..], b"\0\0"].concat())
    }),
    row("cut", "cut short", Distrusted("bad_certificate"), |zoo| {
        zoo.root.leaf(APP).changed(|der| der[..der.len() - 9].to_vec())
    }),
    row("no-certificate", "no DER at all", Distrusted("bad_certificate"), |zoo| {
        zoo.root.leaf(APP).changed(|_| b"CN=app,O=Acme".to_vec())
    }),
    row("indefinite", "a length of BER's open form", Distrusted("bad_certificate"), |zoo| {
        zoo.root.leaf(APP).changed(|der| [&[0x30, 0x80], &der[4..], &[0, 0]].concat())
    }),
    // Keys and signatures.
    row("rsa-1024", "an RSA key that can be broken", Distrusted("bad_certificate"), |zoo| {
        zoo.root.leaf(APP).key(Kind::Rsa1024)
    }),
    row("rsa-2048", "an RSA key", Is("app"), |zoo| zoo.root.leaf(APP).key(Kind::Rsa2048)),
    row("rsa-4096", "a longer RSA key", Is("app"), |zoo| zoo.root.leaf(APP).key(Kind::Rsa4096)),
    row("p384", "a key on P-384", Is("app"), |zoo| zoo.root.leaf(APP).key(Kind::P384)),
    row("p521", "a key on P-521", Is("app"), |zoo| zoo.root.leaf(APP).key(Kind::P521)),
    row("ed25519", "an Ed25519 key", Is("app"), |zoo| zoo.root.leaf(APP).key(Kind::Ed25519)),
    row("unknown-key", "a key of no known kind", Distrusted("bad_certificate"), |zoo| {
        zoo.root.leaf(APP).public(sequence(&[&sequence(&[&oid("1.3.6.1.4.1.42069.3")]), &bits(&[4; 65])]))
    }),
    row("padded-rsa", "1024 bits that look like 2048", Distrusted("bad_certificate"), |zoo| {
        let modulus = [vec![0; 129], vec![0xc5; 128]].concat();
        let rsa = sequence(&[&tlv(INTEGER, modulus), &tlv(INTEGER, [1, 0, 1])]);
        zoo.root
            .leaf(APP)
            .public(sequence(&[&sequence(&[&oid("1.2.840.113549.1.1.1"), b"\x05\x00"]), &bits(&rsa)]))
    }),
    row("by-rsa", "signed with an RSA key", Is("app"), |zoo| zoo.rsa.leaf(APP)),
    row("sha1-rsa", "signed with RSA over SHA-1", Distrusted("bad_certificate"), |zoo| {
        zoo.rsa.leaf(APP).hash(Hash::Sha1)
    }),
    row("sha1-ecdsa", "signed with ECDSA over SHA-1", Distrusted("bad_certificate"), |zoo| {
        zoo.root.leaf(APP).hash(Hash::Sha1)
    }),
    row("md5", "signed over MD5", Distrusted("bad_certificate"), |zoo| zoo.rsa.leaf(APP).hash(Hash::Md5)),
    row("tampered", "its last byte changed", Distrusted("untrusted_issuer"), |zoo| {
        zoo.root.leaf(APP).changed(|mut der| {
            *der.last_mut().expect("not empty") ^= 1;
            der
        })
    }),
    row("stolen", "a user's, shown by who lacks its key", Distrusted("bad_certificate"), |zoo| {
        zoo.root.leaf(APP).stolen()
    }),
    // Dates.
    row("expired", "over since a day", Distrusted("expired"), |zoo| zoo.root.leaf(APP).valid(-9 * DAY, -DAY)),
    row("future", "not before tomorrow", Distrusted("not_yet_valid"), |zoo| {
        zoo.root.leaf(APP).valid(DAY, 9 * DAY)
    }),
    row("one-second", "it held for a second", Distrusted("expired"), |zoo| {
        zoo.root.leaf(APP).valid(-3600, -3600)
    }),
    row("turned-dates", "it ends before it begins", Distrusted("bad_certificate"), |zoo| {
        zoo.root.leaf(APP).valid(DAY, -DAY)
    }),
    row("for-ever", "without an end", Is("app"), |zoo| zoo.root.leaf(APP).for_ever()),
    // Chains.
    row("middle", "below a CA between", Is("app"), |zoo| zoo.middle.leaf(APP)),
    row("low", "below two CAs between", Is("app"), |zoo| zoo.low.leaf(APP)),
    row("lonely", "its CA is not shown", Distrusted("untrusted_issuer"), |zoo| {
        zoo.middle.leaf(APP).above(Vec::new())
    }),
    row("turned-chain", "its CAs in the wrong order", Is("app"), |zoo| {
        zoo.low.leaf(APP).above(zoo.low.above.iter().rev().cloned().collect())
    }),
    row("foreign", "of a CA that nobody trusts", Distrusted("untrusted_issuer"), |zoo| zoo.foreign.leaf(APP)),
    row("twin", "of another CA of the root's name", Distrusted("untrusted_issuer"), |zoo| zoo.twin.leaf(APP)),
    row("twin-shown", "the same, with its CA", Distrusted("untrusted_issuer"), |zoo| {
        zoo.twin.leaf(APP).beside([zoo.twin.der.clone()])
    }),
    row("own-ca", "of a CA that is below nothing", Distrusted("untrusted_issuer"), |zoo| {
        zoo.foreign.leaf(APP).beside([zoo.foreign.der.clone(), zoo.root.der.clone()])
    }),
    row("old-ca", "its CA's time is over", Distrusted("expired"), |zoo| zoo.old.leaf(APP)),
    row("early-ca", "its CA's time has not come", Distrusted("not_yet_valid"), |zoo| zoo.early.leaf(APP)),
    row("too-long-path", "a CA where none may be", Distrusted("bad_certificate"), |zoo| zoo.beyond.leaf(APP)),
    row("outside", "a name its CA may not issue for", Distrusted("bad_certificate"), |zoo| {
        zoo.narrow.leaf(APP).names(&[San::Dns("evil.test")])
    }),
    row("inside", "a name its CA may issue for", Is("app"), |zoo| {
        zoo.narrow.leaf(APP).names(&[San::Dns("app.acme.test")])
    }),
    row("upstart", "signed by a client", Distrusted("bad_certificate"), |zoo| {
        zoo.upstart.leaf("CN=ops,O=Acme")
    }),
    row("denied-ca", "signed by what says CA:FALSE", Distrusted("bad_certificate"), |zoo| {
        zoo.denied.leaf(APP)
    }),
    row("mute-ca", "its CA may not sign certificates", Distrusted("bad_certificate"), |zoo| {
        zoo.mute.leaf(APP)
    }),
    row("servers-ca", "its CA is for servers alone", Distrusted("eku"), |zoo| zoo.servers.leaf(APP)),
    row("short-key-ca", "its CA has an RSA key of 1024 bits", Distrusted("bad_certificate"), |zoo| {
        zoo.short_key.leaf(APP)
    }),
    row("version-1-ca", "its CA is of version 1", Distrusted("bad_certificate"), |zoo| {
        zoo.version_1.leaf(APP)
    }),
    row("sha1-ca", "its CA is signed over SHA-1", Distrusted("bad_certificate"), |zoo| zoo.sha1.leaf(APP)),
    row("victim", "a user's certificate beside its own", Is("ops"), |zoo| {
        zoo.root.leaf("CN=ops,O=Acme").beside([zoo.root.leaf(APP).der()])
    }),
    row("victim-nobody", "the same by nobody", Nobody("no_mapping"), |zoo| {
        zoo.root.leaf("CN=nobody,O=Acme").beside([zoo.root.leaf(APP).der()])
    }),
    row("rubbish-beside", "no certificate beside its own", Is("app"), |zoo| {
        zoo.root.leaf(APP).beside([b"rubbish".to_vec()])
    }),
    row("hundred", "a chain of 100", Distrusted("bad_certificate"), |zoo| {
        zoo.root.leaf(APP).beside(vec![zoo.middle.der.clone(); 99])
    }),
    row("bytes", "a chain of more than 32 KiB", Distrusted("bad_certificate"), |zoo| {
        let long = zoo.root.leaf(&format!("CN={}", "x".repeat(33_000)));
        zoo.root.leaf(APP).beside([long.der()])
    }),
    row("message", "a chain of more than 64 KiB", Cut("handshake_failed"), |zoo| {
        let long = zoo.root.leaf(&format!("CN={}", "x".repeat(33_000)));
        zoo.root.leaf(APP).beside([long.der(), long.der()])
    }),
    // Revocation.
    row("unrevoked", "its CA's list is without it", Is("app"), |zoo| zoo.root.leaf(APP)).at("listed"),
    row("unrevoked-below", "the lists of both its CAs are", Is("app"), |zoo| zoo.middle.leaf(APP))
        .at("listed"),
    row("revoked", "its CA's list has it", Distrusted("revoked"), |zoo| zoo.root.leaf(APP).serial(&REVOKED))
        .at("listed"),
    row("revoked-ca", "its CA is in the root's list", Distrusted("revoked"), |zoo| zoo.revoked.leaf(APP))
        .at("listed"),
    row("unlisted", "no list of its CA", Distrusted("revocation_unknown"), |zoo| zoo.low.leaf(APP))
        .at("listed"),
    row("stale", "its CA's list is over", Distrusted("crl_stale"), |zoo| zoo.root.leaf(APP)).at("stale"),
    row("forged", "its CA's list is another's", Distrusted("revocation_unknown"), |zoo| zoo.middle.leaf(APP))
        .at("forged"),
];
