//! The commands of docs/operations.md, so that the test types what the page says.

use std::fs;
use std::path::Path;

const INSTALLED: &str = "/usr/local/share/healthcare-backend";

/// The project's folder.
pub fn root() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR"))
}

/// The block of the section on clusters that has this text, for a machine where the files of deploy/ are not installed and systemd does not
/// run: the test starts the programs itself.
pub fn commands(with: &str) -> String {
    let page = fs::read_to_string(root().join("docs/operations.md")).expect("the page");
    let (_, section) = page.split_once("\n## A cluster\n").expect("the section");
    let section = section.split("\n## ").next().unwrap_or_default();
    let blocks = section.split("```sh\n").skip(1).filter_map(|rest| rest.split("```").next());
    let mut found = blocks.filter(|block| block.contains(with));
    let block = found.next().unwrap_or_else(|| panic!("no block of the section has {with}"));
    assert!(found.next().is_none(), "two blocks of the section have {with}");
    let deploy = root().join("deploy").display().to_string();
    let program = format!("{} ", env!("CARGO_BIN_EXE_healthcare-backend"));
    let block = block.replace(INSTALLED, &deploy).replace("healthcare-backend ", &program);
    block
        .lines()
        .map(str::trim_start)
        .filter(|line| !line.starts_with("systemctl"))
        .map(|line| format!("{line}\n"))
        .collect()
}
