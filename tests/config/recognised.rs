//! The problems of the keys that say who somebody is, for the golden file.

use crate::golden::{CASE, Case, LINE, assert_said};
use crate::pki::Ca;

const CASES: &[Case] = &[
    Case {
        claim: "ways to be recognised that are none are all reported",
        edits: &[(
            "certificate_subject_line = \"CN=app,O=Acme\"",
            "certificate_subject_line = [\n  { line = \"CN=app\", subject = { CN = \"app\" } },\n  { order = [\"CN\"] },\n  \
             { subject = { CN = \"app\", O = \"Acme\" } },\n  { subject = { XX = \"app\" } },\n  \
             { line = \"CN=a\", partial = 1, certificate_subject_order = \"der\", issuer_sha256 = \"ca\" },\n]\n\
             san_dns = [\"a b\", 7]\nsan_uri = \"spiffe://prod\"\nsan_email = \"app\"\nsan_ip = \"10.0.0.0/8\"\n\
             certificate_sha256 = \"ab\"\nspki_sha256 = []\nattributes = {}\n\
             issuer_serial = [\"CN=Acme CA\", \"CN=Acme CA:xyz\", \"Acme CA:01\", { issuer = \"CN=Acme CA\" }]\n\
             issuer = [\"none.crt\", \"server.crt\"]\nenabled = \"no\"",
        )],
        ..CASE
    },
    Case {
        claim: "users that one certificate would be, by other ways than a subject",
        more: "san_dns = \"app.test\"\n\
               [[user]]\nname = \"other\"\nsan_dns = \"APP.test\"\nattributes = { CN = \"x\" }\n\
               redis_user = \"x\"\nredis_password_file = \"app.password\"\n\
               [[user]]\nname = \"third\"\ncertificate_subject_line = { line = \"2.5.4.3=x\", partial = true }\n\
               redis_user = \"x\"\nredis_password_file = \"app.password\"",
        ..CASE
    },
    Case {
        claim: "ways that may overlap, or match less than they seem to, are warnings",
        edits: &[(LINE, "{ line = \"CN=app\", partial = true }")],
        more: "[[user]]\nname = \"other\"\nattributes = { O = \"Acme\" }\nsan_dns = \"*.test\"\n\
               redis_user = \"x\"\nredis_password_file = \"app.password\"",
        ..CASE
    },
    Case {
        claim: "users bound to no CA where there are several are warnings",
        edits: &[("\"ca.crt\"", "[\"ca.crt\", \"ca2.crt\"]")],
        more: "san_dns = \"app.test\"\n\
               [[user]]\nname = \"bound\"\nsan_dns = \"bound.test\"\nissuer = \"ca2.crt\"\n\
               redis_user = \"x\"\nredis_password_file = \"app.password\"",
        spoil: |world| world.write("ca2.crt", &Ca::new("Test CA").pem()),
    },
    Case {
        claim: "authorized subjects that are none",
        edits: &[(
            "client_ca = \"ca.crt\"",
            "client_ca = \"ca.crt\"\nmtls_client_cert_subject_validation_type = \"san_cn\"\n\
             mtls_authorized_subjects = [{ O = \"Acme\" }, { CN = [\"a\", \"b\"] }, { CN = \"a\", O = \"Acme\" }, \
             { CN = \"a\", partial = true }, { cn = \"a\", colour = \"b\" }, { CN = \"\" }]",
        )],
        ..CASE
    },
    Case {
        claim: "authorized subjects that are missing",
        edits: &[(
            "client_ca = \"ca.crt\"",
            "client_ca = \"ca.crt\"\nmtls_client_cert_subject_validation_type = \"full_subject\"",
        )],
        ..CASE
    },
    Case {
        claim: "no authorized subjects",
        edits: &[(
            "client_ca = \"ca.crt\"",
            "client_ca = \"ca.crt\"\nmtls_client_cert_subject_validation_type = \"full_subject\"\n\
             mtls_authorized_subjects = []",
        )],
        ..CASE
    },
    Case {
        claim: "authorized subjects that would not be looked at",
        edits: &[(
            "client_ca = \"ca.crt\"",
            "client_ca = \"ca.crt\"\nmtls_authorized_subjects = [{ CN = \"app\" }]",
        )],
        ..CASE
    },
    Case {
        claim: "OS-21: who has commands beyond the default is exactly recognised",
        more: "[[user]]\nname = \"ops\"\ncommands = \"all\"\nredis_user = \"ops\"\nredis_password_env = \"APP_PASSWORD\"\n\
               certificate_subject_line = [\"CN=*,O=Acme\", { line = \"CN=ops\", partial = true }, \
               { line = \"CN=ops,O=Acme\", ignore_case = true }, \"CN=exact,O=Acme\"]\n\
               attributes = [{ OU = \"ops\" }]\nsan_dns = [\"ops.acme.test\"]\n",
        ..CASE
    },
    Case {
        claim: "a gate that there is not",
        edits: &[(
            "client_ca = \"ca.crt\"",
            "client_ca = \"ca.crt\"\nmtls_client_cert_subject_validation_type = \"cn\"\n\
             mtls_authorized_subjects = [{ CN = \"app\" }]",
        )],
        ..CASE
    },
];

#[test]
fn every_problem_with_recognition_is_said_as_the_golden_file_says() {
    assert_said("recognised.txt", CASES);
}
