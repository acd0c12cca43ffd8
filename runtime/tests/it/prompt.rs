//! Texts that are put before every input.

use encoderfile_format::{ArtifactKind, ModelType, Payload, PoolingMode, Prompt, SentencePooling};
use serde_json::Value;

use crate::assemble::{Assembled, assemble, assemble_with, assert_close, assert_fails, results, run, text};

const TEXTS: [&str; 3] = ["hello", "the old bridge over the river", "a good day"];

fn with_prompts(payload: &mut Payload, default: Option<&str>) {
    let prompt = |name: &str, text: &str| Prompt { name: name.to_owned(), text: text.to_owned() };
    payload.description.prompts =
        vec![prompt("query", "search query: "), prompt("document", "document "), prompt("none", "")];
    payload.description.default_prompt_name = default.map(str::to_owned);
}

fn prompted(default: Option<&str>) -> Assembled {
    assemble_with("sentence_embedding", |payload| with_prompts(payload, default))
}

/// The results of a run without a word on standard error.
fn infer(file: &Assembled, arguments: &[&str], texts: &[impl AsRef<str>]) -> Vec<Value> {
    let texts = texts.iter().map(AsRef::as_ref);
    let output = run(file.command().arg("infer").args(arguments).arg("--").args(texts));
    assert_eq!(text(&output.stderr), "");
    results(&output)
}

fn after(prompt: &str) -> [String; 3] {
    TEXTS.map(|text| format!("{prompt}{text}"))
}

#[test]
fn a_prompt_stands_before_every_text() {
    let plain = assemble("sentence_embedding");
    let (query, document) = (after("search query: "), after("document "));
    let none = infer(&plain, &[], &TEXTS);
    let (query, document) = (infer(&plain, &[], &query), infer(&plain, &[], &document));
    assert_ne!(query, document);
    assert_ne!(query, none);

    let file = prompted(None);
    assert_eq!(infer(&file, &[], &TEXTS), none);
    assert_eq!(infer(&file, &["--prompt-name", "query"], &TEXTS), query);
    assert_eq!(infer(&file, &["--prompt-name", "none"], &TEXTS), none);
    assert_eq!(infer(&file, &["--prompt", "document "], &TEXTS), document);
    let file = prompted(Some("document"));
    assert_eq!(infer(&file, &[], &TEXTS), document);
    assert_eq!(infer(&file, &["--prompt-name", "query"], &TEXTS), query);
    assert_eq!(infer(&file, &["--prompt", "search query: "], &TEXTS), query);
    assert_eq!(infer(&file, &["--prompt", ""], &TEXTS), none);
    assert_eq!(infer(&file, &["--batch-size", "1"], &TEXTS), document);
}

#[test]
fn a_prompt_that_the_model_does_not_have_is_an_error() {
    assert_fails(
        &run(prompted(None).command().args(["infer", "--prompt-name", "qurey", "text"])),
        2,
        "error: the model has no prompt `qurey`\n\
         hint: did you mean `query`? It has `query`, `document`, `none`; `--prompt TEXT` takes any text\n",
    );
    assert_fails(
        &run(prompted(None).command().args(["infer", "--prompt-name", "x", "text"])),
        2,
        "error: the model has no prompt `x`\nhint: it has `query`, `document`, `none`; `--prompt TEXT` takes any text\n",
    );
    assert_fails(
        &run(assemble("sentence_embedding").command().args(["infer", "--prompt-name", "query", "text"])),
        2,
        "error: the model has no prompt `query`\nhint: it has none; `--prompt TEXT` takes any text\n",
    );
    let output =
        run(prompted(None).command().args(["infer", "--prompt-name", "query", "--prompt", "x", "text"]));
    assert_eq!(output.status.code(), Some(2));
    let expected = "error: the argument '--prompt-name <NAME>' cannot be used with '--prompt <TEXT>'\n";
    assert!(text(&output.stderr).starts_with(expected), "{output:?}");
}

#[test]
fn other_tasks_take_no_prompt() {
    let file = assemble("sequence_classification");
    for arguments in [["--prompt-name", "query"], ["--prompt", "query: "]] {
        assert_fails(
            &run(file.command().arg("infer").args(arguments).arg("text")),
            2,
            "error: a model of the task `sequence_classification` takes no prompt\n\
             hint: leave `--prompt` and `--prompt-name` out; `--prompt \"\"` turns a default prompt off\n",
        );
    }
    assert_eq!(file.infer(&["--prompt", "", "text"]), file.infer(&["text"]));
}

