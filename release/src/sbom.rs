//! `*.cdx.json`: what a program is made of, for programs that read it (`CycloneDX` 1.5).
//!
//! Specification: ECMA-424 and cyclonedx.org, `bom-1.5.schema.json`. The same parts give the same document: its serial number
//! is derived from the rest of it, and its time is that of `SOURCE_DATE_EPOCH`, if that is set.

use std::collections::BTreeSet;

use encoderfile_registry::Digest;
use jiff::Timestamp;
use serde::{Deserialize, Serialize};

use crate::check::Facts;
use crate::component::{Component, Composition, Origin};

const SCHEMA: &str = "http://cyclonedx.org/schema/bom-1.5.schema.json";
const FORMAT: &str = "CycloneDX";
const SPECIFICATION: &str = "1.5";
const PROPERTY_TARGET: &str = "encoderfile:target";
const REPOSITORY: &str = env!("CARGO_PKG_REPOSITORY");

/// The document.
#[derive(Debug, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
struct Document {
    #[serde(rename = "$schema")]
    schema: String,
    bom_format: String,
    spec_version: String,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    serial_number: Option<String>,
    version: u32,
    metadata: Metadata,
    components: Vec<Item>,
    dependencies: Vec<Dependency>,
}

#[derive(Debug, Serialize, Deserialize)]
struct Metadata {
    #[serde(default, skip_serializing_if = "Option::is_none")]
    timestamp: Option<Timestamp>,
    tools: Tools,
    component: Item,
    properties: Vec<Property>,
}

#[derive(Debug, Serialize, Deserialize)]
struct Tools {
    components: Vec<Item>,
}

#[derive(Debug, Serialize, Deserialize)]
struct Property {
    name: String,
    value: String,
}

/// A component, in the form that the document has for all.
#[derive(Debug, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
struct Item {
    #[serde(rename = "type")]
    kind: String,
    #[serde(rename = "bom-ref", default, skip_serializing_if = "Option::is_none")]
    reference: Option<String>,
    name: String,
    version: String,
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    hashes: Vec<Hash>,
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    licenses: Vec<Licence>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    purl: Option<String>,
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    external_references: Vec<Reference>,
}

#[derive(Debug, Serialize, Deserialize)]
struct Hash {
    alg: String,
    content: String,
}

#[derive(Debug, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
enum Licence {
    /// In SPDX's language.
    Expression(String),
    License {
        name: String,
    },
}

#[derive(Debug, Serialize, Deserialize)]
struct Reference {
    #[serde(rename = "type")]
    kind: String,
    url: String,
}

#[derive(Debug, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
struct Dependency {
    r#ref: String,
    depends_on: BTreeSet<String>,
}

