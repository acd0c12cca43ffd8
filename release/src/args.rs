//! The command line.

use std::path::PathBuf;

use clap::{Args, Parser, Subcommand};
use encoderfile_registry::{KeyId, Target};
use jiff::Timestamp;
use semver::Version;

use crate::component::Program;
use crate::publish::Commit;
use crate::source_date;

/// Checks, packs, indexes, signs, verifies and publishes a release of encoderfile base binaries.
#[derive(Debug, Parser)]
#[command(
    name = "encoderfile-release",
    version,
    after_help = "A release, from the beginning:
  read -rs ENCODERFILE_KEY_PASSWORD && export ENCODERFILE_KEY_PASSWORD
  encoderfile-release keygen --out ~/encoderfile-keys
  encoderfile-release pack --target x86_64-unknown-linux-gnu \\
      --runtime target/release/encoderfile-runtime --cli target/release/encoderfile \\
      --out dist/v0.1.0            # and so for each of the other targets
  encoderfile-release index --version 0.1.0 dist/v0.1.0
  encoderfile-release sign dist/v0.1.0 --key ~/encoderfile-keys/encoderfile.key
  encoderfile-release verify dist/v0.1.0 --trusted-key ~/encoderfile-keys/encoderfile.pub
  git tag v0.1.0 && git push origin v0.1.0
  encoderfile-release publish dist/v0.1.0 --repo encoderfile/encoderfile --notes CHANGELOG.md \\
      --trusted-key ~/encoderfile-keys/encoderfile.pub

Exit codes: 0 done, 1 failed, 2 usage, 4 a check did not hold, 5 network, 130 interrupted."
)]
pub(crate) struct Arguments {
    #[command(subcommand)]
    pub(crate) command: Command,
}

#[derive(Debug, Subcommand)]
pub(crate) enum Command {
    /// Make a key pair to sign releases with
    ///
    /// Writes `encoderfile.key` (secret, mode 0600) and `encoderfile.pub` in minisign's format; what is there is never
    /// overwritten. With `ENCODERFILE_KEY_PASSWORD` set, the secret key is encrypted with it. Warns where git would commit it.
    #[command(after_help = "Examples:
  ENCODERFILE_KEY_PASSWORD=… encoderfile-release keygen --out ~/encoderfile-keys")]
    Keygen {
        /// Directory for the two files, best outside of every repository
        #[arg(long, value_name = "DIR")]
        out: PathBuf,
    },

    /// Pin a version of ONNX Runtime for the base binaries that are built from now on
    ///
    /// Downloads the official wheels of all targets with pip, takes the digests of wheel and library, and writes them into the
    /// file of pins, whose comments stay. Nothing is written unless every target has a library. Pip finds its index, mirrors,
    /// proxies and certificates as always. Read the changes before they are committed: from then on they are what is trusted.
    #[command(after_help = "Examples:
  encoderfile-release pin-onnxruntime --version 1.23.2
  git diff release/onnxruntime.toml")]
    PinOnnxruntime {
        /// Version of ONNX Runtime
        #[arg(long, value_name = "VERSION")]
        version: Version,
        /// Python whose wheels are taken, instead of the one in the file
        #[arg(long, value_name = "VERSION")]
        python: Option<String>,
        /// File of pins
        #[arg(long, value_name = "FILE", default_value = "release/onnxruntime.toml")]
        file: PathBuf,
    },

    /// Check that a checkout may be released under a tag, and print the release's notes
    ///
    /// The tag must be that of the workspace's version, the changelog must have a section for it, which is what is
    /// printed, and the signing key must be one that clients will know and that is not revoked.
    #[command(after_help = "Examples:
  encoderfile-release preflight --tag v0.1.0
  encoderfile-release preflight --tag v0.1.0 --key-id 0123456789ABCDEF > notes.md")]
    Preflight {
        /// The tag
        #[arg(long, value_name = "TAG")]
        tag: String,
        /// Id of the key that will sign; without it, any key will do that is compiled in
        #[arg(long, value_name = "ID")]
        key_id: Option<KeyId>,
        /// Root of the checkout
        #[arg(long, value_name = "DIR", default_value = ".")]
        directory: PathBuf,
    },

