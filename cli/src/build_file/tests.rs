//! What is read of a build file, and what is said of one that cannot be used.

mod documents;
mod schema;

use std::fs;
use std::path::Path;

use documents::{BAD, GOOD};
use encoderfile_format::{ModelType, PoolingMode};

use super::*;

const NAME: &str = "encoderfile.yml";

fn parse(text: &str) -> Result<BuildFile, BuildFileError> {
    BuildFile::parse(text.as_bytes(), Path::new(NAME))
}

/// A build file with these lines below `encoderfile:`.
fn below(lines: &str) -> String {
    let lines: Vec<_> = lines.lines().map(|line| format!("  {line}\n")).collect();
    format!("encoderfile:\n{}", lines.concat())
}

fn good(lines: &str) -> BuildFile {
    parse(&below(lines)).unwrap_or_else(|error| panic!("{lines}: {error}"))
}

/// The message and the hint, as they are printed.
fn said(error: &BuildFileError) -> String {
    let hint = error.hint().map(|hint| format!("\nhint: {hint}")).unwrap_or_default();
    format!("{error}{hint}")
}

#[test]
fn texts_and_paths() {
    let file = good("name: mood\nversion: 1.0.0\nweights: fp16\ndefault_prompt_name: query");
    assert_eq!(file.name.unwrap(), "mood");
    assert_eq!(file.version.unwrap(), "1.0.0");
    assert_eq!(file.weights.unwrap(), "fp16");
    assert_eq!(file.default_prompt_name.unwrap(), "query");
    // Words that YAML once took for truth values are words.
    assert_eq!(good("name: yes").name.unwrap(), "yes");
    assert_eq!(good("version: '1.0'").version.unwrap(), "1.0");
    let nothing = good("name:\nversion: ~\npath: null\npooling:\ntarget:\ntokenizer:\nprompts:\nnormalize:");
    assert!(nothing.name.is_none() && nothing.path.is_none() && nothing.tokenizer.is_none());
    assert!(nothing.target.is_empty() && nothing.pooling.is_empty() && nothing.prompts.is_none());
}

#[test]
fn all_paths_are_relative_to_the_file() {
    let text = below(
        "path: model\noutput_path: out\nbase_binary_path: /base\ncache_dir: ../cache\ntransform: {path: t.lua}",
    );
    let file = BuildFile::parse(text.as_bytes(), Path::new("project/encoderfile.yml")).unwrap();
    assert_eq!(file.path.unwrap(), Path::new("project/model"));
    assert_eq!(file.output_path.unwrap(), Path::new("project/out"));
    assert_eq!(file.base_binary_path.unwrap(), Path::new("/base"));
    assert_eq!(file.cache_dir.unwrap(), Path::new("project/../cache"));
    assert_eq!(file.transform.unwrap().path.unwrap(), Path::new("project/t.lua"));
    assert!(file.model_files.is_none());

    let text = below(
        "path:\n  model_config_path: c\n  model_weights_path: w\n  tokenizer_path: /t\n  tokenizer_config_path: d\n  \
         preprocessor_config_path: p",
    );
    let file = BuildFile::parse(text.as_bytes(), Path::new("project/encoderfile.yml")).unwrap();
    assert!(file.path.is_none());
    let mut files = file.model_files.unwrap();
    let paths: Vec<_> = files.paths_mut().map(|path| path.display().to_string()).collect();
    assert_eq!(paths, ["project/c", "project/w", "/t", "project/d", "project/p"]);
    assert_eq!(files.model_config_path, Path::new("project/c"));
    assert_eq!(files.model_weights_path, Path::new("project/w"));
    assert_eq!(files.tokenizer_path, Path::new("/t"));
    assert_eq!(files.tokenizer_config_path.unwrap(), Path::new("project/d"));
    assert_eq!(files.preprocessor_config_path.unwrap(), Path::new("project/p"));
}

