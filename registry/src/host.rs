//! The machine that this runs on: what its base binaries may need.
//!
//! Nothing is run to find out: distroless has no shell, old loaders know no `--version`, Gentoo's `ldd` does not say
//! "GLIBC", and Alpine's gcompat answers in glibc's name. Read instead is what the dynamic loader itself would look at: the
//! version definitions of the `libc.so.6` that belongs to the loader which base binaries name.

use std::fs;
use std::path::{Path, PathBuf};

use object::elf::{EM_AARCH64, EM_X86_64, FileHeader64};
use object::read::elf::{FileHeader, SectionHeader as _};

use crate::index::{Floor, PlatformVersion};
use crate::target::{Architecture, ObjectFormat, Target};

/// glibc's own is 2 MB; a file longer than this is not read.
const MAX_LIBC_SIZE: u64 = 64 << 20;

/// The machine that this runs on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Host {
    /// The target of its architecture and operating system.
    pub target: Target,
    /// What its system libraries are.
    pub platform: Platform,
}

/// The system libraries of a machine.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Platform {
    /// GNU libc, with the newest symbol version that it defines.
    Glibc(PlatformVersion),
    /// musl, as on Alpine. Base binaries do not run there.
    Musl,
    /// macOS.
    Macos(PlatformVersion),
    /// No known system libraries were found, as in an empty container.
    Unknown,
}

impl std::fmt::Display for Platform {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Glibc(version) => write!(f, "glibc {version}"),
            Self::Musl => f.write_str("musl"),
            Self::Macos(version) => write!(f, "macOS {version}"),
            Self::Unknown => f.write_str("no known system libraries"),
        }
    }
}

impl Host {
    /// Looks at this machine. An operating system or architecture without base binaries is an error.
    pub fn detect() -> Result<Self, crate::UnknownTarget> {
        let target = Target::host()?;
        Ok(Self { target, platform: detect_in(Path::new("/"), target) })
    }

    /// Whether a base binary with this floor starts on this machine; `true` where that cannot be known.
    pub fn admits(&self, floor: Floor) -> bool {
        match (self.platform, floor) {
            (Platform::Glibc(found), Floor::Glibc(needed))
            | (Platform::Macos(found), Floor::Macos(needed)) => found >= needed,
            (Platform::Unknown, _) => true,
            _ => false,
        }
    }
}

fn detect_in(root: &Path, target: Target) -> Platform {
    match target.object_format() {
        ObjectFormat::Elf => linux_platform(root, target.architecture()),
        ObjectFormat::MachO => macos_version(root).map_or(Platform::Unknown, Platform::Macos),
    }
}

fn linux_platform(root: &Path, architecture: Architecture) -> Platform {
    // Debian can have musl installed beside glibc, and Alpine a loader in glibc's name: only glibc's own library is proof.
    if let Some(version) =
        libc_candidates(root, architecture).iter().find_map(|path| glibc_version(path, architecture))
    {
        return Platform::Glibc(version);
    }
    let musl = match architecture {
        Architecture::Aarch64 => "lib/ld-musl-aarch64.so.1",
        Architecture::X86_64 => "lib/ld-musl-x86_64.so.1",
    };
    if root.join(musl).exists() { Platform::Musl } else { Platform::Unknown }
}

/// Where the loader of base binaries finds `libc.so.6`: beside itself, then in its default directories.
fn libc_candidates(root: &Path, architecture: Architecture) -> Vec<PathBuf> {
    let (loader, multiarch) = match architecture {
        Architecture::Aarch64 => ("lib/ld-linux-aarch64.so.1", "aarch64-linux-gnu"),
        Architecture::X86_64 => ("lib64/ld-linux-x86-64.so.2", "x86_64-linux-gnu"),
    };
    // No loader, no base binary: a glibc elsewhere (NixOS, a cross compiler's) would not be used.
    let Ok(loader) = fs::canonicalize(root.join(loader)) else {
        return Vec::new();
    };
    let beside = loader.parent().map(Path::to_owned);
    let defaults = [format!("lib/{multiarch}"), format!("usr/lib/{multiarch}")].into_iter();
    let defaults = defaults.chain(["lib64", "usr/lib64", "lib", "usr/lib"].map(str::to_owned));
    let directories = beside.into_iter().chain(defaults.map(|directory| root.join(directory)));
    directories.map(|directory| directory.join("libc.so.6")).collect()
}

