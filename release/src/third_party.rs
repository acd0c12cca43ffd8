//! `THIRD_PARTY.md`: what a program is made of, and under which licences, with the texts of these.

use std::collections::BTreeMap;
use std::fmt::Write as _;

use crate::component::{Component, Composition, Origin};

/// Writes the document. It holds no time, and no path of this machine.
pub(crate) fn render(composition: &Composition) -> String {
    let Composition { program, target, components, .. } = composition;
    let mut document = format!("# Third-party software in `{}` for `{target}`\n\n", program.name());
    document += "This program is linked from the components below, each under its own licence, and from the Rust \
                 standard library\n(MIT OR Apache-2.0, https://github.com/rust-lang/rust). Their licence texts and \
                 notices follow, each once.\n\n";
    document += "| component | version | licence | origin |\n|---|---|---|---|\n";
    for component in components {
        let Component { name, version, .. } = component;
        let origin = match &component.origin {
            Origin::Url(url) => url.clone(),
            Origin::Crate => format!("the crate `{name}`"),
        };
        let row = [name, version, licence(component), &origin].map(|cell| cell.replace('|', "\\|"));
        let _ = writeln!(document, "| {} |", row.join(" | "));
    }

    // Texts in the order of the first component that has them. Those that differ in their line breaks alone are one.
    let mut order: Vec<&str> = Vec::new();
    let mut holders: BTreeMap<String, (usize, Vec<String>)> = BTreeMap::new();
    let mut without = Vec::new();
    for component in components {
        if component.texts.is_empty() {
            without.push(format!("{} {} ({})", component.name, component.version, licence(component)));
        }
        for (file, text) in &component.texts {
            let words: Vec<&str> = text.split_whitespace().collect();
            let (_, names) = holders.entry(words.join(" ")).or_insert_with(|| {
                order.push(text);
                (order.len(), Vec::new())
            });
            names.push(format!("{} {} (`{file}`)", component.name, component.version));
        }
    }
    let mut holders: Vec<_> = holders.into_values().collect();
    holders.sort();

    if !without.is_empty() {
        document += "\n## Components that ship no text of their licence\n\n";
        for name in without {
            let _ = writeln!(document, "- {name}");
        }
    }
    document += "\n## Licence texts and notices\n";
    for (text, (_, names)) in order.into_iter().zip(holders) {
        let fence = fence(text);
        document.push('\n');
        for name in names {
            let _ = writeln!(document, "- {name}");
        }
        let _ = writeln!(document, "\n{fence}text\n{text}\n{fence}");
    }
    document
}

fn licence(component: &Component) -> &str {
    component.licence.as_deref().unwrap_or("see its text")
}

/// A fence that no line of `text` can close.
fn fence(text: &str) -> String {
    let longest = text.split(|character| character != '`').map(str::len).max().unwrap_or_default();
    "`".repeat(longest.max(2) + 1)
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use encoderfile_registry::Target;

    use super::*;
    use crate::component::Program;

    fn component(name: &str, texts: &[(&str, &str)]) -> Component {
        let texts = texts.iter().map(|&(file, text)| (file.to_owned(), text.to_owned())).collect();
        let owned = str::to_owned;
        Component {
            name: owned(name),
            version: owned("1.0.0"),
            licence: Some(owned("MIT")),
            origin: Origin::Url(owned("https://x")),
            purl: format!("pkg:cargo/{name}@1.0.0"),
            sha256: None,
            dependencies: BTreeSet::new(),
            texts,
        }
    }

    #[test]
    fn equal_texts_stand_once_with_all_their_holders() {
        let components = vec![
            component("a", &[("LICENSE-MIT", "Be kind.")]),
            component("b", &[("LICENSE", "Be\nkind."), ("NOTICE", "Made by ```b```.")]),
            component("c", &[]),
        ];
        let (program, target) = (Program::Cli, Target::X86_64LinuxGnu);
        let document = render(&Composition { program, target, components, direct: BTreeSet::new() });
        let (_, texts) = document.split_once("## Components").unwrap();
        let expected = " that ship no text of their licence\n\n- c 1.0.0 (MIT)\n\n## Licence texts and notices\n\n\
                        - a 1.0.0 (`LICENSE-MIT`)\n- b 1.0.0 (`LICENSE`)\n\n```text\nBe kind.\n```\n\n\
                        - b 1.0.0 (`NOTICE`)\n\n````text\nMade by ```b```.\n````\n";
        assert_eq!(texts, expected);
        assert!(document.contains("| b | 1.0.0 | MIT | https://x |\n"), "{document}");
    }
}
