//! The files that the configuration names: read at start, refused in words, never quoted.

use std::path::Path;

use super::*;

const TOKEN: &str = "0123456789abcdef";

/// A chain of one and its key, in PEM.
fn identity() -> (String, String) {
    let rcgen::CertifiedKey { cert, signing_key } =
        rcgen::generate_simple_self_signed(["proxy.example".to_owned()]).unwrap();
    (cert.pem(), signing_key.serialize_pem())
}

fn tls(certificate: &Path, key: &Path) -> String {
    format!("[listen.tls]\ncertificate = {certificate:?}\nkey = {key:?}\n")
}

#[test]
fn certificates_and_keys_are_read_before_they_are_needed() {
    let files = Files::new();
    let (certificate, key) = identity();
    let (_, other_key) = identity();
    let certificate = files.add("tls.crt", certificate);
    let key = files.add("tls.key", key);
    let loaded = from_toml(&tls(&certificate, &key)).unwrap();
    assert_eq!(
        loaded.config.listen.tls,
        Some(ListenTls { certificate: certificate.clone(), key: key.clone(), clients: None })
    );

    let other_key = files.add("other.key", other_key);
    let empty = files.add("empty", "");
    let garbage = files.add("garbage", "-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n");
    let cut = files.add("cut", "-----BEGIN PRIVATE KEY-----\nAAAA\n");
    for (certificate, key, at_fault) in [
        (&certificate, &other_key, Key::ListenTlsKey),
        (&certificate, &empty, Key::ListenTlsKey),
        (&certificate, &cut, Key::ListenTlsKey),
        (&certificate, &files.absent(), Key::ListenTlsKey),
        (&empty, &key, Key::ListenTlsCertificate),
        (&garbage, &key, Key::ListenTlsCertificate),
        (&files.absent(), &key, Key::ListenTlsCertificate),
    ] {
        let fault = the_fault(from_toml(&tls(certificate, key)));
        assert_eq!(fault.key, at_fault.as_str(), "{fault}");
    }
    assert_eq!(faults(from_toml(&tls(&empty, &cut))).len(), 2);
}

#[test]
fn with_tls_any_address_is_taken() {
    let files = Files::new();
    let (certificate, key) = identity();
    let tls = tls(&files.add("tls.crt", certificate), &files.add("tls.key", key));
    assert!(from_toml(&format!("[listen]\naddress = '0.0.0.0:8443'\n{tls}")).is_ok());
}

#[test]
fn roots_are_read_before_they_are_needed() {
    let files = Files::new();
    let roots = files.add("ca.pem", identity().0);
    let ca_file = |path: &Path| from_toml(&setting(Key::UpstreamCaFile, &format!("{path:?}")));
    assert_eq!(ca_file(&roots).unwrap().config.upstream.ca_file, Some(roots));
    for path in [files.absent(), files.add("empty", ""), files.add("key", identity().1), PathBuf::new()] {
        assert_eq!(the_fault(ca_file(&path)).key, "upstream.ca_file", "{}", path.display());
    }
}

#[test]
fn a_token_is_one_line_that_cannot_be_guessed_and_is_never_shown() {
    let files = Files::new();
    let token_file = |path: &Path| from_toml(&setting(Key::AdminTokenFile, &format!("{path:?}")));
    for content in [TOKEN.to_owned(), format!("{TOKEN}\n"), format!("{TOKEN}\r\n")] {
        let path = files.add("token", content);
        assert_eq!(token_file(&path).unwrap().config.admin.token_file.as_deref(), Some(path.as_path()));
        assert_eq!(files::token(&path).unwrap().expose(), TOKEN);
        assert!(!format!("{:?}", files::token(&path)).contains(TOKEN));
    }
    for (content, problem) in [
        (String::new(), "is empty"),
        ("\n".to_owned(), "is empty"),
        (TOKEN[1..].to_owned(), "is too short"),
        (format!("{TOKEN}\n\n"), "holds more than one line"),
        (format!("{TOKEN} {TOKEN}"), "holds more than one line"),
        (format!("{TOKEN}ü"), "holds more than one line"),
    ] {
        let fault = the_fault(token_file(&files.add("token", content)));
        assert!(fault.given.contains(problem), "{fault}");
        assert!(!fault.to_string().contains(&TOKEN[1..]), "{fault}");
    }
    assert!(the_fault(token_file(&files.absent())).given.contains("cannot be read"));
}

#[test]
fn a_command_that_opens_no_files_needs_none() {
    let files = Files::new();
    let text =
        format!("{}[admin]\ntoken_file = {:?}\n", tls(&files.absent(), &files.absent()), files.absent());
    let site = files.add("site.toml", text);
    assert!(load_values(std::slice::from_ref(&site), std::iter::empty()).is_ok());
    assert_eq!(faults(load(&[site], std::iter::empty())).len(), 3);
}
