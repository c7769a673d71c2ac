//! The diff in docs/extending.md fits the files that it changes.

use super::{read, root};

/// The diff, a part a file: the path, and the lines of each hunk.
fn parts() -> Vec<(String, Vec<Vec<String>>)> {
    let page = read("docs/extending.md");
    let diff = page.split("```diff\n").nth(1).and_then(|rest| rest.split("```").next()).expect("a diff");
    let mut parts: Vec<(String, Vec<Vec<String>>)> = Vec::new();
    for line in diff.lines().filter(|line| !line.starts_with("--- ")) {
        let hunks = parts.last_mut().map(|(_, hunks)| hunks);
        if let Some(path) = line.strip_prefix("+++ b/") {
            parts.push((path.to_string(), Vec::new()));
        } else if line.starts_with("@@") {
            hunks.expect("a file").push(Vec::new());
        } else {
            hunks.and_then(|hunks| hunks.last_mut()).expect("a hunk").push(line.to_string());
        }
    }
    parts
}

#[test]
fn the_diff_that_adds_a_field_fits_and_touches_six_files_at_most() {
    let parts = parts();
    assert!((3..=6).contains(&parts.len()), "{} files", parts.len());
    for (path, hunks) in parts {
        let is_new = hunks.iter().flatten().all(|line| line.starts_with('+')) && path.starts_with("sql/migrations/");
        assert_eq!(root().join(&path).exists(), !is_new, "docs/extending.md changes {path}");
        for hunk in hunks.iter().filter(|_| !is_new) {
            let kept: String = hunk
                .iter()
                .filter(|line| !line.starts_with('+'))
                .map(|line| format!("{}\n", line.get(1..).unwrap_or_default()))
                .collect();
            assert!(read(&path).contains(&kept), "docs/extending.md shows lines that {path} does not have:\n{kept}");
        }
    }
}
