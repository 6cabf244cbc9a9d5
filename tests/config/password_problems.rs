//! Every problem that realms and passwords of users can have.

use crate::golden::{CASE, Case, USER, assert_said};

const CASES: &[Case] = &[
    Case {
        claim: "RE-10: a certificate user has no password, and a password user no subject",
        edits: &[(
            USER,
            "[[user]]\nname = \"app\"\ncertificate_subject_line = \"CN=app,O=Acme\"\n\
                         password_hash = \"hunter2\"\nredis_user = \"app\"\nredis_password_file = \"app.password\"\n",
        )],
        more: "[[user]]\nname = \"eve\"\nauth_method = \"password\"\ncertificate_subject_line = \"CN=eve\"\n\
               san_uri = \"spiffe://prod/eve\"\n\
               [[user]]\nname = \"bob\"\nauth_method = \"certificate_and_password\"\n\
               [[user]]\nname = \"joe\"\nauth_method = \"kerberos\"\npassword = \"hunter2\"\n",
        ..CASE
    },
    Case {
        claim: "hashes that cannot be used are refused and not shown",
        more: "[[user]]\nname = \"a\"\nauth_method = \"password\"\nredis_user = \"a\"\nredis_password_env = \"APP_PASSWORD\"\n\
               password_hash = \"hunter2\"\n\
               [[user]]\nname = \"b\"\nauth_method = \"password\"\nredis_user = \"b\"\nredis_password_env = \"APP_PASSWORD\"\n\
               password_hash = \"$argon2id$v=19$m=999999,t=1,p=1$c29tZXNhbHQ$0YvBN0Sc/YbmfJzljfOHMRSJX/6JRQ0m/NBs2g2uhzs\"\n\
               [[user]]\nname = \"c\"\nauth_method = \"password\"\npassword_hash_file = \"missing.hash\"\n\
               password_hash = \"hunter2\"\n",
        ..CASE
    },
    Case {
        claim: "realms that are not there, are there twice, or are not used",
        edits: &[("client_ca", "realms = [\"x\", \"people\", \"people\", \"odd\"]\nclient_ca")],
        more: "[[realm]]\nname = \"people\"\nkind = \"password\"\nverify = \"argon2id\"\n\
               [[realm]]\nname = \"people\"\nkind = \"certificate\"\n[[realm]]\nname = \"odd\"\nkind = \"ldap\"\n\
               [[realm]]\nname = \"two words\"\nkind = \"password\"\nverify = \"plain\"\n\
               [[realm]]\nname = \"spare\"\nkind = \"certificate\"\nverify = \"argon2id\"\n",
        ..CASE
    },
    Case {
        claim: "certificates that nobody asks for",
        edits: &[("client_ca", "client_auth = \"none\"\nclient_ca")],
        ..CASE
    },
    Case {
        claim: "a user that would be Redis' default user",
        edits: &[("client_ca", "client_auth = \"optional\"\nrealms = [\"redis\"]\nclient_ca")],
        more: "[[user]]\nname = \"default\"\nauth_method = \"password\"\n\
               [[realm]]\nname = \"redis\"\nkind = \"password\"\nverify = \"backend\"\n",
        ..CASE
    },
    Case {
        claim: "passwords that nobody looks at",
        edits: &[("client_ca", "client_auth = \"optional\"\nclient_ca")],
        more: "[[user]]\nname = \"person\"\nauth_method = \"password\"\n",
        ..CASE
    },
];

#[test]
fn every_problem_with_realms_and_passwords_is_said_as_the_golden_file_says() {
    assert_said("passwords.txt", CASES);
}
