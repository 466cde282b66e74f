//! Lists that are fetched from their owners: what comes of pages that are right and of servers that are not, what is kept, and what nobody may reach.

#![allow(clippy::unwrap_used)]

#[path = "feeds/ask.rs"]
mod ask;
#[path = "feeds/files.rs"]
mod files;
#[path = "feeds/pages.rs"]
mod pages;
#[path = "feeds/safety.rs"]
mod safety;
#[path = "feeds/server.rs"]
mod server;
#[path = "feeds/serving.rs"]
mod serving;
#[path = "feeds/together.rs"]
mod together;
