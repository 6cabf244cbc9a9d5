//! Lines that are refused, with what the operator is told, and lines that are
//! doubtful.

use respgate::identity::{Advice, LineError, SubjectLine, UserMap};

use crate::make;

fn refused(text: &str) -> LineError {
    match text.parse::<SubjectLine>() {
        Ok(line) => panic!("{text:?} was read as {}", line.name()),
        Err(error) => error,
    }
}

#[test]
fn an_error_names_what_is_there_and_a_way_out() {
    for (line, expected) in [
        ("  ", "the line is empty, expected a certificate's subject such as CN=app,O=Acme"),
        ("CN=a\tb", "character 5 is the control character U+0009, expected none: remove it"),
        ("CN=a\u{85}", "character 5 is the control character U+0085, expected none: remove it"),
        ("CN=\0", "character 4 is the control character U+0000, expected none: remove it"),
        (r"CN=a\00b", "the value at character 4 contains a NUL, which no certificate that is let in has"),
        (
            "CN=#0c0161,O=#0c0100",
            "the value at character 14 contains a NUL, which no certificate that is let in has",
        ),
        (
            "/C=CA/O=Acme, Inc./CN=app",
            r"the line starts with '/': this is OpenSSL's one-line form, which does not show where a value ends; if that is the subject, write CN=app,O=Acme\, Inc.,C=CA",
        ),
        (
            " /xyz",
            "the line starts with '/': this is OpenSSL's one-line form, which does not show where a value ends; print the subject with openssl x509 -noout -subject -nameopt RFC2253",
        ),
        ("CN=a,", "nothing stands at character 6, expected TYPE=value: remove the surplus ',' or '+'"),
        ("CN=a, ,O=b", "nothing stands at character 7, expected TYPE=value: remove the surplus ',' or '+'"),
        ("CN=a+", "nothing stands at character 6, expected TYPE=value: remove the surplus ',' or '+'"),
        (",CN=a", "nothing stands at character 1, expected TYPE=value: remove the surplus ',' or '+'"),
        (
            "CN=svc,O=Acme, Inc.,C=US",
            "\"Inc.\" at character 16 has no '=', expected TYPE=value: if it continues the value before it, write the separator as \\, or \\+",
        ),
        (
            "app",
            "\"app\" at character 1 has no '=', expected TYPE=value: if it continues the value before it, write the separator as \\, or \\+",
        ),
        ("=x", "no type stands before the '=' at character 1, expected one such as CN or a dotted OID"),
        ("CN=a,O= ,C=US", "O at character 6 has no value, expected some text after its '='"),
        ("CN=\"\"", "CN at character 1 has no value, expected some text after its '='"),
        ("CN=#0c00", "CN at character 1 has no value, expected some text after its '='"),
        (
            "commonName=a",
            "unknown attribute type \"commonName\" at character 1: did you mean CN? a type that is not known by name is written as its dotted OID",
        ),
        (
            "CN=a,EMAILADRESS=b",
            "unknown attribute type \"EMAILADRESS\" at character 6: did you mean EMAILADDRESS? a type that is not known by name is written as its dotted OID",
        ),
        (
            "CN=a,favouriteDrink=b",
            "unknown attribute type \"favouriteDrink\" at character 6: write its dotted OID instead, for example 2.5.4.3 for CN",
        ),
        (
            "subject=CN = a, O = b",
            "unknown attribute type \"subject\" at character 1: leave out the leading subject=, which openssl prints before the name",
        ),
        (
            "2.5.4=a,2.5.4.=b",
            "\"2.5.4.\" at character 9 is not an object identifier, expected one such as 2.5.4.3",
        ),
        ("OID.9.9=a", "\"OID.9.9\" at character 1 is not an object identifier, expected one such as 2.5.4.3"),
        (
            "CN=a + 2.5.4.3=b",
            "2.5.4.3 is there twice in one part, at character 8 again: separate them with ',' instead of '+'",
        ),
        (
            "CN=a;O=b",
            r"';' at character 5 is not escaped: write \; if it belongs to the value, or ',' if it separates two parts",
        ),
        ("CN=<a>", r"'<' at character 4 is not escaped: write \< if it belongs to the value"),
        ("CN=a>", r"'>' at character 5 is not escaped: write \> if it belongs to the value"),
        ("CN=a\"b", "'\"' at character 5 is not escaped: write \\\" if it belongs to the value"),
        (
            r"CN=a\z",
            r#"the backslash at character 5 is not followed by two hex digits or one of space " # + , ; < = > \: write \\ for a backslash"#,
        ),
        (
            r"CN=a\4",
            r#"the backslash at character 5 is not followed by two hex digits or one of space " # + , ; < = > \: write \\ for a backslash"#,
        ),
        (
            r#"CN="a\,b""#,
            r#"the backslash at character 6 is within quotation marks, where only \" and \\ are escaped"#,
        ),
        (
            r"CN=\C5ukasz",
            r"the escaped bytes of the value at character 4 are not UTF-8, expected for example \C5\81 for Ł",
        ),
        ("O=b,CN=\"a", "the quotation mark at character 8 is never closed"),
        ("CN=\"a\" b", "'b' at character 8 follows a closing quotation mark, expected ',' or '+' or the end"),
        (
            "CN=#svc",
            r"the '#' at character 4 is not followed by an even number of hex digits: write \# if it belongs to the value",
        ),
        (
            "CN=#0c016",
            r"the '#' at character 4 is not followed by an even number of hex digits: write \# if it belongs to the value",
        ),
        (
            "CN=#",
            r"the '#' at character 4 is not followed by an even number of hex digits: write \# if it belongs to the value",
        ),
        (
            "CN=#0c0161 62",
            r"the '#' at character 4 is not followed by an even number of hex digits: write \# if it belongs to the value",
        ),
        (
            "CN=#0c026",
            r"the '#' at character 4 is not followed by an even number of hex digits: write \# if it belongs to the value",
        ),
        (
            "CN=#0c0261",
            "the hex at character 4 is not the DER of one value: the bytes end in the middle of a value",
        ),
        ("CN=#0c016161", "the hex at character 4 is not the DER of one value: 1 bytes too many"),
        (
            "CN=#30800000",
            "the hex at character 4 is not the DER of one value: a length of the indefinite form",
        ),
    ] {
        assert_eq!(refused(line).to_string(), expected, "{line:?}");
    }
}

