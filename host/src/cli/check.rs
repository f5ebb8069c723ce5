//! `hotcall check FILE…`: prints every check of the life cycle as a table. Prints only: the life
//! cycle makes the checks.

use super::output::Failure;
use crate::config::Config;
use crate::plugin::inspect::{self, Report, STEPS};
use crate::registry::MethodInfo;
use crate::server::Options;
use crate::text;
use clap::Args;
use std::path::PathBuf;
use std::sync::Arc;

/// Flags of `check`.
#[derive(Args, Clone, Debug)]
pub(super) struct CheckArgs {
    /// Plugin files
    #[arg(value_name = "FILE", required = true)]
    files: Vec<PathBuf>,
    /// The server's config file (TOML): limits, what is checked, and the plugins' own configuration
    #[arg(long, value_name = "FILE")]
    config: Option<PathBuf>,
    /// Where private copies are made [default: as `serve`]
    #[arg(long, value_name = "DIR")]
    state_dir: Option<PathBuf>,
}

/// Checks the files and prints what was found on standard output.
///
/// # Errors
/// The config file or the state directory cannot be used, or a file would not be served.
pub(super) fn run(args: CheckArgs) -> Result<(), Failure> {
    let config = args.config.as_deref().map_or_else(|| Ok(Config::default()), Config::read);
    let config = config.map_err(Failure::new)?;
    let config = Config { state_dir: args.state_dir.or(config.state_dir), ..config };
    let options = Options::try_from(config).map_err(Failure::new)?;
    let reports = inspect::inspect(&args.files, &options.plugin_config()).map_err(Failure::new)?;
    super::output::print(table(&reports))?;
    match reports.iter().filter(|report| !report.is_passed()).count() {
        0 => Ok(()),
        refused => Err(Failure::new(format!(
            "{refused} of {} files would be refused; see above",
            reports.len()
        ))),
    }
}

/// One block for each file: a row of steps, then what the plugin says of itself.
fn table(reports: &[Report]) -> String {
    let lines = reports.iter().flat_map(report_lines);
    // Each stays one line, even with foreign text in it.
    lines.fold(String::new(), |text, line| text + &text::line(&line) + "\n")
}

fn report_lines(report: &Report) -> Vec<String> {
    let verdict = if report.is_passed() { "ok" } else { "refused" };
    let mut lines = vec![format!("{}  {verdict}", report.file.display())];
    for (index, step) in STEPS.iter().enumerate() {
        let verdict = match (index.cmp(&report.passed.len()), &report.refusal) {
            (std::cmp::Ordering::Less, _) if report.off.contains(step) => "off",
            (std::cmp::Ordering::Less, _) => "ok",
            (std::cmp::Ordering::Equal, Some(refusal)) => refusal,
            _ => "-",
        };
        lines.push(format!("  {step:<11}  {verdict}"));
    }
    if let Some(sha256) = &report.sha256 {
        lines.push(format!("  {:<11}  {sha256}", "sha256"));
    }
    if let Some((major, minor)) = report.abi {
        lines.push(format!("  {:<11}  {major}.{minor}", "abi"));
    }
    if let Some((name, version)) = &report.plugin {
        lines.push(format!("  {:<11}  {name} {version}", "plugin"));
    }
    lines.extend(report.description.iter().map(|text| format!("  {:<11}  {text}", "description")));
    lines.extend(report.warnings.iter().map(|warning| format!("  {:<11}  {warning}", "warning")));
    let width = report.methods.iter().map(|method| method.name.len()).max().unwrap_or_default();
    let method = |method: &Arc<MethodInfo>| {
        format!("  {:<11}  {:width$}  {}", "method", method.name, signatures(method))
    };
    lines.extend(report.methods.iter().map(method));
    lines
}

/// `(int, int) -> int`, one after the other.
fn signatures(method: &MethodInfo) -> String {
    let one = |signature: &Vec<&'static str>| match signature.split_first() {
        Some((result, params)) => format!("({}) -> {result}", params.join(", ")),
        None => String::new(),
    };
    method.signatures.iter().map(one).collect::<Vec<_>>().join(" or ")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_refusal_stands_at_its_step() {
        let method = MethodInfo {
            name: "add".into(),
            signatures: vec![vec!["int", "int", "int"], vec!["nil"]],
            ..MethodInfo::default()
        };
        let report = Report {
            file: "sums.so".into(),
            passed: vec!["permissions", "read", "trust", "elf", "copy", "probe", "load", "table"],
            off: vec!["trust"],
            sha256: Some("5994".into()),
            refusal: Some("no".into()),
            abi: Some((1, 0)),
            plugin: Some(("sums".into(), "1.0.0".into())),
            description: Some("adds\u{202e}".into()),
            methods: vec![Arc::new(method)],
            warnings: vec!["careful".into()],
        };
        let expected = "sums.so  refused\n  permissions  ok\n  read         ok\n  \
            trust        off\n  elf          ok\n  copy         ok\n  probe        ok\n  \
            load         ok\n  table        ok\n  create       no\n  destroy      -\n  \
            sha256       5994\n  abi          1.0\n  plugin       sums 1.0.0\n  \
            description  adds\\u{202e}\n  warning      careful\n  \
            method       add  (int, int) -> int or () -> nil\n";
        assert_eq!(table(&[report]), expected);
    }
}
