//! The four platforms that base binaries exist for.

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};
use target_lexicon::{OperatingSystem, Triple};

/// A platform that base binaries exist for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub enum Target {
    /// `aarch64-apple-darwin`
    Aarch64AppleDarwin,
    /// `aarch64-unknown-linux-gnu`
    Aarch64LinuxGnu,
    /// `x86_64-apple-darwin`
    X86_64AppleDarwin,
    /// `x86_64-unknown-linux-gnu`
    X86_64LinuxGnu,
}

/// The instruction set of a target.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Architecture {
    /// 64-bit ARM.
    Aarch64,
    /// 64-bit Intel and AMD.
    X86_64,
}

/// The executable format of a target.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum ObjectFormat {
    /// Linux.
    Elf,
    /// macOS.
    MachO,
}

impl Target {
    /// All targets, in the order of their triples.
    pub const ALL: [Self; 4] =
        [Self::Aarch64AppleDarwin, Self::Aarch64LinuxGnu, Self::X86_64AppleDarwin, Self::X86_64LinuxGnu];

    /// The Rust target triple.
    pub const fn triple(self) -> &'static str {
        match self {
            Self::Aarch64AppleDarwin => "aarch64-apple-darwin",
            Self::Aarch64LinuxGnu => "aarch64-unknown-linux-gnu",
            Self::X86_64AppleDarwin => "x86_64-apple-darwin",
            Self::X86_64LinuxGnu => "x86_64-unknown-linux-gnu",
        }
    }

    /// The instruction set.
    pub const fn architecture(self) -> Architecture {
        match self {
            Self::Aarch64AppleDarwin | Self::Aarch64LinuxGnu => Architecture::Aarch64,
            Self::X86_64AppleDarwin | Self::X86_64LinuxGnu => Architecture::X86_64,
        }
    }

    /// The executable format.
    pub const fn object_format(self) -> ObjectFormat {
        match self {
            Self::Aarch64LinuxGnu | Self::X86_64LinuxGnu => ObjectFormat::Elf,
            Self::Aarch64AppleDarwin | Self::X86_64AppleDarwin => ObjectFormat::MachO,
        }
    }

    /// The target of the machine that this runs on. A musl system maps to the gnu target of its architecture; whether the
    /// base binary runs there is for [`Host`](crate::Host) and the index's floor to say.
    pub fn host() -> Result<Self, UnknownTarget> {
        let host = target_lexicon::HOST;
        nearest_platform(&host).ok_or_else(|| UnknownTarget { found: host.to_string(), suggestion: None })
    }
}

/// A target that no base binaries exist for.
#[derive(Debug, Clone, thiserror::Error)]
#[error(
    "unknown target `{found}`{}\n  expected one of: {}",
    .suggestion.map(|target| format!(", did you mean `{target}`?")).unwrap_or_default(),
    Target::ALL.map(Target::triple).join(", ")
)]
pub struct UnknownTarget {
    /// What was asked for.
    pub found: String,
    /// The target that was probably meant. Never taken silently.
    pub suggestion: Option<Target>,
}

impl UnknownTarget {
    /// What to do about it, for the `hint:` line.
    pub fn hint(&self) -> String {
        let other =
            "for any other platform, build the runtime for it and give its file with `--base-binary-path`";
        match self.suggestion {
            Some(target) if self.found.contains("musl") => {
                format!("`{target}` needs glibc and does not run on Alpine or another musl system; {other}")
            }
            Some(target) => format!("use `--target {target}`; {other}"),
            None => other.to_owned(),
        }
    }
}

impl FromStr for Target {
    type Err = UnknownTarget;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        match Self::ALL.into_iter().find(|target| target.triple() == text) {
            Some(target) => Ok(target),
            None => Err(UnknownTarget { found: text.chars().take(80).collect(), suggestion: nearest(text) }),
        }
    }
}

/// The target with the same architecture and operating system.
fn nearest_platform(triple: &Triple) -> Option<Target> {
    use target_lexicon::Architecture as Lexicon;
    let architecture = match triple.architecture {
        Lexicon::Aarch64(_) => Architecture::Aarch64,
        Lexicon::X86_64 | Lexicon::X86_64h => Architecture::X86_64,
        _ => return None,
    };
    let object_format = match triple.operating_system {
        OperatingSystem::Linux => ObjectFormat::Elf,
        OperatingSystem::Darwin(_) | OperatingSystem::MacOSX(_) => ObjectFormat::MachO,
        _ => return None,
    };
    of_platform(architecture, object_format)
}

fn of_platform(architecture: Architecture, object_format: ObjectFormat) -> Option<Target> {
    Target::ALL
        .into_iter()
        .find(|target| target.architecture() == architecture && target.object_format() == object_format)
}

