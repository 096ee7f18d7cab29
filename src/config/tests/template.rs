//! The file that operators copy from: every key, with its default and a reason.

use super::super::report;
use super::*;

const TEMPLATE: &str = include_str!("../../../config/instantly-proxy.toml");

/// The template with its optional keys set: lines that begin with `#` and no space.
fn template_with_optional_keys() -> String {
    let line = |line: &'static str| match line.strip_prefix('#') {
        Some(setting) if !setting.is_empty() && !setting.starts_with(' ') => setting,
        _ => line,
    };
    let template = TEMPLATE.lines().map(line).collect::<Vec<_>>().join("\n");
    // Keys that are of use with Sentinels alone, and with TLS alone, are among them.
    template.replace("mode = \"standalone\"", "mode = \"sentinel\"").replace("redis://127", "rediss://127")
}

#[test]
fn the_template_says_what_the_defaults_are() {
    assert_eq!(from_toml(TEMPLATE).unwrap().config, Config::default());
}

#[test]
fn the_template_holds_every_key_with_a_reason() {
    let files = Files::new();
    let site = files.add("site.toml", template_with_optional_keys());
    let loaded = load_values(std::slice::from_ref(&site), std::iter::empty()).unwrap();
    for key in Key::ALL {
        assert_eq!(*loaded.origin(*key), Origin::File(site.clone()), "{key}");
        let start = [format!("{} = ", key.leaf()), format!("#{} = ", key.leaf())];
        let lines: Vec<_> = TEMPLATE.lines().collect();
        let commented = lines
            .windows(2)
            .any(|pair| pair[0].starts_with("# ") && start.iter().any(|start| pair[1].starts_with(start)));
        assert!(commented, "{key}");
    }
    let unset = |key: &&Key| report::value(&Config::default(), **key).is_none();
    let commented_out = TEMPLATE
        .lines()
        .filter(|line| line.starts_with('#') && line.contains(" = \"") && !line.starts_with("# "));
    assert_eq!(
        commented_out.count(),
        Key::ALL.iter().filter(unset).count() + 2,
        "upstream.user_agent, client_auth"
    );
}