    /// Check that an executable can be given to others, and print what it is and what it needs as JSON
    ///
    /// Reads it without running it: container and processor, stamp, embedded ONNX Runtime, the oldest system that it and
    /// the libraries inside it run on (on Linux at most glibc 2.36), the libraries that they need (only those that every
    /// system has, and none by a search path of their own), no executable stack, and on macOS the code signature, and that a
    /// model can be put into a base binary. `pack`, `index` and `verify` check the same.
    #[command(after_help = "Examples:
  encoderfile-release check target/release/encoderfile-runtime --target x86_64-unknown-linux-gnu
  encoderfile-release check target/release/encoderfile --target aarch64-apple-darwin \\
      --program encoderfile

Keys of the JSON document, to which later versions may add:
  program, target, size, sha256, container, architecture
  floor         {\"glibc\": \"2.34\"} or {\"macos\": \"13.4\"}
  stamp         version, target, format_versions, onnxruntime_version; null for the command line
  onnxruntime   version, offset, size, sha256; pin: the pinned library that it is byte for byte
                (version, target, wheel, library), or null; null for the command line
  macos         header_room: zero bytes behind the load commands; signature: identifier and ad_hoc,
                or null where Intel's processors need none; null on Linux
  parts         the executable and each library inside it: kind, offset, floor, floor_symbols,
                libraries")]
    Check {
        /// Executable
        #[arg(value_name = "FILE")]
        file: PathBuf,
        /// Target triple
        #[arg(long, value_name = "TARGET")]
        target: Target,
        /// What it must be, instead of what its stamp says that it is
        #[arg(long, value_enum, value_name = "PROGRAM")]
        program: Option<Program>,
    },

    /// Pack a base binary, and the command line, into a release's archives
    ///
    /// Reads the base binary's stamp without running it, and refuses what is no base binary for the target. The same
    /// files give the same archive: times are `SOURCE_DATE_EPOCH`, or 0 if that is not set. Beside each archive it writes an
    /// SBOM (`.cdx.json`, `CycloneDX` 1.5) from the list that the notices are generated from, and none where these are given.
    #[command(after_help = "Examples:
  encoderfile-release pack --target x86_64-unknown-linux-gnu \\
      --runtime target/release/encoderfile-runtime --cli target/release/encoderfile \\
      --out dist/v0.1.0
  encoderfile-release pack --target aarch64-apple-darwin --runtime ./encoderfile-runtime \\
      --third-party THIRD_PARTY.md --out dist/v0.1.0")]
    Pack(PackArguments),

    /// Write base-index.json: what the archives of a directory hold
    ///
    /// Unpacks every base binary, compares its stamp with the version and measures the oldest system that it runs on;
    /// a need for a newer glibc than 2.36 is an error, and so is any file that is not part of a release. The time of
    /// publication is `--published`, or else `SOURCE_DATE_EPOCH`, or else now: with the same time, the same archives give the
    /// same index, so that all of it can be done again after it has failed half-way.
    #[command(after_help = "Examples:
  encoderfile-release index --version 0.1.0 dist/v0.1.0
  encoderfile-release index --version 0.1.0 --published \"$(git log -1 --format=%cI)\" dist/v0.1.0")]
    Index {
        /// Version of the release
        #[arg(long, value_name = "VERSION")]
        version: Version,
        /// Time of publication: seconds since 1970, or RFC 3339
        #[arg(long, value_name = "TIME", value_parser = source_date::given)]
        published: Option<Timestamp>,
        /// Directory of the archives
        #[arg(value_name = "DIR")]
        directory: PathBuf,
    },

    /// Sign the index and the archives of a directory
    ///
    /// Checks first that the index describes the files that are there. Writes a `.minisig` beside the index and each archive,
    /// verified before it gets its name, and removes those of keys that are not named. What has a good signature by the key
    /// already keeps it, since each new one has other bytes. Takes keys of `keygen` and of
    /// `minisign -G`, with or without (-W) a password, which is read from `ENCODERFILE_KEY_PASSWORD`; that of the second key
    /// from `ENCODERFILE_KEY_PASSWORD_2`, if that is set. For a key without a password they may be empty.
    ///
    /// Several keys sign side by side, so that one can take the place of another: the first key's signature of FILE is
    /// `FILE.minisig`, that of each further one `FILE.{key id}.minisig`. Clients that do not trust the first look for theirs.
    #[command(after_help = "Examples:
  encoderfile-release sign dist/v0.1.0 --key ~/encoderfile-keys/encoderfile.key
  encoderfile-release sign dist/v0.1.0 --key ~/encoderfile-keys/old.key --key ~/encoderfile-keys/new.key
  minisign -V -p ~/encoderfile-keys/encoderfile.pub -m dist/v0.1.0/base-index.json
  minisign -V -p ~/encoderfile-keys/new.pub -m dist/v0.1.0/base-index.json \\
      -x dist/v0.1.0/base-index.json.0123456789ABCDEF.minisig")]
    Sign {
        /// Directory of the release
        #[arg(value_name = "DIR")]
        directory: PathBuf,
        /// Secret key; may be given several times
        #[arg(long = "key", value_name = "FILE", required = true)]
        keys: Vec<PathBuf>,
    },

    /// Verify a release from its files alone, as somebody does who believes nobody
    ///
    /// The signatures of the index and of each archive, and what they say that they are of; sizes and digests; each archive
    /// unpacked, and each program in it checked as `check` does: that it is what the index says, that it comes with its notices,
    /// and that its SBOM is about it and names nothing that the notices do not.
    #[command(after_help = "Examples:
  encoderfile-release verify dist/v0.1.0 --trusted-key ~/encoderfile-keys/encoderfile.pub
  encoderfile-release verify dist/v0.1.0 --trusted-key RWQ…")]
    Verify {
        /// Directory of the release
        #[arg(value_name = "DIR")]
        directory: PathBuf,
        /// Minisign public key, or a file with some; may be given several times. Without it, the project's own count
        #[arg(long = "trusted-key", value_name = "FILE-OR-KEY")]
        trusted_keys: Vec<String>,
    },

    /// Publish the release of a directory at GitHub
    ///
    /// Verifies the directory as `verify` does, and that each of its signatures is by a trusted key and no target is missing.
    /// Makes a draft, uploads all files, reads back their names, sizes and hashes, and only then publishes. Run again
    /// after any failure or interruption, it goes on where it stopped. What is published is never changed: if it is
    /// what the directory holds, there is nothing to do, and otherwise it is refused. Another signature of the same file by the
    /// same key counts as the same.
    ///
    /// The tag `v{version}` must be there, or the commit that is to be tagged be named. A workflow is to push the tag first: its
    /// token may name no commit that changes `.github/workflows`.
    ///
    /// The token is read from `GH_TOKEN` or `GITHUB_TOKEN`, and needs write access to the repository's contents.
    /// `GITHUB_API_URL` and `GITHUB_SERVER_URL` name another server than github.com. The address of the release is
    /// printed on standard output, everything else on standard error.
    #[command(after_help = "Examples:
  encoderfile-release publish dist/v0.1.0 --repo encoderfile/encoderfile --dry-run
  encoderfile-release publish dist/v0.1.0 --repo encoderfile/encoderfile --notes CHANGELOG.md
  encoderfile-release publish dist/v0.1.0 --repo \"$GITHUB_REPOSITORY\" \\
      --notes CHANGELOG.md --target-commitish \"$GITHUB_SHA\" --draft")]
    Publish(PublishArguments),

    /// Write `THIRD_PARTY.md`: what a program is made of, and under which licences
    #[command(after_help = "Examples:
  encoderfile-release third-party --program encoderfile-runtime --target x86_64-unknown-linux-gnu
  encoderfile-release third-party --program encoderfile --target aarch64-apple-darwin --out -")]
    ThirdParty {
        /// Program
        #[arg(long, value_enum, value_name = "PROGRAM")]
        program: Program,
        /// Target triple
        #[arg(long, value_name = "TARGET")]
        target: Target,
        /// File to write; `-` is standard output
        #[arg(long, value_name = "FILE", default_value = "THIRD_PARTY.md")]
        out: PathBuf,
        /// Cargo.toml of the workspace, instead of the one around the current directory
        #[arg(long, value_name = "FILE")]
        manifest_path: Option<PathBuf>,
    },
}

