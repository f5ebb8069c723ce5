//! Starts nginx, which answers one document to everything: what is in reach.

use crate::process::Process;
use hotcall_tests::WAIT_MAX;
use hotcall_tests::authority::Issued;
use std::fs;
use std::net::{TcpListener, TcpStream};
use std::path::Path;
use std::process::Command;
use std::thread;
use std::time::{Duration, Instant};

const POLL: Duration = Duration::from_millis(5);

/// Starts one with a directory of its own below `directory`, and waits until it listens: where, and
/// its process.
///
/// # Errors
/// It does not come to that.
pub fn start(
    directory: &Path,
    reply: &str,
    tls: Option<&Issued>,
) -> Result<(String, Process), String> {
    // nginx does not say which port it has got, so it is told one that was free a moment before.
    let address = TcpListener::bind("127.0.0.1:0").and_then(|free| free.local_addr()).unwrap();
    let directory = directory.join(format!("nginx-{}", address.port()));
    fs::create_dir(&directory).unwrap();
    let file = directory.join("nginx.conf");
    fs::write(&file, config(&address.to_string(), reply, tls)).unwrap();
    let mut nginx = Command::new("nginx");
    nginx.arg("-p").arg(&directory).arg("-c").arg(&file).arg("-e").arg(directory.join("error.log"));
    let mut process = Process::start(&mut nginx)?;
    let began = Instant::now();
    while TcpStream::connect(address).is_err() {
        if !process.is_running() || began.elapsed() > WAIT_MAX {
            let log = fs::read_to_string(directory.join("error.log")).unwrap_or_default();
            return Err(format!("nginx does not listen on {address}: {log}"));
        }
        thread::sleep(POLL);
    }
    let scheme = if tls.is_some() { "https" } else { "http" };
    Ok((format!("{scheme}://{address}/RPC2"), process))
}

fn config(address: &str, reply: &str, tls: Option<&Issued>) -> String {
    let workers = thread::available_parallelism().map_or(1, usize::from);
    let reply = reply.replace('\\', "\\\\").replace('\'', "\\'");
    let listen = if tls.is_some() { "ssl" } else { "" };
    let certificate = tls.map_or_else(String::new, |Issued { cert, key }| {
        format!(
            "ssl_protocols TLSv1.2 TLSv1.3;\nssl_certificate {cert:?};\n\
             ssl_certificate_key {key:?};\n"
        )
    });
    format!(
        "daemon off;\nworker_processes {workers};\npid nginx.pid;\n\
         events {{ worker_connections 4096; }}\n\
         http {{\n\
         access_log off;\nkeepalive_requests 1000000000;\nkeepalive_timeout 1h;\n\
         client_body_temp_path body;\nproxy_temp_path proxy;\nfastcgi_temp_path fastcgi;\n\
         uwsgi_temp_path uwsgi;\nscgi_temp_path scgi;\n\
         {certificate}\
         server {{\nlisten {address} {listen};\ndefault_type text/xml;\nreturn 200 '{reply}';\n}}\n\
         }}\n"
    )
}