#[test]
fn names_are_those_of_the_file_format() {
    for task in ModelType::KNOWN {
        let file = parse(&below(&format!("model_type: {task}")));
        if task == ModelType::ImageClassification {
            assert!(said(&file.unwrap_err()).ends_with("hint: models of images are not supported"));
        } else {
            assert_eq!(file.unwrap().model_type.unwrap(), task);
        }
    }
    let names = ["cls", "max", "mean", "mean_sqrt_len", "weighted_mean", "last_token"];
    let modes = good(&format!("pooling: [{}]", names.join(", "))).pooling;
    assert_eq!(modes.len(), names.len());
    for (mode, name) in modes.iter().zip(names) {
        assert_eq!(serde_json::to_value(mode).unwrap(), name);
    }
    let libraries = ["coroutine", "table", "io", "os", "string", "utf8", "math", "package", "debug"];
    let found = good(&format!("transform: x\nlua_libs: [{}]", libraries.join(", "))).lua_libs;
    assert_eq!(found.iter().map(|library| library.name()).collect::<Vec<_>>(), libraries);
}

#[test]
fn one_or_several() {
    assert_eq!(good("pooling: last_token").pooling, [PoolingMode::LastToken]);
    assert_eq!(good("pooling:\n- mean\n- max").pooling, [PoolingMode::Mean, PoolingMode::Max]);
    assert_eq!(good("target: a").target, ["a"]);
    assert_eq!(good("target: [b, a]").target, ["b", "a"]);
}

#[test]
fn truth_values_prompts_and_versions() {
    assert_eq!(good("normalize: true").normalize, Some(true));
    assert_eq!(good("normalize: false").normalize, Some(false));
    assert_eq!(good("transform: x\nvalidate_transform: false").validate_transform, Some(false));
    let prompts = good("prompts:\n  query: 'query: '\n  document: ''").prompts.unwrap();
    assert_eq!(prompts["query"], "query: ");
    assert_eq!(prompts["document"], "");
    assert_eq!(good("runtime_version: latest").runtime_version, Some(Requirement::Latest));
    assert!(matches!(good("runtime_version: ^0.1").runtime_version, Some(Requirement::Range(_))));
}

#[test]
fn tokenizer() {
    let all = "tokenizer:\n  pad_strategy: {fixed: 128}\n  truncation_side: left\n  \
               truncation_strategy: only_second\n  max_length: 512\n  stride: 64";
    let expected = TokenizerSettings {
        pad_strategy: Some(PadStrategy::Fixed(128)),
        truncation_side: Some(TruncationSide::Left),
        truncation_strategy: Some(TruncationStrategy::OnlySecond),
        max_length: Some(512),
        stride: Some(64),
    };
    assert_eq!(good(all).tokenizer.unwrap(), expected);
    for (written, strategy) in [
        ("pad_strategy: batch_longest", Some(PadStrategy::BatchLongest)),
        ("pad_strategy:", Some(PadStrategy::BatchLongest)),
        ("truncation_side: right", None),
    ] {
        let tokenizer = good(&format!("tokenizer: {{{written}}}")).tokenizer.unwrap();
        assert_eq!(tokenizer.pad_strategy, strategy, "{written}");
    }
    for (written, strategy) in
        [("longest_first", TruncationStrategy::LongestFirst), ("only_first", TruncationStrategy::OnlyFirst)]
    {
        let tokenizer = good(&format!("tokenizer:\n  truncation_strategy: {written}")).tokenizer.unwrap();
        assert_eq!(tokenizer.truncation_strategy, Some(strategy));
    }
    let largest = good("tokenizer: {max_length: 1048576, stride: 1048575}").tokenizer.unwrap();
    assert_eq!((largest.max_length, largest.stride), (Some(1_048_576), Some(1_048_575)));
}