/// The newest `GLIBC_x.y` that the library at `path` defines.
fn glibc_version(path: &Path, architecture: Architecture) -> Option<PlatformVersion> {
    let size = fs::metadata(path).ok()?.len();
    if size > MAX_LIBC_SIZE {
        return None;
    }
    let data = fs::read(path).ok()?;
    let header = FileHeader64::<object::Endianness>::parse(&*data).ok()?;
    let endian = header.endian().ok()?;
    let machine = match architecture {
        Architecture::Aarch64 => EM_AARCH64,
        Architecture::X86_64 => EM_X86_64,
    };
    if header.e_machine(endian) != machine {
        return None;
    }
    let sections = header.sections(endian, &*data).ok()?;
    let mut newest = None;
    for section in sections.iter() {
        let Some((mut definitions, strings)) = section.gnu_verdef(endian, &*data).ok()? else {
            continue;
        };
        let strings = sections.strings(endian, &*data, strings).ok()?;
        while let Some((_, mut names)) = definitions.next().ok()? {
            let Some(name) = names.next().ok()? else { continue };
            let name = std::str::from_utf8(name.name(endian, strings).ok()?).ok()?;
            let version =
                name.strip_prefix("GLIBC_").and_then(|version| version.parse::<PlatformVersion>().ok());
            newest = newest.max(version);
        }
    }
    newest
}

