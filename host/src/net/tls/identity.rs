//! A certificate with its chain and its private key, read from files and known to fit each other.

use super::files;
use super::settings::CertificateFiles;
use crate::net::error::Error;
use openssl::asn1::Asn1Time;
use openssl::nid::Nid;
use openssl::pkey::{PKey, Private};
use openssl::x509::{X509, X509Ref};
use std::path::Path;

/// What a server shows, and what it proves it with.
pub(super) struct Identity {
    pub(super) leaf: X509,
    pub(super) chain: Vec<X509>,
    pub(super) key: PKey<Private>,
}

impl Identity {
    /// Reads one.
    ///
    /// # Errors
    /// A file that cannot be read or is not PEM, a key that others may read, that needs another
    /// passphrase or that is not the certificate's.
    pub(super) fn read(files: &CertificateFiles) -> Result<Self, Error> {
        let path = files.cert.display();
        let mut chain = X509::stack_from_pem(&files::read(&files.cert)?)
            .map_err(|error| Error::Tls(format!("{path} is no PEM certificate: {error}")))?
            .into_iter();
        let leaf =
            chain.next().ok_or_else(|| Error::Tls(format!("{path} is no PEM certificate")))?;
        let key = read_key(&files.key, files.key_passphrase_file.as_deref())?;
        match leaf.public_key() {
            Ok(public) if public.public_eq(&key) => Ok(Self { leaf, chain: chain.collect(), key }),
            _ => Err(Error::Tls(format!(
                "the key {} does not belong to the certificate {path}",
                files.key.display()
            ))),
        }
    }

    /// What clients will object to now or soon, if anything: the certificate is used all the same.
    pub(super) fn complaint(&self) -> Option<&'static str> {
        let now = Asn1Time::days_from_now(0).ok()?;
        if self.leaf.not_after() < now {
            return Some("has expired");
        }
        (self.leaf.not_before() > now).then_some("is not valid yet")
    }

    /// The host names that it is for, in small letters: those of its subjectAltName, else its
    /// common name (RFC 6125, 6.4.4).
    pub(super) fn hosts(&self) -> Vec<String> {
        let names: Vec<_> = self.leaf.subject_alt_names().into_iter().flatten().collect();
        let hosts: Vec<_> =
            names.iter().filter_map(|name| name.dnsname()).map(str::to_ascii_lowercase).collect();
        if names.is_empty() { common_name(&self.leaf).into_iter().collect() } else { hosts }
    }
}

fn common_name(certificate: &X509Ref) -> Option<String> {
    let entry = certificate.subject_name().entries_by_nid(Nid::COMMONNAME).next()?;
    std::str::from_utf8(entry.data().as_slice()).ok().map(str::to_ascii_lowercase)
}

fn read_key(path: &Path, passphrase_file: Option<&Path>) -> Result<PKey<Private>, Error> {
    let pem = files::read_secret(path)?;
    let Some(passphrase_file) = passphrase_file else {
        // Without the callback, OpenSSL would ask for an encrypted key's passphrase on the
        // terminal.
        return PKey::private_key_from_pem_callback(&pem, |_| Ok(0)).map_err(|error| {
            let shown = path.display();
            Error::Tls(format!(
                "{shown} is no PEM private key, or an encrypted one, which needs \
                 key_passphrase_file: {error}"
            ))
        });
    };
    let passphrase = files::read_secret(passphrase_file)?;
    let line = passphrase.split(|byte| matches!(byte, b'\n' | b'\r')).next().unwrap_or_default();
    PKey::private_key_from_pem_passphrase(&pem, line).map_err(|error| {
        let (key, file) = (path.display(), passphrase_file.display());
        Error::Tls(format!("the passphrase in {file} does not open the private key {key}: {error}"))
    })
}

#[cfg(test)]
mod tests {
    use super::super::trials::{self, Made};
    use super::*;
    use std::fs;
    use std::os::unix::fs::PermissionsExt;

    fn why(files: &CertificateFiles) -> String {
        match Identity::read(files) {
            Err(error) => error.to_string(),
            Ok(_) => panic!("accepted"),
        }
    }

    #[test]
    fn files_that_do_not_fit_are_named() {
        let dir = tempfile::tempdir().unwrap();
        let (one, other) =
            (Made::new("one").write(dir.path(), "one"), Made::new("two").write(dir.path(), "two"));
        let with = |cert: &Path, key: &Path| CertificateFiles {
            cert: cert.to_owned(),
            key: key.to_owned(),
            key_passphrase_file: None,
        };
        assert!(why(&with(&one.cert, &other.key)).contains("does not belong"));
        assert!(why(&with(&one.cert, &dir.path().join("none.pem"))).contains("cannot read"));
        assert!(why(&with(&one.key, &one.key)).contains("no PEM certificate"));
        fs::write(dir.path().join("text.pem"), "text").unwrap();
        fs::set_permissions(dir.path().join("text.pem"), fs::Permissions::from_mode(0o600))
            .unwrap();
        assert!(why(&with(&one.cert, &dir.path().join("text.pem"))).contains("no PEM private key"));
    }

    #[test]
    fn a_key_that_others_may_read_is_refused_with_what_mends_it() {
        let dir = tempfile::tempdir().unwrap();
        let files = Made::new("one").write(dir.path(), "one");
        for (mode, is_taken) in [
            (0o600, true),
            (0o400, true),
            (0o640, true),
            (0o604, false),
            (0o660, false),
            (0o644, false),
        ] {
            fs::set_permissions(&files.key, fs::Permissions::from_mode(mode)).unwrap();
            match Identity::read(&files) {
                Ok(_) => assert!(is_taken, "{mode:o}"),
                Err(error) => {
                    let says = format!("chmod g-w,o= {}", files.key.display());
                    assert!(!is_taken && error.to_string().ends_with(&says), "{mode:o}: {error}");
                }
            }
        }
    }

    #[test]
    fn an_encrypted_key_opens_with_the_first_line_of_its_passphrase_file() {
        let dir = tempfile::tempdir().unwrap();
        let mut files = Made::new("one").write_encrypted(dir.path(), "one", b"open sesame");
        assert!(why(&files).contains("needs key_passphrase_file"));
        let passphrase = dir.path().join("passphrase");
        files.key_passphrase_file = Some(passphrase.clone());
        for (text, is_right) in
            [("open sesame\n", true), ("open sesame", true), ("open\n", false), ("", false)]
        {
            trials::write_secret(&passphrase, text.as_bytes());
            assert_eq!(Identity::read(&files).is_ok(), is_right, "{text:?}");
        }
        fs::set_permissions(&passphrase, fs::Permissions::from_mode(0o644)).unwrap();
        assert!(why(&files).contains("is a secret"));
    }

    #[test]
    fn hosts_are_the_alternative_names_or_the_common_name() {
        let dir = tempfile::tempdir().unwrap();
        let read = |made: Made| Identity::read(&made.write(dir.path(), "c")).unwrap();
        assert_eq!(read(Made::new("One.Example")).hosts(), ["one.example"]);
        assert_eq!(
            read(Made::new("one").host("A.example").host("*.b.example")).hosts(),
            ["a.example", "*.b.example"]
        );
        assert_eq!(read(Made::new("one")).complaint(), None);
        assert_eq!(read(Made::new("one").expired()).complaint(), Some("has expired"));
    }
}