#[derive(Debug, Args)]
pub(crate) struct PackArguments {
    /// Target triple
    #[arg(long, value_name = "TARGET")]
    pub(crate) target: Target,
    /// The base binary
    #[arg(long, value_name = "FILE")]
    pub(crate) runtime: PathBuf,
    /// The command line `encoderfile` for the same target
    #[arg(long, value_name = "FILE")]
    pub(crate) cli: Option<PathBuf>,
    /// Directory for the archives
    #[arg(long, value_name = "DIR")]
    pub(crate) out: PathBuf,
    /// The base binary's `THIRD_PARTY.md`, instead of generating it
    #[arg(long, value_name = "FILE")]
    pub(crate) third_party: Option<PathBuf>,
    /// The command line's `THIRD_PARTY.md`, instead of generating it
    #[arg(long, value_name = "FILE", requires = "cli")]
    pub(crate) cli_third_party: Option<PathBuf>,
    /// Cargo.toml of the workspace, instead of the one around the current directory
    #[arg(long, value_name = "FILE")]
    pub(crate) manifest_path: Option<PathBuf>,
    /// zstd level; a low one is quick, for a release that only this machine sees
    #[arg(long, value_name = "N", default_value_t = 19, value_parser = clap::value_parser!(i32).range(1..=22))]
    pub(crate) level: i32,
}

