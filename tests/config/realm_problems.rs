//! Every problem that a realm of certificates can have.

use crate::golden::{CASE, Case, assert_said};

/// Two roles with Redis users, of which the user of the configuration has one.
const ROLES: (&str, &str) = (
    "address = \"127.0.0.1:6379\"",
    "address = \"127.0.0.1:6379\"\nroles = [{ role = \"reader\", redis_user = \"r\", redis_password_env = \"APP_PASSWORD\" }]",
);
const LISTED: (&str, &str) = ("client_ca", "realms = [\"programs\"]\nclient_ca");
const HAS: (&str, &str) = ("name = \"app\"", "name = \"app\"\nroles = [\"reader\"]");

const CASES: &[Case] = &[
    Case {
        claim: "users without a Redis user of their own, where roles lead to one",
        edits: &[
            ROLES,
            HAS,
            ("redis_user = \"app\"\nredis_password_file = \"app.password\"", "commands = \"all\""),
        ],
        more: "[[user]]\nname = \"half\"\ncertificate_subject_line = \"CN=half\"\nredis_user = \"half\"\n\
               [[user]]\nname = \"other\"\ncertificate_subject_line = \"CN=other\"\nredis_password_env = \"APP_PASSWORD\"\n",
        ..CASE
    },
    Case {
        claim: "OS-11, ES-17: values that cannot be taken from a certificate",
        edits: &[LISTED],
        more: "[[realm]]\nname = \"programs\"\nkind = \"certificate\"\nusername_attribute = \"CM\"\n\
               roles_attribute = \"san:dsn\"\nvalues = { x = \"app\" }\nskip_users = [\"CN=a,b\", \"*\", \"/(/\"]\n\
               client_ca = \"missing.crt\"\n",
        ..CASE
    },
    Case {
        claim: "values without an attribute, and an attribute without values",
        edits: &[LISTED],
        more: "[[realm]]\nname = \"programs\"\nkind = \"certificate\"\nvalues = { x = \"app\" }\n\
               user_is_value = false\nfallback = \"dn\"\n\
               [[realm]]\nname = \"spare\"\nkind = \"certificate\"\nusername_attribute = \"CN\"\n",
        ..CASE
    },
    Case {
        claim: "a value that stands for no text",
        edits: &[LISTED],
        more: "[[realm]]\nname = \"programs\"\nkind = \"certificate\"\nusername_attribute = \"dn\"\n\
               values = { \"CN=x\" = \"app\", \"CN = x\" = \"app\", y = \"nobody\", \"CN=z\" = \"person\", \"CN=w\" = 7 }\n\
               [[user]]\nname = \"person\"\nauth_method = \"password\"\n\
               redis_user = \"app\"\nredis_password_file = \"app.password\"\n",
        ..CASE
    },
    Case {
        claim: "subjects of a table that are there twice, or are none",
        edits: &[LISTED],
        more: "[[realm]]\nname = \"programs\"\nkind = \"certificate\"\nusername_attribute = \"dn\"\nfallback = \"cn\"\n\
               [[realm]]\nname = \"spare\"\nkind = \"certificate\"\nusername_attribute = \"dn\"\n\
               values = { \"CN=x\" = \"app\", \"CN = x\" = \"app\", y = \"nobody\", \"CN=z\" = \"person\" }\n\
               [[user]]\nname = \"person\"\nauth_method = \"password\"\n\
               redis_user = \"app\"\nredis_password_file = \"app.password\"\n",
        ..CASE
    },
    Case {
        claim: "users that are made of values, without roles",
        edits: &[LISTED],
        more: "[[realm]]\nname = \"programs\"\nkind = \"certificate\"\nusername_attribute = \"CN\"\nuser_is_value = true\n",
        ..CASE
    },
    Case {
        claim: "a realm of everything, without a problem",
        edits: &[LISTED, ROLES, HAS, ("certificate_subject_line = \"CN=app,O=Acme\"\n", "")],
        more: "[[realm]]\nname = \"programs\"\nkind = \"certificate\"\nclient_ca = [\"ca.crt\"]\n\
               username_attribute = \"san:uri:spiffe://*\"\nvalues = { \"spiffe://prod/app\" = \"app\" }\n\
               user_is_value = true\nfallback = \"dn\"\nroles_attribute = \"OU\"\nskip_users = [\"CN=old,O=Acme\"]\n",
        ..CASE
    },
];

#[test]
fn every_problem_with_realms_of_certificates_is_said_as_the_golden_file_says() {
    assert_said("realms.txt", CASES);
}
