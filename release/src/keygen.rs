//! A new minisign key pair.

use std::env::VarError;
use std::fmt;
use std::io::Write as _;
use std::path::{Path, PathBuf};

use minisign::KeyPair;

use crate::error::Error;
use crate::output::OutputFile;
use crate::work_tree;

/// The environment variable that holds the password of the secret key.
pub(crate) const PASSWORD_VARIABLE: &str = "ENCODERFILE_KEY_PASSWORD";
const SECRET_KEY_FILE: &str = "encoderfile.key";
const PUBLIC_KEY_FILE: &str = "encoderfile.pub";

/// The files of a new key pair.
pub(crate) struct Generated {
    secret_key: PathBuf,
    public_key: PathBuf,
    key_id: String,
    encrypted: bool,
}

/// Makes a key pair in `out` and never touches one that is there. With `password`, the secret key is encrypted.
pub(crate) fn keygen(out: &Path, password: Option<String>) -> Result<Generated, Error> {
    let secret_key = out.join(SECRET_KEY_FILE);
    let public_key = out.join(PUBLIC_KEY_FILE);
    for path in [&secret_key, &public_key] {
        if path.symlink_metadata().is_ok() {
            return Err(Error::KeyExists { path: path.clone() });
        }
    }
    let encrypted = password.is_some();
    let pair = match password {
        Some(password) => KeyPair::generate_encrypted_keypair(Some(password)),
        None => KeyPair::generate_unencrypted_keypair(),
    };
    let pair = pair.map_err(|source| Error::GenerateKey { source })?;
    let key_id = key_id(pair.pk.keynum());
    let comment = format!("encoderfile release signing key {key_id}");
    let secret_box = pair.sk.to_box(Some(&comment)).map_err(|source| Error::GenerateKey { source })?;
    let public_box = pair.pk.to_box().map_err(|source| Error::GenerateKey { source })?;

    // The public key first: without the secret one it is harmless, while a secret key alone looks like a finished pair.
    for (path, mode, bytes) in
        [(&public_key, 0o644, public_box.to_bytes()), (&secret_key, 0o600, secret_box.to_bytes())]
    {
        let mut output = OutputFile::create(path, mode)?;
        output.write_all(&bytes).map_err(Error::io("write", path))?;
        output.commit_new()?;
    }
    Ok(Generated { secret_key, public_key, key_id, encrypted })
}

/// A password, as the environment has it.
pub(crate) struct Password {
    pub(crate) variable: String,
    /// None where the variable is not set. It may be empty.
    pub(crate) text: Option<String>,
}

/// The password for a new secret key. An empty one is a secret that a CI forgot to pass on, and must not quietly become a key
/// without encryption.
pub(crate) fn password() -> Result<Option<String>, Error> {
    let Password { variable, text } = password_in(PASSWORD_VARIABLE.to_owned())?;
    if text.as_deref() == Some("") { Err(Error::EmptyPassword { variable }) } else { Ok(text) }
}

/// The password of the secret key at `index` among several: each has its own variable, or else that of the first. Whether it may be
/// empty is for the key to say: a CI has no other way to pass none on.
pub(crate) fn password_at(index: usize) -> Result<Password, Error> {
    if index > 0 {
        let own = password_in(format!("{PASSWORD_VARIABLE}_{}", index + 1))?;
        if own.text.is_some() {
            return Ok(own);
        }
    }
    password_in(PASSWORD_VARIABLE.to_owned())
}

fn password_in(variable: String) -> Result<Password, Error> {
    match std::env::var(&variable) {
        Ok(text) => Ok(Password { variable, text: Some(text) }),
        Err(VarError::NotPresent) => Ok(Password { variable, text: None }),
        Err(VarError::NotUnicode(_)) => Err(Error::PasswordNotText { variable }),
    }
}

impl Generated {
    /// What must not happen to the secret key where it is.
    pub(crate) fn warning(&self) -> Option<String> {
        let root = work_tree::exposing(&self.secret_key)?;
        Some(format!(
            "warning: secret key `{}` is in the git work tree `{}`, and not ignored: it must never be committed\n\
             hint: move both files out of it, or add `*.key` to its .gitignore",
            self.secret_key.display(),
            root.display()
        ))
    }
}

/// The key id as the `minisign` tool shows it.
pub(crate) fn key_id(keynum: &[u8]) -> String {
    let big_endian: Vec<u8> = keynum.iter().rev().copied().collect();
    hex::encode_upper(big_endian)
}

impl fmt::Display for Generated {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { secret_key, public_key, key_id, encrypted } = self;
        let (secret_key, public_key) = (secret_key.display(), public_key.display());
        writeln!(f, "key id:     {key_id}")?;
        if *encrypted {
            writeln!(f, "secret key: {secret_key} (encrypted with the password in {PASSWORD_VARIABLE})")?;
        } else {
            writeln!(
                f,
                "secret key: {secret_key} (not encrypted: whoever reads this file can sign releases)"
            )?;
        }
        writeln!(f, "public key: {public_key}")?;
        writeln!(f)?;
        writeln!(f, "next:")?;
        writeln!(f, "  keep the secret key out of the repository, with a copy in a safe place")?;
        writeln!(f, "  sign a release with it:     encoderfile-release sign DIR --key {secret_key}")?;
        writeln!(
            f,
            "  use what it has signed:     encoderfile base fetch --source DIR --trusted-key {public_key}"
        )?;
        write!(
            f,
            "  trust it in every new CLI:  append the public key's two lines to registry/trusted-keys.pub"
        )
    }
}

#[cfg(test)]
mod tests {
    use super::key_id;

    #[test]
    fn key_id_is_little_endian_like_minisigns() {
        assert_eq!(key_id(&[0x0a, 2, 3, 4, 5, 6, 7, 0xff]), "FF0706050403020A");
    }
}
