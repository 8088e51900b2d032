//! What a line of the log may say of bytes that are no value.
//!
//! The one rule: **nothing that stands in the bytes is repeated**, because it is somebody's data.

/// serde's text about JSON that it could not read, without the parts that quote the JSON.
pub(super) fn reason(error: &serde_json::Error) -> String {
    const QUOTING: [&str; 2] = ["invalid type: ", "invalid value: "];
    /// The words before a quotation, which name its kind.
    const NOUNS: [&str; 9] = [
        "boolean",
        "integer",
        "floating point",
        "character",
        "string",
        "byte array",
        "null",
        "sequence",
        "map",
    ];
    let text = error.to_string();
    // These texts are the parser's own, and quote nothing.
    let named = ["missing field ", "duplicate field ", "invalid length "];
    if !error.is_data() || named.iter().any(|start| text.starts_with(start)) {
        return text;
    }
    let quoting = QUOTING.iter().find_map(|start| {
        let (found, expected) = text.strip_prefix(start)?.rsplit_once(", expected ")?;
        let noun = NOUNS.iter().find(|noun| found.starts_with(**noun))?;
        Some(format!("{start}{noun}, expected {expected}"))
    });
    quoting.unwrap_or_else(|| {
        let (line, column) = (error.line(), error.column());
        format!("its `Deserialize` refused it at line {line} column {column}")
    })
}

#[cfg(test)]
mod tests {
    use serde::Deserialize;

    use super::reason;

    #[derive(Debug, Deserialize)]
    #[expect(dead_code, reason = "only its `Deserialize` is of interest")]
    #[serde(deny_unknown_fields)]
    struct User {
        name: String,
        level: Level,
        #[serde(default)]
        email: Option<Email>,
    }

    #[derive(Debug, Deserialize)]
    enum Level {
        Low,
    }

    #[derive(Debug, Deserialize)]
    #[serde(try_from = "String")]
    struct Email;

    impl TryFrom<String> for Email {
        type Error = String;

        fn try_from(text: String) -> Result<Self, String> {
            Err(format!("invalid type: {text}, expected an address"))
        }
    }

    #[test]
    fn no_text_of_the_json_is_in_it() {
        for (json, expected) in [
            ("{", "EOF while parsing an object at line 1 column 1"),
            ("{}", "missing field `name` at line 1 column 2"),
            (
                r#""hunter2""#,
                "invalid type: string, expected struct User at line 1 column 9",
            ),
            (
                r#"{"name": 4711}"#,
                "invalid type: integer, expected a string at line 1 column 13",
            ),
            (
                r#"{"name": ["hunter2"]}"#,
                "invalid type: sequence, expected a string at line 1 column 9",
            ),
            (
                r#"{"name": "", "level": "hunter2"}"#,
                "its `Deserialize` refused it at line 1 column 31",
            ),
            (
                r#"{"hunter2": 1}"#,
                "its `Deserialize` refused it at line 1 column 10",
            ),
            (
                r#"{"name": "", "level": "Low", "email": "hunter2"}"#,
                "its `Deserialize` refused it at line 1 column 48",
            ),
        ] {
            let error = serde_json::from_str::<User>(json).unwrap_err();
            assert_eq!(reason(&error), expected, "{json}: {error}");
        }
    }
}
