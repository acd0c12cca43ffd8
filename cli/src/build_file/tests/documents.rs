//! Whole documents, on which the parser and the schema agree.

/// A document that is refused.
pub(super) struct Bad {
    pub(super) document: &'static str,
    /// The message and the hint.
    pub(super) said: &'static str,
    /// Whether the schema refuses it too. It cannot where the fault is in the text, or between the values of two keys.
    pub(super) is_of_schema: bool,
}

const fn bad(document: &'static str, said: &'static str) -> Bad {
    Bad { document, said, is_of_schema: true }
}

const fn beyond_schema(document: &'static str, said: &'static str) -> Bad {
    Bad { document, said, is_of_schema: false }
}

pub(super) const GOOD: &[&str] = &[
    "encoderfile: {}",
    "encoderfile:\n  name: yes\n  version: 1.0.0\n  path: .",
    "encoderfile:\n  name:\n  path: ~\n  pooling:\n  tokenizer:\n  transform:\n  lua_libs:\n  prompts:\n  normalize:",
    "encoderfile:\n  path: {model_config_path: a, model_weights_path: b, tokenizer_path: c}",
    "encoderfile:\n  path: {model_config_path: a, model_weights_path: b, tokenizer_path: c, tokenizer_config_path: }",
    "encoderfile:\n  model_type: sentence_embedding\n  pooling: [mean, max]\n  normalize: true",
    "encoderfile:\n  pooling: cls\n  weights: onnx/model_fp16.onnx",
    "encoderfile:\n  prompts: {query: 'query: ', document: ''}\n  default_prompt_name: query",
    "encoderfile:\n  tokenizer: {}",
    "encoderfile:\n  tokenizer: {pad_strategy: , truncation_side: , max_length: , stride: 0}",
    "encoderfile:\n  tokenizer: {pad_strategy: batch_longest, truncation_strategy: longest_first}",
    "encoderfile:\n  tokenizer: {pad_strategy: {fixed: 1048576}, max_length: 1048576, stride: 1}",
    "encoderfile:\n  transform: return 1\n  lua_libs: [math, string]\n  validate_transform: false",
    "encoderfile:\n  transform: {path: t.lua}",
    "encoderfile:\n  target: x86_64-unknown-linux-gnu\n  runtime_version: ^0.1",
    "encoderfile:\n  target: [x86_64-unknown-linux-gnu]\n  runtime_version: latest",
    "encoderfile:\n  output_path: a\n  base_binary_path: b\n  cache_dir: c",
    "encoderfile:\n  name: &name a\n  version: *name",
];