/// Why a document is not the one of a program.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub(crate) enum SbomError {
    #[error("it is no CycloneDX document of this tool")]
    Json(#[from] serde_json::Error),
    #[error("it is of another form")]
    Form { found: String },
    #[error("it is about something else: {what}")]
    OtherProgram { what: &'static str, expected: String, found: String },
    #[error("it names components that the notices do not")]
    NotInNotices { components: Vec<String> },
}

impl SbomError {
    pub(crate) fn details(&self) -> Vec<(&'static str, String)> {
        match self {
            Self::Form { found } => {
                vec![("expected", format!("{FORMAT} {SPECIFICATION}")), ("found", found.clone())]
            }
            Self::OtherProgram { expected, found, .. } => {
                vec![("expected", expected.clone()), ("found", found.clone())]
            }
            Self::NotInNotices { components } => {
                components.iter().map(|component| ("component", component.clone())).collect()
            }
            Self::Json(_) => Vec::new(),
        }
    }
}

/// Writes the document of a program in `version`, whose executable has this digest.
pub(crate) fn render(
    composition: &Composition,
    version: &str,
    sha256: Digest,
    time: Option<Timestamp>,
) -> String {
    let Composition { program, target, components, direct } = composition;
    let root = format!("pkg:generic/{}@{version}?target={target}", program.name());
    let mut dependencies = vec![Dependency { r#ref: root.clone(), depends_on: direct.clone() }];
    dependencies.extend(components.iter().map(|component| Dependency {
        r#ref: component.purl.clone(),
        depends_on: component.dependencies.clone(),
    }));
    let mut document = Document {
        schema: SCHEMA.to_owned(),
        bom_format: FORMAT.to_owned(),
        spec_version: SPECIFICATION.to_owned(),
        serial_number: None,
        version: 1,
        metadata: Metadata {
            timestamp: time,
            tools: Tools {
                components: vec![Item {
                    version: env!("CARGO_PKG_VERSION").to_owned(),
                    ..Item::new("application", env!("CARGO_PKG_NAME"))
                }],
            },
            component: Item {
                reference: Some(root.clone()),
                version: version.to_owned(),
                hashes: vec![Hash::sha256(sha256)],
                licenses: vec![Licence::Expression(env!("CARGO_PKG_LICENSE").to_owned())],
                purl: Some(root),
                external_references: vec![Reference::vcs(REPOSITORY)],
                ..Item::new("application", program.name())
            },
            properties: vec![Property { name: PROPERTY_TARGET.to_owned(), value: target.to_string() }],
        },
        components: components.iter().map(item).collect(),
        dependencies,
    };
    document.serial_number = Some(serial_number(&to_json(&document)));
    to_json(&document)
}

fn to_json(document: &Document) -> String {
    serde_json::to_string_pretty(document).expect("it is made of strings and lists of them") + "\n"
}

/// A UUID that is derived from the content (RFC 9562, version 8).
fn serial_number(content: &str) -> String {
    let mut bytes: [u8; 16] = *Digest::of(content.as_bytes()).as_bytes().first_chunk().expect("it has 32");
    bytes[6] = bytes[6] & 0x0f | 0x80;
    bytes[8] = bytes[8] & 0x3f | 0x80;
    let text = hex::encode(bytes);
    let groups = [&text[..8], &text[8..12], &text[12..16], &text[16..20], &text[20..]];
    format!("urn:uuid:{}", groups.join("-"))
}

fn item(component: &Component) -> Item {
    let licence = match &component.licence {
        Some(expression) => Licence::Expression(expression.clone()),
        None => Licence::License { name: "see its text".to_owned() },
    };
    Item {
        reference: Some(component.purl.clone()),
        version: component.version.clone(),
        hashes: component.sha256.map(Hash::sha256).into_iter().collect(),
        licenses: vec![licence],
        purl: Some(component.purl.clone()),
        external_references: match &component.origin {
            Origin::Url(url) => vec![Reference::vcs(url)],
            Origin::Crate => Vec::new(),
        },
        ..Item::new("library", &component.name)
    }
}

impl Item {
    fn new(kind: &str, name: &str) -> Self {
        Self {
            kind: kind.to_owned(),
            reference: None,
            name: name.to_owned(),
            version: String::new(),
            hashes: Vec::new(),
            licenses: Vec::new(),
            purl: None,
            external_references: Vec::new(),
        }
    }
}

impl Hash {
    fn sha256(digest: Digest) -> Self {
        Self { alg: "SHA-256".to_owned(), content: digest.to_string() }
    }
}

impl Reference {
    fn vcs(url: &str) -> Self {
        Self { kind: "vcs".to_owned(), url: url.to_owned() }
    }
}

/// Checks that `bytes` are the document of the program that was found to be `facts`, in `version`. Returns how many components
/// it names.
pub(crate) fn check(bytes: &[u8], facts: &Facts, version: &str, notices: &str) -> Result<usize, SbomError> {
    let document: Document = serde_json::from_slice(bytes)?;
    if (document.bom_format.as_str(), document.spec_version.as_str()) != (FORMAT, SPECIFICATION) {
        let found = format!("{} {}", document.bom_format, document.spec_version);
        return Err(SbomError::Form { found });
    }
    let hash = |item: &Item| item.hashes.first().map_or_else(String::new, |hash| hash.content.clone());
    let subject = &document.metadata.component;
    let properties = &document.metadata.properties;
    let target = properties.iter().find(|property| property.name == PROPERTY_TARGET);
    let mut comparisons = vec![
        ("program", facts.program.name().to_owned(), subject.name.clone()),
        ("version", version.to_owned(), subject.version.clone()),
        ("target", facts.target.to_string(), target.map(|target| target.value.clone()).unwrap_or_default()),
        ("sha256", facts.sha256.to_string(), hash(subject)),
    ];
    if let Some(library) = &facts.onnxruntime {
        let purl = format!("pkg:pypi/onnxruntime@{}", library.version);
        let listed = document.components.iter().find(|item| item.purl.as_ref() == Some(&purl));
        let found = listed.map_or_else(|| "none".to_owned(), hash);
        comparisons.push(("sha256 of ONNX Runtime", library.sha256.to_string(), found));
    }
    for (what, expected, found) in comparisons {
        if expected != found {
            return Err(SbomError::OtherProgram { what, expected, found });
        }
    }
    let missing =
        document.components.iter().map(|item| (item, format!("| {} | {} |", item.name, item.version)));
    let missing = missing.filter(|(_, row)| !notices.contains(row.as_str()));
    let missing: Vec<String> = missing.map(|(item, _)| format!("{} {}", item.name, item.version)).collect();
    if !missing.is_empty() {
        return Err(SbomError::NotInNotices { components: missing });
    }
    Ok(document.components.len())
}
