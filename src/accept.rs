//! Media types, and what a client would rather have: the header `Accept` (RFC 9110, 8.3.1 and 12.5.1).

/// The parameters of our CSV, and those that our JSON might have. A range with any other parameter asks for something else.
const OF_CSV: &[(&str, &str)] = &[("charset", "utf-8"), ("header", "present")];
const OF_JSON: &[(&str, &str)] = &[("charset", "utf-8")];

/// Whether the header names `text/csv` or `text/*`, and gives it more weight than `application/json`.
pub fn prefers_csv(accept: &str) -> bool {
    let ranges: Vec<Range> = Range::list(accept).collect();
    let csv = weight(&ranges, &["text/csv", "text/*"], OF_CSV);
    csv > weight(&ranges, &["application/json", "application/*", "*/*"], OF_JSON)
}

/// A media range, or one media type.
pub struct Range {
    /// In lower case, like the parameters.
    pub name: String,
    parameters: Vec<(String, String)>,
    /// In thousandths.
    pub weight: u16,
}

impl Range {
    /// The ranges of the header. One that is malformed is left out; the others count all the same.
    pub fn list(accept: &str) -> impl Iterator<Item = Range> {
        split(accept, ',').filter_map(Range::parse)
    }

    /// `None` if it is malformed.
    pub fn parse(text: &str) -> Option<Range> {
        let mut parts = split(text, ';');
        let mut range = Range { name: parts.next()?.to_ascii_lowercase(), parameters: Vec::new(), weight: 1000 };
        for part in parts {
            let (name, value) = part.split_once('=')?;
            if name.eq_ignore_ascii_case("q") {
                range.weight = thousandths(value)?;
                break;
            }
            range.parameters.push((name.to_ascii_lowercase(), value.trim_matches('"').to_ascii_lowercase()));
        }
        Some(range)
    }

    /// The value of a parameter.
    pub fn parameter(&self, name: &str) -> Option<&str> {
        self.parameters.iter().find(|(present, _)| present == name).map(|(_, value)| &**value)
    }

    fn has_only(&self, parameters: &[(&str, &str)]) -> bool {
        self.parameters.iter().all(|(name, value)| parameters.contains(&(name, value)))
    }
}

/// The weight of the most specific range with one of these names, of which the most specific comes first; 0 if there is none.
fn weight(ranges: &[Range], names: &[&str], parameters: &[(&str, &str)]) -> u16 {
    let of_name = |name: &&str| {
        let named = ranges.iter().filter(|range| range.name == *name && range.has_only(parameters));
        named.max_by_key(|range| (range.parameters.len(), range.weight))
    };
    names.iter().find_map(of_name).map_or(0, |range| range.weight)
}

/// The parts between the separators that are not quoted, without the white space around them. Empty parts are left out.
fn split(text: &str, separator: char) -> impl Iterator<Item = &str> {
    let (mut is_quoted, mut is_escaped) = (false, false);
    let parts = text.split(move |character| {
        let counts = !is_quoted && character == separator;
        is_quoted ^= character == '"' && !is_escaped;
        is_escaped = is_quoted && character == '\\' && !is_escaped;
        counts
    });
    parts.map(|part| part.trim_matches([' ', '\t'])).filter(|part| !part.is_empty())
}

/// A `qvalue`: from 0 to 1 with three digits at most.
fn thousandths(text: &str) -> Option<u16> {
    let (whole, rest) = text.split_once('.').unwrap_or((text, ""));
    let is_valid = matches!(whole, "0" | "1") && rest.len() <= 3 && rest.bytes().all(|byte| byte.is_ascii_digit());
    let value: u16 = format!("{whole}{rest:0<3}").parse().ok()?;
    Some(value).filter(|value| is_valid && *value <= 1000)
}

#[cfg(test)]
mod tests {
    use super::prefers_csv;

    #[test]
    fn csv_is_preferred_where_its_weight_is_greater() {
        for accept in [
            "text/csv",
            "TEXT/CSV",
            "text/*",
            "text/csv, */*;q=0.1",
            "application/json;q=0.5, text/csv",
            "application/json; q=0.999 , text/csv ; Q=1.000",
            "text/*, application/*;q=0.3, */*;q=0.2",
            "text/*;q=0.1, application/json;q=0",
            "text/csv;header=present;charset=\"UTF-8\", application/json;q=0.9",
            "text/csv;q=0.2, text/csv;header=present, application/json;q=0.5",
            "text/csv, application/json;profile=\"a,b;q=1\\\"\"",
            ",, text/csv,",
            "text/csv, application/json;q=2",
            "text/csv, nonsense, ;q=1, /",
        ] {
            assert!(prefers_csv(accept), "{accept}");
        }
    }

    #[test]
    fn json_is_preferred_in_every_other_case() {
        for accept in [
            "",
            "*/*",
            "application/json",
            "text/csv, application/json",
            "text/csv, */*",
            "text/csv;q=0.5, application/json;q=0.5",
            "text/csv;q=0",
            "text/csv;q=0.000, text/*",
            "text/*;q=0.3, */*;q=0.5",
            "text/html, application/xhtml+xml, application/xml;q=0.9, */*;q=0.8",
            "application/json;q=0.1, */*",
            "text/csv;header=absent",
            "text/csv;q=1.5",
            "text/csv;q=0.1234",
            "text/csv;q=",
            "text/csv;q",
            "text/csvx, text/cs",
            "text/plain;x=\",text/csv,\"",
            "text/csv;q=0.4, application/json;charset=utf-8;q=0.5",
        ] {
            assert!(!prefers_csv(accept), "{accept}");
        }
    }

    proptest::proptest! {
        #[test]
        fn any_text_is_read(accept in "[a-z*/;,=\"\\\\ q0-9.]{0,60}") {
            prefers_csv(&accept);
        }
    }
}