fn macos_version(root: &Path) -> Option<PlatformVersion> {
    let list = fs::read_to_string(root.join("System/Library/CoreServices/SystemVersion.plist")).ok()?;
    let (_, rest) = list.split_once("<key>ProductVersion</key>")?;
    let (_, rest) = rest.split_once("<string>")?;
    let (version, _) = rest.split_once("</string>")?;
    version.trim().parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn fake_root(files: &[(&str, &[u8])]) -> tempfile::TempDir {
        let root = tempfile::tempdir().unwrap();
        for (path, bytes) in files {
            let path = root.path().join(path);
            fs::create_dir_all(path.parent().unwrap()).unwrap();
            fs::write(path, bytes).unwrap();
        }
        root
    }

    #[test]
    fn floors_compare_with_the_platform_of_the_same_kind() {
        let glibc = |minor| Platform::Glibc(PlatformVersion::new(2, minor));
        let host = |platform| Host { target: Target::X86_64LinuxGnu, platform };
        let floor = Floor::Glibc(PlatformVersion::new(2, 34));
        assert!(host(glibc(34)).admits(floor));
        assert!(host(glibc(40)).admits(floor));
        assert!(!host(glibc(4)).admits(floor));
        assert!(!host(Platform::Musl).admits(floor));
        assert!(host(Platform::Unknown).admits(floor));
        let mac = Host {
            target: Target::Aarch64AppleDarwin,
            platform: Platform::Macos(PlatformVersion::new(13, 2)),
        };
        assert!(mac.admits(Floor::Macos(PlatformVersion::new(13, 0))));
        assert!(!mac.admits(Floor::Macos(PlatformVersion::new(14, 0))));
    }

    #[test]
    fn macos_says_its_version_in_a_property_list() {
        let list =
            b"<plist><dict><key>ProductName</key><string>macOS</string>\n\t<key>ProductVersion</key>\n\t\
            <string>14.5</string></dict></plist>";
        let root = fake_root(&[("System/Library/CoreServices/SystemVersion.plist", list)]);
        assert_eq!(
            detect_in(root.path(), Target::Aarch64AppleDarwin),
            Platform::Macos(PlatformVersion::new(14, 5))
        );
        assert_eq!(detect_in(fake_root(&[]).path(), Target::Aarch64AppleDarwin), Platform::Unknown);
    }

    /// mise: the same with files that are no libraries at all.
    #[test]
    fn alpine_with_a_loader_in_glibcs_name_is_musl() {
        let root = fake_root(&[
            ("lib/ld-musl-x86_64.so.1", b"\x7fELF"),
            ("lib64/ld-linux-x86-64.so.2", b"\x7fELF"),
            ("lib64/libc.so.6", b"\x7fELF"),
        ]);
        assert_eq!(detect_in(root.path(), Target::X86_64LinuxGnu), Platform::Musl);
        assert_eq!(detect_in(root.path(), Target::Aarch64LinuxGnu), Platform::Unknown);
    }

    /// mise: Alpine with gcompat, whose loader answers in glibc's name. Both names lead to musl, which is a real library
    /// without any of glibc's versions.
    #[cfg(target_os = "linux")]
    #[test]
    fn alpine_with_gcompat_is_musl() {
        use std::os::unix::fs::symlink;

        let target = Target::host().unwrap();
        let (musl, loader) = match target.architecture() {
            Architecture::Aarch64 => ("lib/ld-musl-aarch64.so.1", "lib/ld-linux-aarch64.so.1"),
            Architecture::X86_64 => ("lib/ld-musl-x86_64.so.1", "lib64/ld-linux-x86-64.so.2"),
        };
        // Of this machine's processor, and it defines no version.
        let library = fs::read("/bin/true").unwrap();
        for libc in ["lib/libc.so.6", "lib64/libc.so.6", "usr/lib/libc.so.6"] {
            let root = fake_root(&[(musl, &library)]);
            for name in [loader, libc] {
                let path = root.path().join(name);
                fs::create_dir_all(path.parent().unwrap()).unwrap();
                symlink(root.path().join(musl), path).unwrap();
            }
            assert_eq!(detect_in(root.path(), target), Platform::Musl, "{libc}");
        }
    }

    /// uv#8635: distroless has glibc and no shell; the empty image has nothing.
    #[test]
    fn an_empty_container_is_unknown() {
        assert_eq!(detect_in(fake_root(&[]).path(), Target::X86_64LinuxGnu), Platform::Unknown);
    }

    #[cfg(all(target_os = "linux", target_env = "gnu"))]
    /// binstall#1999, binstall#1379, uv#8635: a loader that does not say "GLIBC", or knows no `--version`, or that no shell
    /// is there to run. Nothing is run.
    #[test]
    fn this_machines_glibc_is_found_in_its_library_alone() {
        let host = Host::detect().unwrap();
        let Platform::Glibc(version) = host.platform else { panic!("{host:?}") };
        assert!(version >= PlatformVersion::new(2, 17), "{version}");

        // The same library, where another distribution puts it, and without anything that could be run.
        let (loader, name) = match host.target.architecture() {
            Architecture::Aarch64 => ("lib/ld-linux-aarch64.so.1", "lib/libc.so.6"),
            Architecture::X86_64 => ("lib64/ld-linux-x86-64.so.2", "usr/lib64/libc.so.6"),
        };
        let libc = libc_candidates(Path::new("/"), host.target.architecture());
        let libc = fs::read(libc.iter().find(|path| path.exists()).unwrap()).unwrap();
        let root = fake_root(&[(loader, b"#!/bin/false"), (name, &libc)]);
        assert_eq!(detect_in(root.path(), host.target), host.platform);
        for cut in [0, 10, 64, 1000, libc.len() / 2, libc.len() - 1] {
            let root = fake_root(&[(loader, b""), (name, &libc[..cut])]);
            detect_in(root.path(), host.target);
        }
    }
}
