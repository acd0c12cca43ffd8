//! The text that is put before every input, as sentence-transformers does it.

use encoderfile_format::{Description, ModelType};

use crate::cli;
use crate::error::Error;

/// Names that are less alike than this are no suggestion.
const LEAST_SIMILARITY: f64 = 0.8;

/// Says which text is put before every input; it is not empty.
///
/// Source: `SentenceTransformer.encode` of sentence-transformers, which puts prompt and text together without anything
/// between them, and takes an empty prompt for none.
pub(crate) fn choose<'a>(
    description: &'a Description,
    options: &'a cli::Infer,
) -> Result<Option<&'a str>, Error> {
    let named = |name: &str| description.prompt(name).ok_or_else(|| unknown(description, name));
    let task = description.model_type;
    let prompt = match (&options.prompt, &options.prompt_name) {
        (Some(text), _) => text,
        (None, Some(_)) if task != ModelType::SentenceEmbedding => return Err(Error::PromptTask(task)),
        (None, Some(name)) => named(name)?,
        (None, None) => match &description.default_prompt_name {
            Some(name) => named(name)?,
            None => "",
        },
    };
    match prompt {
        "" => Ok(None),
        _ if task != ModelType::SentenceEmbedding => Err(Error::PromptTask(task)),
        prompt => Ok(Some(prompt)),
    }
}

fn unknown(description: &Description, name: &str) -> Error {
    let known: Vec<String> = description.prompts.iter().map(|prompt| prompt.name.clone()).collect();
    let scored = known.iter().map(|known| (strsim::jaro_winkler(name, known), known));
    let nearest = scored.max_by(|(one, _), (other, _)| one.total_cmp(other));
    let nearest = nearest.filter(|(score, _)| *score >= LEAST_SIMILARITY).map(|(_, known)| known.clone());
    Error::UnknownPrompt { name: name.to_owned(), known, nearest }
}

#[cfg(test)]
mod tests {
    use clap::Parser;
    use encoderfile_format::Prompt;

    use super::*;
    use crate::cli::{Arguments, Command};

    fn options(arguments: &[&str]) -> cli::Infer {
        let arguments = ["model", "infer"].iter().chain(arguments);
        let Some(Command::Infer(options)) = Arguments::try_parse_from(arguments).unwrap().command else {
            panic!("not `infer`");
        };
        options
    }

    fn description(default: Option<&str>) -> Description {
        let prompt = |name: &str, text: &str| Prompt { name: name.to_owned(), text: text.to_owned() };
        Description {
            prompts: vec![prompt("query", "query: "), prompt("passage", "passage: "), prompt("none", "")],
            default_prompt_name: default.map(str::to_owned),
            ..Description::new(ModelType::SentenceEmbedding, "model", "1")
        }
    }

    #[test]
    fn flags_come_before_the_default() {
        for (default, arguments, expected) in [
            (None, &[][..], None),
            (Some("passage"), &[], Some("passage: ")),
            (Some("none"), &[], None),
            (Some("passage"), &["--prompt-name", "query"], Some("query: ")),
            (Some("passage"), &["--prompt-name", "none"], None),
            (Some("passage"), &["--prompt", ""], None),
            (Some("passage"), &["--prompt", "- "], Some("- ")),
            (Some("gone"), &["--prompt="], None),
        ] {
            let (description, options) = (description(default), options(arguments));
            assert_eq!(choose(&description, &options).unwrap(), expected, "{default:?} {arguments:?}");
        }
    }

    #[test]
    fn a_prompt_that_is_not_there_is_an_error() {
        let nearest = |name: &str| {
            let options = options(&["--prompt-name", name]);
            match choose(&description(None), &options).unwrap_err() {
                Error::UnknownPrompt { known, nearest, .. } => {
                    assert_eq!(known, ["query", "passage", "none"]);
                    nearest
                }
                error => panic!("{error}"),
            }
        };
        assert_eq!(nearest("Query").as_deref(), Some("query"));
        assert_eq!(nearest("pasage").as_deref(), Some("passage"));
        assert_eq!(nearest("zzz"), None);
        assert!(matches!(
            choose(&description(Some("gone")), &options(&[])).unwrap_err(),
            Error::UnknownPrompt { name, .. } if name == "gone"
        ));
    }

    #[test]
    fn other_tasks_have_no_prompts() {
        let description = Description { model_type: ModelType::Embedding, ..description(None) };
        for arguments in [["--prompt-name", "none"], ["--prompt-name", "gone"], ["--prompt", "x"]] {
            let error = choose(&description, &options(&arguments)).unwrap_err();
            assert!(matches!(error, Error::PromptTask(ModelType::Embedding)), "{error}");
        }
        assert_eq!(choose(&description, &options(&["--prompt", ""])).unwrap(), None);
    }
}
