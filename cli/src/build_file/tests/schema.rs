//! The published schema: generated from the types, and of one mind with the parser.

use std::path::Path;
use std::{env, fs};

use clap::CommandFactory as _;
use serde_json::Value;

use super::super::{BuildFile, parser_options};
use super::documents::{BAD, GOOD};
use super::parse;
use crate::args::Arguments;

const PUBLISHED: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/../encoderfile.schema.json");
const VARIABLE: &str = "ENCODERFILE_UPDATE_SCHEMA";

#[test]
fn the_published_schema_is_that_of_the_types() {
    let generated = serde_json::to_string_pretty(&BuildFile::schema()).unwrap() + "\n";
    if env::var_os(VARIABLE).is_some() {
        fs::write(PUBLISHED, &generated).unwrap();
    }
    let published = fs::read_to_string(PUBLISHED).unwrap_or_default();
    assert!(
        published == generated,
        "encoderfile.schema.json is not that of the types: write it with `{VARIABLE}=1 cargo test -p encoderfile --lib schema`"
    );
}

fn validator() -> jsonschema::Validator {
    let schema = BuildFile::schema();
    jsonschema::draft202012::meta::validate(&schema).unwrap();
    jsonschema::draft202012::new(&schema).unwrap()
}

/// As another program sees the document.
fn value(document: &str) -> Result<Value, serde_saphyr::Error> {
    let mut options = parser_options();
    options.no_schema = false;
    serde_saphyr::from_str_with_options(document, options)
}

#[test]
fn schema_and_parser_agree() {
    let validator = validator();
    for document in GOOD {
        let value = value(document).unwrap();
        let faults: Vec<_> = validator.iter_errors(&value).map(|fault| fault.to_string()).collect();
        assert!(faults.is_empty(), "{document}: {faults:?}");
    }
    for bad in BAD.iter().filter(|bad| bad.is_of_schema) {
        assert!(!validator.is_valid(&value(bad.document).unwrap()), "{}", bad.document);
    }
    // What is said to be beyond the schema is: others cannot read it at all, or see nothing wrong with it.
    for bad in BAD.iter().filter(|bad| !bad.is_of_schema) {
        let is_refused = value(bad.document).is_ok_and(|value| !validator.is_valid(&value));
        assert!(!is_refused, "{}", bad.document);
    }
}

/// The example in a text: from the line `encoderfile:` to the first that is indented no deeper.
fn example(text: &str) -> String {
    let mut lines = text.lines().skip_while(|line| line.trim() != "encoderfile:");
    let first = lines.next().expect("a line `encoderfile:`");
    let indent = first.len() - first.trim_start().len();
    let is_below = |line: &&str| line.len() - line.trim_start().len() > indent;
    let below = lines.take_while(is_below).map(|line| format!("{}\n", &line[indent..]));
    format!("encoderfile:\n{}", below.collect::<String>())
}

#[test]
fn the_examples_of_the_documents_are_good() {
    let readme = Path::new(env!("CARGO_MANIFEST_DIR")).join("../README.md");
    let help = Arguments::command().find_subcommand("build").unwrap().get_after_help().unwrap().to_string();
    for text in [fs::read_to_string(readme).unwrap(), help] {
        let example = example(&text);
        let file = parse(&example).unwrap_or_else(|error| panic!("{example}{error}"));
        assert!(file.path.is_some() && file.cache_dir.is_some(), "{example}");
        assert!(validator().is_valid(&value(&example).unwrap()), "{example}");
    }
}