/// T-63: each limit admits its own value and refuses the next.
#[test]
fn limits_are_exact() {
    let long = |bytes: usize| format!("CN={}", "a".repeat(bytes));
    assert_eq!(make::line(&long(1024)).name().to_string(), long(1024));
    assert_eq!(refused(&long(1025)), LineError::ValueTooLong { at: 4 });
    assert_eq!(refused(&format!("CN=\"{}\"", "a".repeat(1025))), LineError::ValueTooLong { at: 4 });
    // Spaces at the end are not part of the value.
    assert_eq!(make::line(&format!("{}{}", long(1024), " ".repeat(900))).name().to_string(), long(1024));

    let rdns = |count: usize| vec!["OU=a"; count].join(",");
    assert_eq!(make::line(&rdns(64)).name().to_string(), rdns(64));
    assert_eq!(refused(&rdns(65)), LineError::TooManyRdns);

    let attributes =
        |count: usize| (0..count).map(|at| format!("1.2.3.{at}=a")).collect::<Vec<_>>().join("+");
    assert!(attributes(16).parse::<SubjectLine>().is_ok());
    assert_eq!(refused(&format!("CN=x,{}", attributes(17))), LineError::TooManyAttributes { at: 6 });

    let padded = |bytes: usize| format!("{}CN=a", " ".repeat(bytes - 4));
    assert!(padded(4096).parse::<SubjectLine>().is_ok());
    assert_eq!(refused(&padded(4097)), LineError::TooLong(4097));
}

#[test]
fn a_line_keeps_its_text_and_knows_its_name() {
    let line = make::line(" cn = a\\2Cb , ou=\"x, y\" + 2.5.4.5 = \\ 42\\ , 1.2.3=#0401ff ");
    assert_eq!(line.to_string(), " cn = a\\2Cb , ou=\"x, y\" + 2.5.4.5 = \\ 42\\ , 1.2.3=#0401ff ");
    assert_eq!(line.name().to_string(), "CN=a\\,b,SERIALNUMBER=\\ 42\\ +OU=x\\, y,1.2.3=#0401ff");
}

#[test]
fn doubtful_lines_are_remarked_upon() {
    let lints = |text: &str| -> Vec<Advice> {
        make::map(&[("u", text)]).lints().into_iter().map(|lint| lint.advice).collect()
    };
    // T-03, T-05
    assert_eq!(lints("C=CA,ST=TORONTO,L=ONTARIO,O=ORG,OU=UNIT,CN=CLIENT1"), [Advice::LooksLikeDerOrder]);
    assert_eq!(lints("C = CA, O = ORG, CN = CLIENT1"), [Advice::LooksLikeDerOrder]);
    assert_eq!(lints("DC=com,DC=acme,UID=jane"), [Advice::LooksLikeDerOrder]);
    // T-50
    assert_eq!(lints("CN=svc,sn=42,O=Acme"), [Advice::SnIsSurname]);
    assert_eq!(lints("CN=svc,S=42,O=Acme"), [Advice::SIsState]);
    assert_eq!(lints("CN=svc\\0A,O=Acme"), [Advice::ControlChar]);
    for sound in
        ["CN=svc,O=Acme,C=US", "CN=svc", "O=Acme", "EMAILADDRESS=a,CN=b,O=c", "CN=a,SERIALNUMBER=1,ST=b"]
    {
        assert_eq!(lints(sound), [], "{sound}");
    }
}

#[test]
fn a_remark_says_where_it_belongs_and_what_to_write() {
    let users = vec![
        make::user("a", vec![make::line("CN=a")]),
        make::user("b", vec![make::line("CN=b"), make::line("O=Acme, CN=c")]),
    ];
    let lints = UserMap::build(users).expect("a sound map").lints();
    assert_eq!(lints.iter().map(|lint| (lint.user, lint.entry)).collect::<Vec<_>>(), [(1, 1)]);
    assert_eq!(
        lints[0].to_string(),
        "\"O=Acme, CN=c\" begins with the most general part, as a certificate does and as openssl prints it; \
         a line begins with the most specific: if that is what was meant, write CN=c,O=Acme"
    );
}