#[test]
fn names_of_prompts_are_escaped() {
    let file = assemble_with("sentence_embedding", |payload| {
        let prompt = Prompt { name: "\u{1b}[31mred".to_owned(), text: "x".to_owned() };
        payload.description.prompts = vec![prompt];
    });
    let output = run(file.command().args(["infer", "--prompt-name", "x", "text"]));
    assert!(text(&output.stderr).contains(r"it has `\u{1b}[31mred`"), "{output:?}");
}

fn numbers(value: &Value) -> Vec<f64> {
    value.as_array().unwrap().iter().map(|value| value.as_f64().unwrap()).collect()
}

/// The mean over all tokens, less the vectors of [CLS] and the prompt's tokens, is the mean over the others.
#[test]
fn a_prompt_can_be_left_out_of_pooling() {
    const PROMPT: &str = "search query: ";
    let pooled = |mode, exclude_prompt| {
        assemble_with("sentence_embedding", |payload| {
            payload.description.sentence_pooling =
                Some(SentencePooling { modes: vec![mode], normalize: false, exclude_prompt });
        })
    };
    let tokens = assemble_with("sentence_embedding", |payload| {
        payload.description.sentence_pooling = None;
        payload.description.model_type = ModelType::Embedding;
    });
    let whole = after(PROMPT);
    let tokens = infer(&tokens, &[], &whole);
    let first = infer(&pooled(PoolingMode::Cls, false), &[], &whole);
    let mean = infer(&pooled(PoolingMode::Mean, false), &[], &whole);
    let without = infer(&pooled(PoolingMode::Mean, true), &["--prompt", PROMPT], &TEXTS);
    let first_without = infer(&pooled(PoolingMode::Cls, true), &["--prompt", PROMPT], &TEXTS);
    let alone = infer(&pooled(PoolingMode::Mean, true), &["--prompt", PROMPT, "--batch-size", "1"], &TEXTS);
    for number in 0..TEXTS.len() {
        let tokens = tokens[number]["embeddings"].as_array().unwrap();
        let is_prompt = |token: &&Value| token["token_info"]["end"].as_u64().unwrap() < PROMPT.len() as u64;
        let prompt: Vec<_> = tokens.iter().filter(is_prompt).collect();
        let vectors = prompt.iter().map(|token| numbers(&token["embedding"]));
        let vectors: Vec<_> = vectors.chain([numbers(&first[number]["embedding"])]).collect();
        assert!(vectors.len() >= 4, "search, query, : and [CLS]");
        // With [CLS] and [SEP].
        let count = f64::from(u32::try_from(tokens.len() + 2).unwrap());
        let left = count - f64::from(u32::try_from(vectors.len()).unwrap());
        let expected = numbers(&mean[number]["embedding"]).into_iter().enumerate().map(|(index, mean)| {
            let prompt: f64 = vectors.iter().map(|vector| vector[index]).sum();
            (mean * count - prompt) / left
        });
        let expected: Value = expected.collect();
        assert_close(&without[number]["embedding"], &expected);
        assert_close(&alone[number]["embedding"], &expected);
        assert_close(&first_without[number]["embedding"], &tokens[prompt.len()]["embedding"]);
    }
    let plain = infer(&pooled(PoolingMode::Mean, true), &[], &TEXTS);
    assert_eq!(
        plain,
        infer(&pooled(PoolingMode::Mean, false), &[], &TEXTS),
        "no prompt, nothing to leave out"
    );
}

#[test]
fn what_the_model_pools_has_the_prompt_in_it() {
    // Its only output has a vector per text.
    let pooled = |exclude_prompt| {
        assemble_with("sequence_classification", |payload| {
            with_prompts(payload, Some("query"));
            payload.description.model_type = ModelType::SentenceEmbedding;
            payload.description.sentence_pooling =
                Some(SentencePooling { exclude_prompt, ..SentencePooling::default() });
            payload.parts.retain(|part| part.kind != ArtifactKind::ModelConfig);
        })
    };
    let file = pooled(true);
    assert_fails(
        &run(file.command().args(["infer", "text"])),
        1,
        "error: the prompt is to be left out of the embedding, but the model pools by itself, prompt included\n\
         hint: run it without a prompt (`--prompt \"\"`), or build the file of a model that gives token vectors\n",
    );
    let plain = file.infer(&["--prompt", "", "text"]);
    let prompted = pooled(false).infer(&["text"]);
    assert_eq!(plain, pooled(false).infer(&["--prompt", "", "text"]));
    assert_ne!(plain, prompted);
}