#[derive(Debug, Args)]
pub(crate) struct PublishArguments {
    /// Directory of the release, signed
    #[arg(value_name = "DIR")]
    pub(crate) directory: PathBuf,
    /// Repository
    #[arg(long, value_name = "OWNER/NAME")]
    pub(crate) repo: String,
    /// Minisign public key, or a file with some; may be given several times. Without it, the project's own count
    #[arg(long = "trusted-key", value_name = "FILE-OR-KEY")]
    pub(crate) trusted_keys: Vec<String>,
    /// Publish a release that has not every program for every target; users of the others will not find it
    #[arg(long)]
    pub(crate) allow_missing_targets: bool,
    /// Changelog, whose section for the version becomes the release's text; or a file that is that text. A draft that
    /// is there keeps its own
    #[arg(long, value_name = "FILE")]
    pub(crate) notes: Option<PathBuf>,
    /// Commit that is released, all 40 digits: a tag that is there must be at it, and one that is not there is made at it
    #[arg(long, value_name = "SHA")]
    pub(crate) target_commitish: Option<Commit>,
    /// Leave it a draft, to be published by hand or by another run
    #[arg(long)]
    pub(crate) draft: bool,
    /// Print what would be done, and change nothing
    #[arg(long)]
    pub(crate) dry_run: bool,
    /// How often a failure that may pass is tried again
    #[arg(long, value_name = "N", default_value_t = 5)]
    pub(crate) retries: u32,
    /// How long to wait while nothing happens
    #[arg(long, value_name = "SECONDS", default_value_t = 60, value_parser = clap::value_parser!(u32).range(1..))]
    pub(crate) timeout: u32,
}