#[test]
fn a_transform_stands_in_the_file_or_in_its_own() {
    let inline =
        good("transform: |\n  function Postprocess(arr)\n    return arr\n  end\n").transform.unwrap();
    assert_eq!(inline.source, "function Postprocess(arr)\n  return arr\nend");
    assert!(inline.path.is_none());

    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join(NAME);
    fs::write(&path, below("name: x\ntransform:\n  path: t.lua")).unwrap();
    let read = |bytes: Option<&[u8]>| {
        let file = folder.path().join("t.lua");
        match bytes {
            Some(bytes) => fs::write(file, bytes).unwrap(),
            None => fs::remove_file(file).unwrap_or_default(),
        }
        BuildFile::read(&path)
    };
    let transform = read(Some(b"\n return 1 \n")).unwrap().transform.unwrap();
    assert_eq!(transform.source, "return 1");
    assert_eq!(transform.path.unwrap(), folder.path().join("t.lua"));
    let (longest, too_long) = (vec![b'x'; 1 << 20], vec![b'x'; (1 << 20) + 1]);
    assert_eq!(read(Some(&longest)).unwrap().transform.unwrap().source.len(), 1 << 20);
    for (bytes, reason) in [
        (Some(&b" \n"[..]), "t.lua` is empty"),
        (Some(b"\xff"), "t.lua` is not UTF-8"),
        (Some(&too_long), "t.lua` is longer than 1048576 bytes"),
        (None, "cannot read the transform `"),
    ] {
        let error = said(&read(bytes).unwrap_err());
        assert!(error.contains(reason) && error.contains("line 4"), "{error}");
    }
}

#[test]
fn good_documents_are_read() {
    for document in GOOD {
        parse(document).unwrap_or_else(|error| panic!("{document}: {error}"));
    }
}

#[test]
fn faults_name_key_and_line_and_suggest() {
    for bad in BAD {
        let error = parse(bad.document).expect_err(bad.document);
        assert_eq!(said(&error), bad.said, "{}", bad.document);
    }
}

#[test]
fn what_stands_in_the_file_is_shown_without_obeying_it_and_shortened() {
    let long = "x".repeat(1000);
    let error = said(&parse(&below(&format!("model_type: \"\\e[31m{long}\""))).unwrap_err());
    assert!(error.contains("`\\u{1b}[31mxxxx") && error.contains("xxx…`"), "{error}");
    assert!(!error.contains('\u{1b}') && error.len() < 400, "{error}");
    let error = said(&parse(&below("\"\\e[31m\": x")).unwrap_err());
    assert!(error.starts_with("unknown key `\\u{1b}[31m`"), "{error}");
}

#[test]
fn what_is_too_large_or_no_text_is_refused() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join(NAME);
    let read = |bytes: &[u8]| {
        fs::write(&path, bytes).unwrap();
        BuildFile::read(&path)
    };
    let mut large = below("name: x").into_bytes();
    large.resize(1 << 20, b'\n');
    read(&large).unwrap();
    large.push(b'\n');
    assert!(matches!(read(&large), Err(BuildFileError::TooLong { .. })));
    assert!(matches!(BuildFile::parse(&large, &path), Err(BuildFileError::TooLong { .. })));
    let error = read(b"encoderfile:\n  name: x\n  # \xe9\n").unwrap_err();
    assert!(matches!(&error, BuildFileError::NotUtf8 { place } if place.line == 3), "{error}");
    assert_eq!(error.hint().unwrap(), "save it as UTF-8");
    // A byte order mark is none of the text.
    read("\u{feff}encoderfile:\n  name: x\n".as_bytes()).unwrap();
}

/// A megabyte that would become more, or take long.
#[test]
fn bombs_are_refused() {
    let targets = |count: usize| below(&format!("target: [&a x{}]", ", *a".repeat(count)));
    assert_eq!(parse(&targets(16)).unwrap().target.len(), 17);
    let laughs = below("prompts:\n  a: &a x\nname: &b [*a, *a, *a, *a]\nversion: &c [*b, *b, *b, *b]");
    let aliases = format!("encoderfile:\n  target: [&a {}{}]", "x".repeat(500_000), ", *a".repeat(100_000));
    let many = below(&format!("target: [{}]", "a, ".repeat(20_000)));
    let deep = below(&format!("name: {}", "[".repeat(100_000)));
    let nested = below(&format!("prompts: {}", "{a: ".repeat(100_000)));
    for (document, is_well_formed) in
        [(targets(17), true), (aliases, true), (many, true), (laughs, false), (deep, false), (nested, false)]
    {
        let error = parse(&document).unwrap_err().to_string();
        assert!(error.len() < 300, "{error}");
        assert!(error.contains("it is too complex for a build file") || !is_well_formed, "{error}");
    }
}
