//! What of a process is resident, by what the kernel says of its mappings.

use hotcall_tests::idle::status_of;
use std::fs;

/// What a server that does nothing holds, in MB.
#[derive(Default)]
pub struct Resident {
    /// All of it.
    pub all: f64,
    /// The program's file.
    pub program: f64,
    /// libcrypto's.
    pub libcrypto: f64,
    /// Those of other libraries.
    pub libraries: f64,
    /// Those of plugins.
    pub plugins: f64,
    /// What no file backs.
    pub anonymous: f64,
}

impl Resident {
    /// Of a server whose plugins' files are somewhere below `plugins`.
    ///
    /// # Errors
    /// It does not run.
    pub fn of(pid: u32, plugins: &str) -> Result<Self, String> {
        let file = format!("/proc/{pid}/smaps");
        let maps = fs::read_to_string(&file).map_err(|error| format!("{file}: {error}"))?;
        let program =
            fs::read_link(format!("/proc/{pid}/exe")).map_err(|error| error.to_string())?;
        let (mut resident, mut path) = (Self::default(), "");
        for line in maps.lines() {
            let mut words = line.split_whitespace();
            match words.next() {
                Some("Rss:") => {
                    let kb: f64 =
                        words.next().and_then(|number| number.parse().ok()).unwrap_or(0.0);
                    let mb = kb * 1024.0 / 1e6;
                    resident.all += mb;
                    *resident.part(path, &program.to_string_lossy(), plugins) += mb;
                }
                // START-END PERMISSIONS OFFSET DEVICE INODE PATH
                Some(word) if !word.ends_with(':') => path = words.nth(4).unwrap_or_default(),
                _ => {}
            }
        }
        Ok(resident)
    }

    fn part(&mut self, path: &str, program: &str, plugins: &str) -> &mut f64 {
        match path {
            // [heap], [stack], and what has no name.
            path if !path.starts_with('/') => &mut self.anonymous,
            path if path == program => &mut self.program,
            path if path.starts_with(plugins) => &mut self.plugins,
            path if path.contains("/libcrypto.") => &mut self.libcrypto,
            _ => &mut self.libraries,
        }
    }
}

/// What the kernel has of a process under this key of its status, `VmRSS:` or `VmHWM:`, in MB.
///
/// # Errors
/// It does not run.
pub fn status_mb(pid: u32, key: &str) -> Result<f64, String> {
    Ok(status_of(pid, key)? as f64 * 1024.0 / 1e6)
}
