//! Which sources are asked, and whose keys count there: flags, environment and configuration file together.

use std::env;

use encoderfile_registry::{GitHubConfig, Source, Token, TrustedKeys, TrustedSource};

use crate::args;
use crate::config_file::{ConfigFile, SourceTable};
use crate::error::Error;

/// The variable of `--source`.
pub(crate) const SOURCE_VARIABLE: &str = "ENCODERFILE_BASE_BINARY_BASE_URL";

/// Where releases come from: the source that was named, or those of the configuration file, or the project's own.
pub(crate) fn sources(global: &args::Global, file: &ConfigFile) -> Result<Vec<TrustedSource>, Error> {
    let registry = encoderfile_registry::Error::from;
    let mut usual = TrustedKeys::compiled_in().map_err(registry)?;
    for key_id in &global.revoked_keys {
        usual.revoke(key_id.parse().map_err(Error::RevokedKey)?);
    }
    for key_id in &file.revoked_keys {
        usual.revoke(*key_id);
    }
    // Whatever the project or the user has revoked counts at no source.
    let mut given = usual.revocations();
    add_keys(&mut given, &global.trusted_keys)?;
    add_keys(&mut usual, &file.trusted_keys)?;
    usual.extend(&given);

    let environment = Environment::read()?;
    let mut configured = Vec::with_capacity(file.sources.len());
    for table in &file.sources {
        let source = environment.source_of(table)?;
        let mut trusted_keys = usual.clone();
        if !table.trusted_keys.is_empty() {
            trusted_keys = given.clone();
            add_keys(&mut trusted_keys, &table.trusted_keys)?;
        }
        configured.push(TrustedSource { source, trusted_keys });
    }
    if let Some(text) = &global.source {
        let source = Source::parse(text, global.allow_http).map_err(registry_error)?;
        // The same place has the same keys, however it was named.
        let known = configured.into_iter().find(|known| known.source == source);
        return Ok(vec![known.unwrap_or(TrustedSource { source, trusted_keys: usual })]);
    }
    if configured.is_empty() {
        let source = Source::github(&environment.github).map_err(registry_error)?;
        return Ok(vec![TrustedSource { source, trusted_keys: usual }]);
    }
    Ok(configured)
}

fn registry_error(error: encoderfile_registry::SourceError) -> Error {
    encoderfile_registry::Error::from(error).into()
}

fn add_keys(keys: &mut TrustedKeys, files_or_keys: &[String]) -> Result<(), Error> {
    for key in files_or_keys {
        keys.add(key).map_err(encoderfile_registry::Error::from)?;
    }
    Ok(())
}

/// What the environment says of GitHub.
struct Environment {
    github: GitHubConfig,
}

impl Environment {
    fn read() -> Result<Self, Error> {
        // The order of GitHub's own command line.
        let token = ["GH_TOKEN", "GITHUB_TOKEN"].into_iter().find_map(|name| Some((name, variable(name)?)));
        let token = token.map(|(name, text)| parse_token(name, &text));
        let github = GitHubConfig {
            server_url: variable("GITHUB_SERVER_URL"),
            api_url: variable("GITHUB_API_URL"),
            repository: variable("ENCODERFILE_GITHUB_REPO"),
            token: token.transpose()?,
        };
        Ok(Self { github })
    }

    /// A source of the configuration file. The environment's token belongs to the environment's server: it is for a source
    /// at that server alone.
    fn source_of(&self, table: &SourceTable) -> Result<Source, Error> {
        if let Some(name) = &table.token_variable
            && let Some(text) = variable(name)
        {
            return table.source(Some(&parse_token(name, &text)?)).map_err(registry_error);
        }
        let plain = table.source(None).map_err(registry_error)?;
        let Source::GitHub(configured) = &plain else { return Ok(plain) };
        let Ok(Source::GitHub(own)) = Source::github(&self.github) else { return Ok(plain) };
        if !configured.is_at_same_server(&own) {
            return Ok(plain);
        }
        table.source(self.github.token.as_ref()).map_err(registry_error)
    }
}

fn parse_token(name: &str, text: &str) -> Result<Token, Error> {
    Token::new(text).map_err(|_| Error::Token { variable: name.to_owned() })
}

/// An environment variable that is set to something.
pub(crate) fn variable(name: &str) -> Option<String> {
    env::var(name).ok().filter(|value| !value.is_empty())
}