pub(super) const BAD: &[Bad] = &[
    // The document.
    bad(
        "[]",
        "cannot use the build file `encoderfile.yml`, line 1, column 1\n  cause: expected a mapping, found an empty list",
    ),
    bad(
        "{}",
        "no `encoderfile` in `encoderfile.yml`, line 1\nhint: all other keys stand below `encoderfile:`",
    ),
    bad(
        "name: a\npath: .",
        "unknown key `name` in `encoderfile.yml`, line 1\nhint: put it below `encoderfile:`",
    ),
    bad(
        "encoderfiel:\n  path: .",
        "unknown key `encoderfiel` in `encoderfile.yml`, line 1\nhint: did you mean `encoderfile`?",
    ),
    bad(
        "encoderfile: 5",
        "cannot use `encoderfile` in `encoderfile.yml`, line 1, column 14\n  found:    `5`\n  expected: a mapping",
    ),
    bad(
        "encoderfile:\n",
        "cannot use `encoderfile` in `encoderfile.yml`, line 1, column 12\n  found:    nothing\n  expected: a mapping",
    ),
    // Keys.
    bad(
        "encoderfile:\n  nmae: x",
        "unknown key `nmae` in `encoderfile.yml`, line 2\nhint: did you mean `name`?",
    ),
    bad(
        "encoderfile:\n  tokenizer: {zzz: x}",
        "unknown key `zzz` in `encoderfile.yml`, line 2\n\
         hint: the keys are: pad_strategy, truncation_side, truncation_strategy, max_length, stride",
    ),
    bad(
        "encoderfile:\n  tokenizer:\n    max_lenght: 5",
        "unknown key `max_lenght` in `encoderfile.yml`, line 3\nhint: did you mean `max_length`?",
    ),
    bad(
        "encoderfile:\n  transform: {pth: x}",
        "unknown key `pth` in `encoderfile.yml`, line 2\nhint: did you mean `path`?",
    ),
    bad(
        "encoderfile:\n  path:\n    model_config_path: a\n    model_weights_path: b\n    tokenizer: c",
        "unknown key `tokenizer` in `encoderfile.yml`, line 5\nhint: did you mean `tokenizer_path`?",
    ),
    bad(
        "encoderfile:\n  path:\n    model_config_path: a\n    model_weights_path: b",
        "no `encoderfile.path.tokenizer_path` in `encoderfile.yml`, line 3",
    ),
    bad(
        "encoderfile:\n  tokenizer: {pad_strategy: {fixd: 5}}",
        "unknown key `fixd` in `encoderfile.yml`, line 2\nhint: did you mean `fixed`?",
    ),
    // Texts.
    bad(
        "encoderfile:\n  version: 1.0",
        "cannot use `encoderfile.version` in `encoderfile.yml`, line 2, column 12\n  \
         found:    `1.0` without quotes, which YAML takes for no text\n  expected: a text\nhint: put it in quotes: '1.0'",
    ),
    bad(
        "encoderfile:\n  name: ' '",
        "cannot use `encoderfile.name` in `encoderfile.yml`, line 2, column 9\n  found:    ` `\n  \
         expected: a text that is not empty",
    ),
    bad(
        "encoderfile:\n  name: [a]",
        "cannot use `encoderfile.name` in `encoderfile.yml`, line 2, column 9\n  found:    a list\n  expected: a text",
    ),
    bad(
        "encoderfile:\n  path: []",
        "cannot use `encoderfile.path` in `encoderfile.yml`, line 2, column 9\n  found:    an empty list\n  \
         expected: a folder, or a mapping with `model_config_path`, `model_weights_path` and `tokenizer_path`",
    ),
    bad(
        "encoderfile:\n  prompts: {a: b, c: }",
        "cannot use `encoderfile.prompts.c` in `encoderfile.yml`, line 2, column 20\n  found:    nothing\n  expected: a text",
    ),
    bad(
        "encoderfile:\n  prompts: [a]",
        "cannot use `encoderfile.prompts` in `encoderfile.yml`, line 2, column 12\n  found:    a list\n  expected: a mapping",
    ),
    bad(
        "encoderfile:\n  transform: ''",
        "cannot use `encoderfile.transform` in `encoderfile.yml`, line 2, column 14\n  found:    ``\n  \
         expected: a program in Lua, or a mapping with `path`",
    ),
    bad(
        "encoderfile:\n  transform: {path: }",
        "cannot use `encoderfile.transform.path` in `encoderfile.yml`, line 2, column 19\n  found:    nothing\n  \
         expected: a text",
    ),
    // Names.
    bad(
        "encoderfile:\n  model_type: sentence_embeding",
        "cannot use `encoderfile.model_type` in `encoderfile.yml`, line 2, column 15\n  found:    `sentence_embeding`\n  \
         expected: embedding, sentence_embedding, sequence_classification, token_classification\n\
         hint: did you mean `sentence_embedding`?",
    ),
    bad(
        "encoderfile:\n  model_type: {embedding: }",
        "cannot use `encoderfile.model_type` in `encoderfile.yml`, line 2, column 15\n  found:    a mapping\n  \
         expected: embedding, sentence_embedding, sequence_classification, token_classification",
    ),
    bad(
        "encoderfile:\n  pooling: [cls, Mean]",
        "cannot use `encoderfile.pooling[1]` in `encoderfile.yml`, line 2, column 18\n  found:    `Mean`\n  \
         expected: cls, max, mean, mean_sqrt_len, weighted_mean, last_token\nhint: did you mean `mean`?",
    ),
    bad(
        "encoderfile:\n  pooling: []",
        "cannot use `encoderfile.pooling` in `encoderfile.yml`, line 2, column 12\n  found:    an empty list\n  \
         expected: at least one entry",
    ),
    bad(
        "encoderfile:\n  target: {a: b}",
        "cannot use `encoderfile.target` in `encoderfile.yml`, line 2, column 11\n  found:    a mapping\n  \
         expected: a text or a list of texts",
    ),
    bad(
        "encoderfile:\n  target: []",
        "cannot use `encoderfile.target` in `encoderfile.yml`, line 2, column 11\n  found:    an empty list\n  \
         expected: at least one entry",
    ),
    bad(
        "encoderfile:\n  transform: x\n  lua_libs: math",
        "cannot use `encoderfile.lua_libs` in `encoderfile.yml`, line 3, column 13\n  found:    `math`\n  expected: a list",
    ),
    bad(
        "encoderfile:\n  transform: x\n  lua_libs: []",
        "cannot use `encoderfile.lua_libs` in `encoderfile.yml`, line 3, column 13\n  found:    an empty list\n  \
         expected: at least one entry",
    ),
    bad(
        "encoderfile:\n  transform: x\n  lua_libs: [maths]",
        "cannot use `encoderfile.lua_libs[0]` in `encoderfile.yml`, line 3, column 14\n  found:    `maths`\n  \
         expected: coroutine, table, io, os, string, utf8, math, package, debug\nhint: did you mean `math`?",
    ),
    bad(
        "encoderfile:\n  tokenizer: {truncation_side: middle}",
        "cannot use `encoderfile.tokenizer.truncation_side` in `encoderfile.yml`, line 2, column 32\n  found:    `middle`\n  \
         expected: left, right",
    ),
    bad(
        "encoderfile:\n  tokenizer: {truncation_strategy: longest}",
        "cannot use `encoderfile.tokenizer.truncation_strategy` in `encoderfile.yml`, line 2, column 36\n  \
         found:    `longest`\n  expected: longest_first, only_first, only_second\nhint: did you mean `longest_first`?",
    ),
    // Truth values and numbers.
    bad(
        "encoderfile:\n  normalize: yes",
        "cannot use `encoderfile.normalize` in `encoderfile.yml`, line 2, column 14\n  found:    `yes`\n  \
         expected: `true` or `false`",
    ),
    bad(
        "encoderfile:\n  transform: x\n  validate_transform: 1",
        "cannot use `encoderfile.validate_transform` in `encoderfile.yml`, line 3, column 23\n  found:    `1`\n  \
         expected: `true` or `false`",
    ),
    bad(
        "encoderfile:\n  tokenizer:\n    max_length: many",
        "cannot use `encoderfile.tokenizer.max_length` in `encoderfile.yml`, line 3, column 17\n  found:    `many`\n  \
         expected: a whole number from 1 to 1048576",
    ),
    bad(
        "encoderfile:\n  tokenizer: {max_length: 0}",
        "cannot use `encoderfile.tokenizer.max_length` in `encoderfile.yml`, line 2, column 27\n  found:    `0`\n  \
         expected: a whole number from 1 to 1048576",
    ),
    bad(
        "encoderfile:\n  tokenizer: {max_length: 1048577}",
        "cannot use `encoderfile.tokenizer.max_length` in `encoderfile.yml`, line 2, column 27\n  found:    `1048577`\n  \
         expected: a whole number from 1 to 1048576",
    ),
    bad(
        "encoderfile:\n  tokenizer: {stride: -1}",
        "cannot use `encoderfile.tokenizer.stride` in `encoderfile.yml`, line 2, column 23\n  found:    `-1`\n  \
         expected: a whole number from 0 to 1048576",
    ),
    bad(
        "encoderfile:\n  tokenizer: {stride: 1.5}",
        "cannot use `encoderfile.tokenizer.stride` in `encoderfile.yml`, line 2, column 23\n  found:    `1.5`\n  \
         expected: a whole number from 0 to 1048576",
    ),
    bad(
        "encoderfile:\n  tokenizer: {pad_strategy: {fixed: 0}}",
        "cannot use `encoderfile.tokenizer.pad_strategy.fixed` in `encoderfile.yml`, line 2, column 37\n  found:    `0`\n  \
         expected: a whole number from 1 to 1048576",
    ),
    bad(
        "encoderfile:\n  tokenizer: {pad_strategy: longest}",
        "cannot use `encoderfile.tokenizer.pad_strategy` in `encoderfile.yml`, line 2, column 29\n  found:    `longest`\n  \
         expected: `batch_longest`, or a mapping with `fixed`",
    ),
    // Between keys.
    bad(
        "encoderfile:\n  lua_libs: [math]",
        "cannot use `encoderfile.lua_libs` in `encoderfile.yml`, line 2, column 13\n  \
         cause: there is no `transform` that it could belong to",
    ),
    bad(
        "encoderfile:\n  validate_transform: true",
        "cannot use `encoderfile.validate_transform` in `encoderfile.yml`, line 2, column 23\n  \
         cause: there is no `transform` that it could belong to",
    ),
    beyond_schema(
        "encoderfile:\n  tokenizer:\n    max_length: 8\n    stride: 8",
        "cannot use `encoderfile.tokenizer.stride` in `encoderfile.yml`, line 4, column 13\n  \
         cause: 8 is not smaller than `max_length`, which is 8",
    ),
    beyond_schema(
        "encoderfile:\n  path: {model_config_path: a, model_weights_path: b, tokenizer_path: c}\n  weights: fp16",
        "cannot use `encoderfile.weights` in `encoderfile.yml`, line 3, column 12\n  \
         cause: `path` names the graph already, with `model_weights_path`",
    ),
    beyond_schema(
        "encoderfile:\n  runtime_version: v0.1.0",
        "cannot use `encoderfile.runtime_version` in `encoderfile.yml`, line 2, column 20\n  \
         cause: `v0.1.0` is not a version requirement: expected a version (`0.2.0`), a range (`^0.2`, `>=0.2, <0.4`) or \
         `latest`; did you mean `0.1.0`?",
    ),
    // The text.
    bad(
        "# nothing\n",
        "cannot use the build file `encoderfile.yml`: it is empty\n\
         hint: it starts with `encoderfile:`, and all other keys stand below that",
    ),
    beyond_schema(
        "encoderfile:\n  name: a\n  name: b",
        "the key `encoderfile.name` stands twice in `encoderfile.yml`, line 3\nhint: remove one of the two",
    ),
    beyond_schema(
        "encoderfile:\n  prompts: {a: b, a: c}",
        "the key `encoderfile.prompts.a` stands twice in `encoderfile.yml`, line 2\nhint: remove one of the two",
    ),
    beyond_schema(
        "encoderfile:\n\tname: a",
        "cannot use the build file `encoderfile.yml`, line 2, column 2\n  \
         cause: tabs disallowed within this context (block indentation)\nhint: indent with spaces",
    ),
    beyond_schema(
        "encoderfile:\n  path: .\n\tname: a",
        "cannot use the build file `encoderfile.yml`, line 2, column 9\n  \
         cause: while scanning a plain scalar, found a tab\nhint: indent with spaces",
    ),
    beyond_schema(
        "encoderfile:\n  name: [\n",
        "cannot use the build file `encoderfile.yml`, line 2, column 9\n  cause: unclosed bracket '['",
    ),
    beyond_schema(
        "encoderfile:\n  name: a\n version: b",
        "cannot use the build file `encoderfile.yml`, line 3, column 2\n  \
         cause: while parsing a block mapping, did not find expected key",
    ),
    beyond_schema(
        "encoderfile:\n  name: a\n---\nencoderfile: {}",
        "cannot use the build file `encoderfile.yml`, line 4, column 1\n  \
         cause: a second document begins here, and only one is expected",
    ),
    beyond_schema(
        "encoderfile:\n  name: !name a",
        "cannot use the build file `encoderfile.yml`, line 2, column 15\n  cause: unsupported tag `!name`",
    ),
    beyond_schema(
        "encoderfile:\n  <<: {name: a}",
        "cannot use the build file `encoderfile.yml`, line 2, column 3\n  cause: merge keys (`<<`) are not supported",
    ),
    beyond_schema(
        "encoderfile:\n  prompts: &a {x: *a}",
        "cannot use the build file `encoderfile.yml`, line 2, column 19\n  cause: an alias stands within its own anchor",
    ),
    beyond_schema(
        "encoderfile:\n  name: *name",
        "cannot use the build file `encoderfile.yml`, line 2, column 9\n  cause: alias references unknown anchor",
    ),
];
