//! `tests/vectors/subject-lines.toml`, row by row.

use respgate::identity::{Certificate, Reason, SubjectLine, UserMap};
use serde::Deserialize;

use crate::make;

/// As many rows as the file has. Whoever adds one changes this too.
const ROWS: usize = 73;

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct Vectors {
    vector: Vec<Vector>,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct Vector {
    id: String,
    line: String,
    certificate: Option<String>,
    subject: Option<Vec<Vec<(String, String)>>>,
    expect: String,
    #[serde(default)]
    ignore_case: bool,
}

impl Vector {
    fn certificate(&self) -> Certificate {
        match (&self.certificate, &self.subject) {
            (Some(file), None) => make::certificate(file),
            (None, Some(rdns)) => {
                let attribute =
                    |(oid, value): &(String, String)| make::attribute(oid, make::UTF8, value.as_bytes());
                let rdns: Vec<Vec<_>> = rdns.iter().map(|rdn| rdn.iter().map(attribute).collect()).collect();
                Certificate::from_der(&make::with_subject(&make::name(&rdns))).expect("readable")
            }
            other => panic!("{}: expected a certificate or a subject, got {other:?}", self.id),
        }
    }

    /// What becomes of the row, in the words of the file.
    fn outcome(&self) -> &'static str {
        let certificate = self.certificate();
        let Ok(line) = self.line.parse::<SubjectLine>() else { return "config_error" };
        let line = line.with_ignore_case(self.ignore_case);
        let matches = line.matches(certificate.subject());
        assert_eq!(matches, line.compare(certificate.subject()).is_ok(), "{}", self.id);
        let map = UserMap::build(vec![make::user("somebody", vec![line])]).expect("a sound map");
        match map.permit(&make::evidence(certificate)).map_err(|refusal| refusal.reason()) {
            Ok(_) if matches => "match",
            Err(Reason::NoMapping | Reason::RdnOrder | Reason::CaseOnly) if !matches => "no_match",
            Err(Reason::SubjectControlChar) => "deny",
            other => panic!("{}: the line says {matches}, the map says {other:?}", self.id),
        }
    }
}

/// RE-08: what Redis Enterprise accepts is among them (T-01, T-26), and means the same.
#[test]
fn every_vector_has_its_outcome() {
    let text = std::fs::read_to_string(make::vectors().join("subject-lines.toml")).expect("the vectors");
    let vectors: Vectors = toml::from_str(&text).expect("the vectors' format");
    let failed: Vec<String> = vectors
        .vector
        .iter()
        .filter(|vector| vector.outcome() != vector.expect)
        .map(|vector| {
            format!("{} {:?}: {}, expected {}", vector.id, vector.line, vector.outcome(), vector.expect)
        })
        .collect();
    assert!(failed.is_empty(), "{}", failed.join("\n"));
    assert_eq!((vectors.vector.len(), text.matches("[[vector]]").count()), (ROWS, ROWS));
}

/// T-64 for the certificates at hand.
#[test]
fn every_subject_is_read_back_from_its_own_text() {
    let mut seen = 0;
    for entry in std::fs::read_dir(make::vectors()).expect("the vectors") {
        let path = entry.expect("an entry").path();
        let file = path.file_name().and_then(|name| name.to_str()).expect("a file name").to_owned();
        if !file.ends_with(".pem") {
            continue;
        }
        seen += 1;
        let certificate = make::certificate(&file);
        let text = certificate.subject().to_string();
        match (file.as_str(), text.parse::<SubjectLine>()) {
            // A line can name neither nobody nor a NUL.
            ("v24_empty_subject.pem", read) => assert!(read.is_err() && text.is_empty()),
            ("v16_nul.pem", read) => assert!(read.is_err() && text == "CN=admin\\00.evil.test,O=Acme"),
            (_, Ok(read)) => assert_eq!(read.name(), certificate.subject(), "{file}: {text}"),
            (_, Err(error)) => panic!("{file}: {text}: {error}"),
        }
    }
    assert_eq!(seen, 25);
}

/// What `openssl x509 -noout -subject -nameopt RFC2253` (3.0.19) prints, which is what
/// operators paste. It prints an attribute without a name as hex.
const OPENSSL: &[(&str, &str)] = &[
    ("v01_plain.pem", "CN=CLIENT1,OU=UNIT,O=ORG,L=ONTARIO,ST=TORONTO,C=CA"),
    ("v02_reversed_der.pem", "C=CA,ST=TORONTO,L=ONTARIO,O=ORG,OU=UNIT,CN=CLIENT1"),
    ("v03_comma_in_o.pem", r"CN=svc,O=Acme\, Inc.,C=US"),
    ("v04_cn_injection.pem", r"CN=mallory,OU=x\,CN=admin,C=US"),
    ("v05_multivalued.pem", "UID=1001+CN=alice,O=Acme,C=US"),
    ("v06_plus_in_value.pem", r"CN=alice\+UID=1001,O=Acme,C=US"),
    ("v07_dup_cn.pem", "CN=alice,CN=bob,O=Acme"),
    ("v08_two_ou.pem", "CN=svc,OU=Testing,OU=Engineering,O=Acme"),
    ("v09_email.pem", "emailAddress=svc@acme.test,CN=svc,O=Acme"),
    ("v10_dc.pem", "CN=Jane Doe,OU=People,DC=acme,DC=com"),
    ("v11_bmp.pem", "CN=svc,O=Acme"),
    ("v12_t61.pem", "CN=svc,O=Acme"),
    ("v13_printable.pem", "CN=svc,O=Acme"),
    ("v14_utf8.pem", "CN=svc,O=Acme"),
    ("v15_unicode.pem", r"CN=\C5\81ukasz,O=Za\C5\BC\C3\B3\C5\82\C4\87"),
    ("v17_trailing_space.pem", r"CN=svc\ ,O=Acme"),
    ("v18_leading_hash.pem", r"CN=\#svc,O=Acme"),
    ("v19_unknown_oid.pem", "CN=svc,1.3.6.1.4.1.42069.1=#0C084A616E6520446F65,O=Acme"),
    ("v20_slash.pem", "CN=a/OU=b,O=Acme"),
    ("v21_case.pem", "CN=Svc,O=ACME"),
    ("v22_doublespace.pem", "CN=svc,O=Acme  Corp"),
    ("v23_newline.pem", r"CN=svc\0ACN=admin,O=Acme"),
    ("v25_serial.pem", "CN=svc,serialNumber=42,O=Acme"),
];

#[test]
fn what_openssl_prints_is_read_as_the_subject_it_was_printed_for() {
    for (file, text) in OPENSSL {
        for (other, _) in OPENSSL {
            let (certificate, same) = (make::certificate(other), make::certificate(file));
            let matches = make::line(text).matches(certificate.subject());
            assert_eq!(matches, certificate.subject() == same.subject(), "{text} against {other}");
        }
        assert!(make::line(text).matches(make::certificate(file).subject()), "{text} against {file}");
    }
}
