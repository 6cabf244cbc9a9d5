//! What a gate lets pass, by the rules of Redis Enterprise.

use rcgen::DnType;
use respgate::identity::{AuthorizedSubject, Certificate, Gate, GateError, Reason};

use crate::craft::{attributes, dns, made, with_raw_sans};
use crate::make;

const CN: &str = "2.5.4.3";
const O: &str = "2.5.4.10";
const OU: &str = "2.5.4.11";

fn reason(gate: &Gate, certificate: &Certificate) -> Option<Reason> {
    gate.check(certificate).err().map(|refusal| refusal.reason())
}

fn san_cn(names: &[&str]) -> Gate {
    Gate::SanCn(names.iter().map(|name| (*name).to_owned()).collect())
}

fn subject(rdns: &[(&str, &str)]) -> Certificate {
    Certificate::from_der(&make::with_subject(&make::plain_name(rdns))).expect("readable")
}

fn full(written: &[(&str, &[&str])], partial: bool) -> Gate {
    let subject = AuthorizedSubject::new(&attributes(written), partial).expect("a subject");
    Gate::FullSubject(vec![subject])
}

/// RE-03
#[test]
fn a_disabled_gate_lets_every_certificate_pass() {
    for file in ["v01_plain.pem", "v24_empty_subject.pem", "v07_dup_cn.pem"] {
        assert_eq!(reason(&Gate::default(), &make::certificate(file)), None);
    }
}

/// RE-04 and T-60: the values of Redis Enterprise's guide.
#[test]
fn san_cn_takes_the_cn_or_any_dns_name() {
    let certificate = made(|params| {
        params.distinguished_name = rcgen::DistinguishedName::new();
        params.distinguished_name.push(DnType::CommonName, "client.example.com");
        params.subject_alt_names = vec![dns("app1"), dns("client"), dns("app1-prod")];
    });
    for name in ["client.example.com", "app1", "client", "app1-prod", "APP1"] {
        assert_eq!(reason(&san_cn(&["other", name]), &certificate), None, "{name}");
    }
    for name in ["Client.example.com", "app", "app1-prod.example.com", "*", "", "svc"] {
        assert_eq!(reason(&san_cn(&[name]), &certificate), Some(Reason::GateCn), "{name}");
    }
    assert_eq!(reason(&san_cn(&[]), &certificate), Some(Reason::GateCn));
    let other = made(|params| params.subject_alt_names = vec![dns("client.example.com")]);
    assert_eq!(reason(&san_cn(&["client.example.com"]), &other), None);
}

#[test]
fn one_of_several_cns_opens_no_gate() {
    let gate = san_cn(&["alice"]);
    assert_eq!(reason(&gate, &make::certificate("v07_dup_cn.pem")), Some(Reason::GateCn));
    assert_eq!(reason(&gate, &subject(&[(CN, "alice"), (CN, "alice")])), Some(Reason::GateCn));
    assert_eq!(reason(&san_cn(&["admin"]), &make::certificate("v04_cn_injection.pem")), Some(Reason::GateCn));
}

#[test]
fn a_control_character_opens_no_gate() {
    assert_eq!(
        reason(&san_cn(&["admin"]), &make::certificate("v16_nul.pem")),
        Some(Reason::SubjectControlChar)
    );
    let gate = full(&[("CN", &["admin"])], true);
    assert_eq!(reason(&gate, &make::certificate("v16_nul.pem")), Some(Reason::SubjectControlChar));
    let names = with_raw_sans(b"\x82\x0badmin\0.evil\x82\x05admin").expect("readable");
    assert_eq!(reason(&san_cn(&["admin"]), &names), Some(Reason::SanControlChar));
}

/// RE-05: what is not named must be absent, and case counts.
#[test]
fn full_subject_asks_for_the_whole_subject() {
    let gate = full(&[("CN", &["svc"]), ("O", &["Acme"]), ("OU", &["Testing", "Engineering"])], false);
    assert_eq!(reason(&gate, &make::certificate("v08_two_ou.pem")), None);
    let reordered = [(OU, "Testing"), (CN, "svc"), (OU, "Engineering"), (O, "Acme")];
    assert_eq!(reason(&gate, &subject(&reordered)), None);
    for rdns in [
        &[(CN, "svc"), (O, "Acme")][..],
        &[(CN, "svc"), (O, "Acme"), (OU, "Testing")],
        &[(CN, "svc"), (O, "Acme"), (OU, "Testing"), (OU, "Testing")],
        &[(CN, "svc"), (O, "Acme"), (OU, "Testing"), (OU, "Engineering"), ("2.5.4.7", "x")],
        &[(CN, "svc"), (CN, "svc"), (O, "Acme"), (OU, "Testing"), (OU, "Engineering")],
        &[(CN, "SVC"), (O, "Acme"), (OU, "Testing"), (OU, "Engineering")],
        &[(CN, "other"), (O, "Acme"), (OU, "Testing"), (OU, "Engineering")],
        &[],
    ] {
        assert_eq!(reason(&gate, &subject(rdns)), Some(Reason::GateSubject), "{rdns:?}");
    }
    let detail = gate.check(&subject(&[(CN, "svc"), (O, "ACME")])).expect_err("a refusal");
    assert_eq!(
        detail.detail(),
        "the subject is no authorized subject: the nearest is CN=svc: O: rule Acme, certificate ACME (case or spaces)"
    );
}

/// RE-05: `partial` leaves what is not named free, and nothing else.
#[test]
fn a_partial_authorized_subject_leaves_the_rest_free() {
    let gate = full(&[("CN", &["svc"]), ("OU", &["Testing"])], true);
    let ou_twice = [(CN, "svc"), (OU, "Testing"), (OU, "Testing")];
    assert_eq!(reason(&gate, &subject(&[(O, "Acme"), (CN, "svc"), (OU, "Testing")])), None);
    assert_eq!(reason(&gate, &subject(&ou_twice)), Some(Reason::GateSubject));
    assert_eq!(reason(&gate, &subject(&[(O, "Acme"), (CN, "svc")])), Some(Reason::GateSubject));
}

/// RE-06
#[test]
fn an_authorized_subject_needs_one_cn() {
    let new = |written: &[(&str, &[&str])]| AuthorizedSubject::new(&attributes(written), true);
    assert_eq!(new(&[("O", &["Acme"])]), Err(GateError::CommonName(0)));
    assert_eq!(new(&[("CN", &["a", "b"])]), Err(GateError::CommonName(2)));
    assert!(matches!(new(&[("CN", &[""])]), Err(GateError::Structured(_))));
    assert!(matches!(new(&[]), Err(GateError::Structured(_))));
    assert_eq!(new(&[("CN", &["a"])]).map(|subject| subject.common_name().to_owned()), Ok("a".to_owned()));
}
