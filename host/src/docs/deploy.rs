//! How to run Hotcall as a service. Holds no code.
//!
#![doc = include_str!("deploy.md")]
//!
//! ## hotcall.socket
//!
//! ```ini
#![doc = include_str!("deploy/hotcall.socket")]
//! ```
//!
//! ## hotcall.service
//!
//! ```ini
#![doc = include_str!("deploy/hotcall.service")]
//! ```
//!
//! ## hotcall.service.d/notify-reload.conf
//!
//! ```ini
#![doc = include_str!("deploy/notify-reload.conf")]
//! ```