/// What `text` was probably meant to be: a triple of the same platform, a name such as `linux/arm64`, or a typing error.
fn nearest(text: &str) -> Option<Target> {
    let text = text.trim().to_ascii_lowercase();
    let lexicon =
        text.parse::<Triple>().ok().filter(|triple| triple.operating_system != OperatingSystem::Unknown);
    if let Some(triple) = lexicon {
        // A triple that exists but has no base binary (`x86_64-pc-windows-msvc`) is not near to any.
        return nearest_platform(&triple);
    }
    nearest_alias(&text).or_else(|| {
        Target::ALL
            .into_iter()
            .map(|target| (target, strsim::normalized_damerau_levenshtein(target.triple(), &text)))
            .filter(|(_, similarity)| *similarity >= 0.7)
            .max_by(|a, b| a.1.total_cmp(&b.1))
            .map(|(target, _)| target)
    })
}

/// The names that containers, other package managers and `uname` use.
fn nearest_alias(text: &str) -> Option<Target> {
    let text = text.replace("x86-64", "x86_64");
    let words: Vec<&str> = text.split(['/', '-', '.', ' ', ':']).collect();
    let any = |names: &[&str]| words.iter().any(|word| names.contains(word));
    let architecture = if any(&["aarch64", "arm64", "armv8"]) {
        Architecture::Aarch64
    } else if any(&["x86_64", "amd64", "x64", "intel64"]) {
        Architecture::X86_64
    } else {
        return None;
    };
    let object_format = if any(&["linux", "gnu", "glibc", "debian", "ubuntu"]) {
        ObjectFormat::Elf
    } else if any(&["darwin", "macos", "macosx", "osx", "mac", "apple"]) {
        ObjectFormat::MachO
    } else {
        return None;
    };
    of_platform(architecture, object_format)
}

impl fmt::Display for Target {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.triple())
    }
}

impl TryFrom<String> for Target {
    type Error = UnknownTarget;

    fn try_from(text: String) -> Result<Self, Self::Error> {
        text.parse()
    }
}

impl From<Target> for String {
    fn from(target: Target) -> Self {
        target.triple().to_owned()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn triples_round_trip_and_are_what_the_lexicon_calls_them() {
        for target in Target::ALL {
            assert_eq!(target.triple().parse::<Target>().unwrap(), target);
            assert_eq!(target.triple().parse::<Triple>().unwrap().to_string(), target.triple());
            assert_eq!(nearest_platform(&target.triple().parse().unwrap()), Some(target));
        }
        assert!(Target::ALL.is_sorted_by_key(|target| target.triple()));
        assert!(Target::ALL.is_sorted());
    }

    #[test]
    fn musl_is_not_told_to_use_what_does_not_run_there() {
        let hint = |text: &str| text.parse::<Target>().unwrap_err().hint();
        assert!(hint("linux/arm64").contains("use `--target"));
        let hint = hint("x86_64-unknown-linux-musl");
        assert!(!hint.contains("use `--target") && hint.contains("needs glibc"), "{hint}");
    }

    #[test]
    fn what_people_type_is_suggested_and_never_taken() {
        for (text, expected) in [
            ("linux/arm64", Some(Target::Aarch64LinuxGnu)),
            ("linux/amd64", Some(Target::X86_64LinuxGnu)),
            ("linux/arm64/v8", Some(Target::Aarch64LinuxGnu)),
            ("arm64-apple-darwin", Some(Target::Aarch64AppleDarwin)),
            ("arm64-apple-darwin23.1.0", Some(Target::Aarch64AppleDarwin)),
            ("x86_64-linux-gnu", Some(Target::X86_64LinuxGnu)),
            ("x86_64-unknown-linux-musl", Some(Target::X86_64LinuxGnu)),
            ("macos-arm64", Some(Target::Aarch64AppleDarwin)),
            ("darwin-x86-64", Some(Target::X86_64AppleDarwin)),
            ("X86_64-Unknown-Linux-GNU", Some(Target::X86_64LinuxGnu)),
            ("x86_64-unknwon-linux-gnu", Some(Target::X86_64LinuxGnu)),
            ("aarch64-aple-darwin", Some(Target::Aarch64AppleDarwin)),
            (" x86_64-apple-darwin", Some(Target::X86_64AppleDarwin)),
            ("x86_64-pc-windows-msvc", None),
            ("riscv64gc-unknown-linux-gnu", None),
            ("", None),
            ("host", None),
        ] {
            let error = text.parse::<Target>().unwrap_err();
            assert_eq!(error.suggestion, expected, "{text}");
        }
    }

    #[test]
    fn the_error_lists_all_targets_and_the_way_out() {
        let error = "linux/arm64".parse::<Target>().unwrap_err();
        let message = error.to_string();
        assert!(Target::ALL.iter().all(|target| message.contains(target.triple())), "{message}");
        assert!(message.contains("did you mean `aarch64-unknown-linux-gnu`?"), "{message}");
        assert!(error.hint().contains("--base-binary-path"));
    }
}
