//! Runs C and C++ compilers on generated sources.

use std::collections::BTreeMap;
use std::fmt::{self, Write as _};
use std::path::Path;
use std::process::{Command, Output};

/// A compiler and the language it is asked for.
pub(crate) struct Compiler {
    program: &'static str,
    language: &'static str,
    standard: &'static str,
}

/// The machine's C and C++ compilers, which must be there, and clang as a second opinion where it
/// is.
pub(crate) fn all() -> Vec<Compiler> {
    let c = |program| Compiler { program, language: "c", standard: "-std=c11" };
    let cxx = |program| Compiler { program, language: "c++", standard: "-std=c++17" };
    let mut all = vec![c("cc"), cxx("c++")];
    all.extend([c("clang"), cxx("clang++")].into_iter().filter(Compiler::exists));
    all
}

impl Compiler {
    /// Compiles a program that prints the value of each expression, as the header in `include` has
    /// it, runs it, and gives what it printed.
    pub(crate) fn evaluate<'a>(
        &self,
        include: &Path,
        expressions: impl Iterator<Item = &'a String>,
    ) -> BTreeMap<String, i64> {
        let mut source = PROLOGUE.to_owned();
        for expression in expressions {
            writeln!(
                source,
                "    printf(\"%s\\t%lld\\n\", \"{expression}\", (long long)({expression}));"
            )
            .unwrap();
        }
        source.push_str("    return 0;\n}\n");

        let folder = tempfile::tempdir().unwrap();
        let program = folder.path().join("layout");
        self.compile(&source, include, folder.path(), &["-o".as_ref(), program.as_os_str()]);
        let printed = checked(&mut Command::new(&program), &source).stdout;
        let lines = String::from_utf8(printed).unwrap();
        lines
            .lines()
            .map(|line| {
                let (expression, value) = line.split_once('\t').unwrap();
                (expression.to_owned(), value.parse().unwrap())
            })
            .collect()
    }

    /// Fails the test unless the source compiles without a warning.
    pub(crate) fn accepts(&self, source: &str) {
        let folder = tempfile::tempdir().unwrap();
        self.compile(source, &super::source::include(), folder.path(), &["-fsyntax-only".as_ref()]);
    }

    fn compile(&self, source: &str, include: &Path, folder: &Path, flags: &[&std::ffi::OsStr]) {
        let file = folder.join("source");
        std::fs::write(&file, source).unwrap();
        let mut command = Command::new(self.program);
        command
            .args([self.standard, "-Wall", "-Wextra", "-Wpedantic", "-Werror", "-I"])
            .arg(include);
        command.args(flags).args(["-x", self.language]).arg(&file);
        checked(&mut command, source);
    }

    fn exists(&self) -> bool {
        Command::new(self.program)
            .arg("--version")
            .output()
            .is_ok_and(|output| output.status.success())
    }
}

impl fmt::Display for Compiler {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} {}", self.program, self.standard)
    }
}

const PROLOGUE: &str = r#"
#include <hotcall_plugin.h>
#include <stdio.h>
#ifndef __cplusplus
#include <stdalign.h>
#endif

HOTCALL_EXPORT = {HOTCALL_PLUGIN_HEADER,
    HOTCALL_STR("layout"), HOTCALL_STR("0.0.0"), HOTCALL_STR(""),
    NULL, 0, NULL, NULL, NULL, NULL, NULL, NULL};

int main(void) {
"#;

fn checked(command: &mut Command, source: &str) -> Output {
    let output = command
        .output()
        .unwrap_or_else(|error| panic!("{command:?}: {error}; install gcc and g++"));
    let errors = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{command:?}: {}\n{errors}\n{source}", output.status);
    output
}
