//! Keys of other products that people bring along, and what stands for them
//! here. Nothing is taken from such a key: it is an error that says where to go.

/// The end of a key's path, in lower case, and what to use.
const LEGACY: &[(&str, &str)] = &[
    // OpenSearch and Open Distro: plugins.security.*, opendistro_security.*
    ("pemcert_filepath", "listener.certificate"),
    ("pemkey_filepath", "listener.key"),
    ("pemkey_password", "listener.key_password_file"),
    ("pemtrustedcas_filepath", "listener.client_ca"),
    ("keystore_filepath", "listener.keystore if it is PKCS#12, or listener.certificate and listener.key"),
    ("keystore_password", "listener.keystore_password_file"),
    ("truststore_filepath", "listener.client_ca"),
    ("truststore_password", "listener.client_ca, which needs no password"),
    ("clientauth_mode", "listener.client_auth"),
    ("enabled_protocols", "listener.tls_min_version"),
    ("crl.file_path", "listener.crl"),
    ("crl.validate", "listener.crl"),
    ("crl.check_only_end_entities", "listener.crl_depth = \"leaf\""),
    ("authcz.admin_dn", "[[user]] with certificate_subject_line"),
    ("nodes_dn", "[[user]] with certificate_subject_line"),
    ("roles_mapping_resolution", "[roles_mapping.NAME], all of whose lists are compared"),
    ("clientcert_auth_domain", "[[realm]] with kind = \"certificate\""),
    ("username_attribute", "[[realm]] with username_attribute"),
    ("roles_attribute", "[[realm]] with roles_attribute"),
    ("skip_users", "[[realm]] with skip_users"),
    ("audit.type", "[audit]"),
    // Elasticsearch and Kibana: xpack.security.*
    ("ssl.client_authentication", "listener.client_auth"),
    ("ssl.certificate_authorities", "listener.client_ca"),
    ("ssl.certificate", "listener.certificate"),
    ("ssl.key", "listener.key"),
    ("ssl.key_passphrase", "listener.key_password_file"),
    ("ssl.secure_key_passphrase", "listener.key_password_keystore"),
    ("ssl.keystore.path", "listener.keystore if it is PKCS#12, or listener.certificate and listener.key"),
    ("ssl.truststore.path", "listener.client_ca"),
    ("ssl.supported_protocols", "listener.tls_min_version"),
    ("username_pattern", "[[realm]] with username_attribute"),
    ("username_rdn_name", "[[realm]] with username_attribute"),
    ("username_rdn_oid", "[[realm]] with username_attribute"),
    ("files.role_mapping", "role_mapping_file"),
    // Redis Enterprise
    ("mtls_trusted_ca", "listener.client_ca"),
    ("mtls_certificate_authentication", "listener.client_auth"),
    (
        "authentication_ssl_client_certs",
        "listener.client_ca for CAs, listener.client_certificates for clients' own",
    ),
    ("client_certs", "listener.client_ca"),
    ("tls_mode", "a [listener], which always speaks TLS, and database.tls for what is behind it"),
    ("client_cert_subject_validation_type", "listener.mtls_client_cert_subject_validation_type"),
    ("authorized_subjects", "listener.mtls_authorized_subjects"),
    ("authorized_names", "listener.mtls_authorized_subjects"),
    ("enforce_client_authentication", "listener.client_auth"),
    ("mtls_allow_outdated_certs", "listener.allow_expired_certificates"),
    ("mtls_allow_weak_hashing", "certificates signed with SHA-256: SHA-1 is always refused"),
    ("cba_identity_source", "[[realm]] with username_attribute"),
    ("min_data_tls_version", "listener.tls_min_version"),
    // Redis and Valkey
    ("tls-port", "listener.address"),
    ("tls-cert-file", "listener.certificate"),
    ("tls-key-file", "listener.key"),
    ("tls-key-file-pass", "listener.key_password_file"),
    ("tls-ca-cert-file", "listener.client_ca"),
    ("tls-ca-cert-dir", "listener.client_ca"),
    ("tls-auth-clients", "listener.client_auth"),
    ("tls-auth-clients-user", "[[user]] with certificate_subject_line"),
    ("tls-protocols", "listener.tls_min_version"),
    ("requirepass", "[[user]] with redis_password_file"),
];

/// What stands for a key of another product, by the path of the key.
pub(super) fn instead(path: &str) -> Option<&'static str> {
    let path = path.to_ascii_lowercase();
    let is_it =
        |end: &str| path.strip_suffix(end).is_some_and(|before| before.is_empty() || before.ends_with('.'));
    LEGACY.iter().find(|(end, _)| is_it(end)).map(|&(_, instead)| instead)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn keys_are_known_with_and_without_their_prefixes() {
        for path in [
            "clientauth_mode",
            "plugins.security.ssl.http.clientauth_mode",
            "opendistro_security.ssl.transport.CLIENTAUTH_MODE",
        ] {
            assert_eq!(instead(path), Some("listener.client_auth"), "{path}");
        }
        assert_eq!(instead("xpack.security.http.ssl.key"), Some("listener.key"));
        // A database's own are spelled without the prefix that a cluster's have.
        for key in ["authorized_subjects", "client_cert_subject_validation_type"] {
            assert_eq!(instead(key), Some(format!("listener.mtls_{key}").as_str()));
            assert_eq!(instead(&format!("mtls_{key}")), None);
        }
        assert!(instead("tls_mode").is_some_and(|it| it.contains("[listener]")));
        for path in ["key", "xclientauth_mode", "clientauth_mode.x", ""] {
            assert_eq!(instead(path), None, "{path}");
        }
    }

    #[test]
    fn no_key_is_there_twice() {
        let ends: std::collections::BTreeSet<_> = LEGACY.iter().map(|(end, _)| end).collect();
        assert_eq!(ends.len(), LEGACY.len());
        assert!(ends.iter().all(|end| **end == end.to_ascii_lowercase()));
    }
}
